"""A fuzzer for a running server: whatever is sent, it answers a heartbeat afterwards, and harms no one else.

Inputs are messages that hypothesis draws, and golden transcripts whose messages are cut, spliced and scrambled, in
the form that the connection's ``vsn`` asks for; some of them come in fragments with pings in between. Either the
connection lives on and answers, or it is closed with a code that Phoenix would use, too.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.support.golden import FOLDER
from tests.support.strategies import json_values
from tests.support.wire import BINARY, CONT, PING, TEXT, Wire, frame

CODES = {1000, 1002, 1007, 1009, 1011}
SAFE = "cortex:golden-bystander-6d0f"  # no input knows this topic

JOINED = ["cortex:golden-a", "cortex:golden-b"]  # every connection begins with these

TOPICS = [
    *JOINED, "phoenix", "cortex:fuzz", "cortex:presence", "cortex:monitor", "cortex:",
    "room:x", "",
]  # fmt: skip
EVENTS = [
    "heartbeat", "phx_join", "phx_leave", "phx_reply", "phx_close", "phx_error", "presence_diff",
    "query", "interrupt", "ping", "status", "bogus",
    "test:echo", "test:push", "test:shout", "test:noreply", "test:crash", "test:stop_reply",
]  # fmt: skip
MESSAGES: list[tuple[str, Any]] = [  # what makes sense, so that what does not is met by more than a refusal
    ("phx_join", {"api_key": "test-key"}),
    ("phx_join", {"api_key": "test-key", "resume": {"q": 0}}),
    ("query", {"q": "thoughts=2", "ref": "q"}),
    ("query", {"q": "thoughts=2 fail=1", "ref": "r", "timeout": 5, "priority": 0}),
    ("query", {"q": "thoughts=1 delay_ms=50", "ref": "s"}),
    ("interrupt", {"ref": "s"}),
    ("status", {"status": "busy", "load": 0.5}),
    ("test:push", {}),
    ("test:crash", {}),
    ("phx_leave", {}),
]

SCALAR = re.compile(rb'"[^"\\]*"(?!\s*:)|\b\d+\b|null|true|\{\}')
STRANGERS = [
    b"1", b"-1", b"1.5", b"1e400", b"null", b"false", b"[]", b"[[]]", b"{}", b'""', b'"\\u0000"', b'"\\ud800"',
    b'{"ref":"q"}', b'"' + b"x" * 300 + b'"', b"9" * 400, b"[" * 50 + b"]" * 50,
]  # fmt: skip

Input = tuple[bytes, bool]
"""One WebSocket message: its payload, and whether it is binary."""


class Dialect(NamedTuple):
    """What frames look like after an upgrade with this ``vsn``; None for an upgrade without one."""

    vsn: str | None

    @property
    def arrays(self) -> bool:
        return self.vsn is not None and self.vsn.startswith("2")

    @property
    def query(self) -> dict[str, str]:
        return {} if self.vsn is None else {"vsn": self.vsn}

    def write(self, join_ref: Any, ref: Any, topic: Any, event: Any, payload: Any) -> Any:
        """A frame, before it becomes JSON."""
        if self.arrays:
            return [join_ref, ref, topic, event, payload]
        frame = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        return frame if join_ref is None else {**frame, "join_ref": join_ref}

    def text(self, *fields: Any) -> bytes:
        """The bytes of a text frame."""
        return frame(TEXT, json.dumps(self.write(*fields)).encode())

    def read(self, data: bytes) -> tuple[Any, Any, Any]:
        """The ref, the event and the payload of a frame from the server."""
        message = json.loads(data)
        if self.arrays:
            _, ref, _, event, payload = message
            return ref, event, payload
        return message["ref"], message["event"], message["payload"]


DIALECTS = [Dialect("2.0.0"), Dialect("1.0.0"), Dialect(None)]

refs = st.sampled_from([None, "1", "2", 1, 1.5, True, [], {}]) | json_values
topics = st.sampled_from(TOPICS) | json_values
events = st.sampled_from(EVENTS) | json_values
payloads = st.sampled_from([payload for _, payload in MESSAGES]) | json_values
misfits = st.lists(json_values, max_size=7) | st.dictionaries(
    st.sampled_from(["topic", "event", "payload", "ref", "join_ref", "more"]), json_values
)
names = st.sampled_from([b"", b"1", b"cortex:golden-a", b"phoenix", *(event.encode() for event in EVENTS), b"\xff"])
pushes = st.tuples(  # join_ref, ref, topic, event
    st.sampled_from([b"", b"1"]), names, st.sampled_from([*(topic.encode() for topic in JOINED), b"phoenix"]), names
).map(list)


def inputs(dialect: Dialect) -> st.SearchStrategy[Input]:
    """Messages, more than half of them well-formed, and many of these for a channel that is joined."""
    build = partial(st.builds, dialect.write)
    join_refs, joined = st.sampled_from([None, "1"]), st.sampled_from(JOINED)  # as `Fuzzer` joins them
    visit = st.builds(
        lambda join_ref, topic, message: dialect.write(join_ref, "1", topic, *message),
        join_refs,
        joined,
        st.sampled_from(MESSAGES),
    )
    twist = build(join_refs, refs, joined, st.sampled_from(EVENTS), payloads)
    oddity = build(refs, refs, topics, events, payloads)
    chosen = _one_of((3, visit), (4, twist), (3, oddity), (1, misfits))
    texts = _one_of((9, chosen.map(lambda value: json.dumps(value).encode())), (1, st.binary(max_size=60)))
    kinds = _one_of((9, st.just(0)), (1, st.integers(0, 255)))
    binaries = st.builds(_binary, kinds, _one_of((9, pushes), (1, st.lists(names, max_size=5))), st.binary(max_size=20))
    return _one_of(
        (6, texts.map(lambda data: (data, False))),
        (3 if dialect.arrays else 1, binaries.map(lambda data: (data, True))),
        (1, texts.map(lambda data: (data, True))),
    )


def _one_of(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several, by their weights."""
    return st.sampled_from([one for weight, one in choices for _ in range(weight)]).flatmap(lambda one: one)


