"""Golden transcripts: what a real Phoenix sent and got, to be replayed against a server of ours.

`load` cuts a transcript into steps: something the client does, then all that it hears of it. A replay does
each step, listens until nothing more comes, and hands what came to a `Matcher`::

    transcript = load("v2_session")
    matcher = Matcher(transcript)
    for step in transcript.steps:
        ...do it, listen...
        matcher.check(step, received, closed)

Nothing here knows whether the server is in memory or behind a socket. The format, and what may differ in a
correct server, stand in ``tests/golden/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(__file__).parent.parent / "golden"
PRESENCE = ("presence_state", "presence_diff")
REFS = ("phx_ref", "phx_ref_prev")


class Received(Protocol):
    """A message that came from the server; `synapse.protocol.Encoded` is one."""

    @property
    def data(self) -> bytes:
        """Its payload, text as UTF-8."""

    @property
    def binary(self) -> bool:
        """Whether it was a binary message."""


class Mismatch(AssertionError):
    """The server did something else."""


@dataclass
class Step:
    """One thing the client does, and what comes of it.

    Attributes
    ----------
    number
        The line in the file.
    dir, conn
        ``open``, ``send``, ``close`` or ``abort``, and on which connection.
    action
        The whole line.
    status
        The HTTP status of an ``open``.
    received
        By connection, the lines that follow.
    closed
        By connection, the close codes that follow.
    """

    number: int
    dir: str
    conn: str
    action: dict[str, Any]
    status: int | None = None
    received: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters of an ``open``."""
        query: dict[str, str] = self.action["query"]
        return query

    @property
    def message(self) -> tuple[bytes, bool]:
        """What to ``send``: the bytes, and whether they go as a binary message."""
        if "binary" in self.action:
            return bytes.fromhex(self.action["binary"]), True
        text = self.action["text"] if "text" in self.action else json.dumps(self.action["frame"])
        return text.encode(), False


@dataclass
class Transcript:
    """A scenario."""

    name: str
    meta: dict[str, Any]
    steps: list[Step]

    @property
    def replayable(self) -> bool:
        """Whether it is meant to be replayed; some are only to be read."""
        return bool(self.meta.get("replay", True))

    @property
    def upgrades_only(self) -> bool:
        """Whether it is about HTTP alone."""
        return all(step.dir == "open" for step in self.steps)


def load(name: str) -> Transcript:
    """Read ``tests/golden/NAME.jsonl``."""
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as lines:
        meta = json.loads(next(lines))["meta"]
        steps: list[Step] = []
        for number, line in enumerate(lines, start=2):
            event = json.loads(line)
            conn = event["conn"]
            match event["dir"]:
                case "opened":
                    steps[-1].status = event["status"]
                case "recv":
                    steps[-1].received.setdefault(conn, []).append(event)
                case "closed":
                    steps[-1].closed[conn] = event["code"]
                case action:
                    steps.append(Step(number, action, conn, event))
    return Transcript(name, meta, steps)


def transcripts() -> list[Transcript]:
    """All of them that are meant to be replayed."""
    loaded = (load(path.stem) for path in sorted(FOLDER.glob("*.jsonl")))
    return [transcript for transcript in loaded if transcript.replayable]


class Matcher:
    """Compares what came with what should have come, step by step through one transcript.

    Volatile values are compared by shape; a ``phx_ref`` moreover stands for the same one throughout.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._name = transcript.name
        self._presence_varies = bool(transcript.meta.get("presence_varies"))
        self._refs: dict[str, str] = {}

    def check(self, step: Step, received: Mapping[str, Sequence[Received]], closed: Mapping[str, int]) -> None:
        """Compare one step: what came on each connection, and which ones the server closed with which code.

        Raises
        ------
        Mismatch
            Naming the line and the first difference.
        """
        where = f"{self._name}.jsonl:{step.number}"
        for conn in sorted({*step.received, *received}):
            golden, came = step.received.get(conn, []), received.get(conn, ())
            self._check_connection(f"{where}, {conn}", golden, [_read(message) for message in came])
        if dict(closed) != step.closed:
            raise Mismatch(f"{where}: closed with {dict(closed)}, not {step.closed}")

    def _check_connection(self, where: str, golden: list[dict[str, Any]], came: list[Any]) -> None:
        expected = [_volatile_marked(line) for line in golden]
        self._check_frames(where, [f for f in expected if not _presence(f)], [f for f in came if not _presence(f)])
        expected, came = sorted(filter(_presence, expected), key=_event), sorted(filter(_presence, came), key=_event)
        if not self._presence_varies:
            self._check_frames(where, expected, came)
        elif {_event(frame) for frame in expected} != {_event(frame) for frame in came}:
            raise Mismatch(f"{where}: expected presence {expected}, received {came}")

    def _check_frames(self, where: str, expected: list[Any], came: list[Any]) -> None:
        for number, (one, other) in enumerate(zip(expected, came, strict=False)):
            if problem := self._difference(one, other, f"frame {number}: "):
                raise Mismatch(f"{where}: {problem}\n  expected {one}\n  received {other}")
        if len(expected) != len(came):
            extra = came[len(expected) :] or expected[len(came) :]
            raise Mismatch(f"{where}: expected {len(expected)} frames, received {len(came)}: {extra}")

    def _difference(self, expected: Any, came: Any, at: str) -> str | None:
        """Where two values differ, None if they do not."""
        if isinstance(expected, _Volatile):
            return self._volatile_difference(expected, came, at)
        if type(expected) is not type(came):
            return f"{at} {came!r} is not {expected!r}"
        if isinstance(expected, dict):
            if expected.keys() != came.keys():
                return f"{at} has keys {sorted(came)}, not {sorted(expected)}"
            parts = [(name, expected[name], came[name]) for name in expected]
        elif isinstance(expected, list):
            if len(expected) != len(came):
                return f"{at} has {len(came)} elements, not {len(expected)}"
            parts = [(str(index), one, came[index]) for index, one in enumerate(expected)]
        else:
            return None if expected == came else f"{at} {came!r} is not {expected!r}"
        return next((p for name, one, other in parts if (p := self._difference(one, other, f"{at}/{name}"))), None)

    def _volatile_difference(self, expected: _Volatile, came: Any, at: str) -> str | None:
        if isinstance(expected.value, str):
            if not isinstance(came, str) or not came:
                return f"{at} {came!r} is no text"
            if expected.name in REFS and self._refs.setdefault(expected.value, came) != came:
                return f"{at} {came!r} is another {expected.name} than before, {self._refs[expected.value]!r}"
            return None
        is_number = isinstance(came, int | float) and not isinstance(came, bool) and came >= 0
        return None if is_number else f"{at} {came!r} is no number"


@dataclass(frozen=True)
class _Volatile:
    """Stands for a value that differs every time."""

    name: str
    value: Any


def _volatile_marked(line: dict[str, Any]) -> Any:
    """A golden line's message, its volatile values marked."""
    if "binary" in line:
        return bytes.fromhex(line["binary"])
    frame = line["frame"]
    for pointer in line.get("volatile", ()):
        *path, name = pointer.lstrip("/").split("/")
        parent = frame
        for part in path:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        parent[name] = _Volatile(name, parent[name])
    return frame


def _read(message: Received) -> Any:
    return bytes(message.data) if message.binary else json.loads(message.data)


def _event(frame: Any) -> Any:
    if isinstance(frame, list):
        return frame[3]
    return frame["event"] if isinstance(frame, dict) else None


def _presence(frame: Any) -> bool:
    return _event(frame) in PRESENCE