def _binary(kind: int, names: list[bytes], data: bytes) -> bytes:
    return bytes([kind, *map(len, names)]) + b"".join(names) + data


def mutated_transcripts(dialect: Dialect, seed: int) -> Iterator[Input]:
    """Endlessly, what clients say in the transcripts, with words left out, repeated, out of turn and harmed."""
    chance = random.Random(seed)
    stories = [story for path in sorted(FOLDER.glob("*.jsonl")) if (story := _story(dialect, path, chance))]
    others = [message for story in stories for message in story]
    while True:
        story = [message for message in chance.choice(stories) for _ in range(chance.choice([0, 1, 1, 1, 1, 1, 2]))]
        for at in range(1, len(story)):
            if chance.random() < 0.05:
                story[at - 1], story[at] = story[at], story[at - 1]
        for data, binary in story:
            for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 2, 4])):
                data = _harm(data, chance, others)  # noqa: PLW2901
            yield data, binary != (chance.random() < 0.02)


def _story(dialect: Dialect, path: Path, chance: random.Random) -> list[Input]:
    """All that clients say in a transcript, in the dialect where it has a form there."""
    story: list[Input] = []
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if line.get("dir") != "send":
            continue
        stranger = chance.random() < 0.02  # what belongs to the other serializer is malformed here
        if "binary" in line:
            if dialect.arrays or stranger:
                story.append((bytes.fromhex(line["binary"]), True))
        elif "text" in line:
            story.append((line["text"].encode(), False))
        else:
            frame = line["frame"] if stranger else _translated(dialect, line["frame"])
            story.append((json.dumps(frame).encode(), False))
    return story


def _translated(dialect: Dialect, frame: Any) -> Any:
    if isinstance(frame, list) and len(frame) == 5:
        return dialect.write(*frame)
    if isinstance(frame, dict) and {"topic", "event", "payload", "ref"} <= frame.keys():
        return dialect.write(frame.get("join_ref"), frame["ref"], frame["topic"], frame["event"], frame["payload"])
    return frame


def _harm(data: bytes, chance: random.Random, others: list[Input]) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(8):
        case 0:  # cut
            return data[:at]
        case 1:  # another byte
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 2:  # bytes swapped for another message's
            other = chance.choice(others)[0]
            return data[:at] + other[chance.randrange(len(other) + 1) :]
        case 3:  # a repetition
            return data[:at] + data[at // 2 : at] + data[at:]
        case _:  # JSON still, with something else where something stood
            scalars = list(SCALAR.finditer(data))
            if not scalars:
                return data
            begin, end = chance.choice(scalars).span()
            return data[:begin] + chance.choice(STRANGERS) + data[end:]


class Fuzzer:
    """Sends inputs to a server, on connections of one dialect that it renews when the server has closed one.

    Attributes
    ----------
    sent, closed : int
        Inputs so far, and how many of them ended their connection.
    heard : Counter
        What came of them: how often which event, and ``bytes`` for binary frames.
    """

    def __init__(self, url: str, dialect: Dialect) -> None:
        self._url = url
        self._dialect = dialect
        self._wire: Wire | None = None
        self.sent = self.closed = 0
        self.heard: Counter[Any] = Counter()

    def __enter__(self) -> Fuzzer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._wire.reset()

    def send(self, data: bytes, binary: bool) -> None:
        """Send one input. Raises AssertionError if the connection neither answers nor ends as it should."""
        wire = self._wire or self._connect()
        self.sent += 1
        beat, ping = f"beat-{self.sent}", f"ping-{self.sent}"
        wire.raw(
            _framed(data, binary, random.Random(self.sent))
            + self._dialect.text(None, beat, "phoenix", "heartbeat", {})
            + self._dialect.text("safe", ping, SAFE, "ping", {})
        )
        awaited = {beat, ping}
        while awaited:
            message = wire.receive()
            if message is None:
                self._ended(wire, data, binary)
                return
            if message.binary:
                self.heard["bytes"] += 1
            else:
                ref, event, payload = self._dialect.read(message.data)
                self.heard[event] += 1
                if event == "phx_reply" and isinstance(ref, str) and ref in awaited:
                    assert payload["status"] == "ok", f"{data!r} (binary: {binary}) harmed another channel: {payload}"
                    awaited.discard(ref)

    def _ended(self, wire: Wire, data: bytes, binary: bool) -> None:
        code = wire.closed()
        assert code in CODES, f"{data!r} (binary: {binary}) ended the connection with {code}"
        wire.reset()
        self._wire = None
        self.closed += 1

    def _connect(self) -> Wire:
        self._wire = wire = Wire(self._url, self._dialect.query)
        for topic, ref in [(topic, "1") for topic in JOINED] + [(SAFE, "safe")]:
            wire.raw(self._dialect.text(ref, ref, topic, "phx_join", {"api_key": "test-key"}))
        while (message := wire.receive()) is not None and self._dialect.read(message.data)[0] != "safe":
            pass
        assert message is not None, "the server closed a connection on which all was well"
        return wire


def _framed(data: bytes, binary: bool, chance: random.Random) -> bytes:
    """A message in one frame, or now and then in several, with a ping somewhere in between."""
    opcode = BINARY if binary else TEXT
    if chance.random() < 0.8:
        return frame(opcode, data)
    first, second = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    parts = [frame(opcode, data[:first], fin=False), frame(CONT, data[first:second], fin=False)]
    parts.insert(chance.randrange(3), frame(PING, b"between"))
    return b"".join(parts) + frame(CONT, data[second:])
