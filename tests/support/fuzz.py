"""A fuzzer for a running server: whatever is sent, it answers a heartbeat afterwards, and harms no one else.

Inputs are frames that hypothesis draws, and golden transcripts whose frames are cut, spliced and scrambled.
Either the connection lives on and answers, or it is closed with a code that Phoenix would use, too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.strategies import json_values
from tests.support.wire import BINARY, TEXT, Wire, frame, text

CODES = {1000, 1002, 1007, 1009, 1011}
GOLDEN = Path(__file__).parents[1] / "golden"
SAFE = "cortex:fuzz-bystander-6d0f"  # no input knows this topic

TOPICS = ["phoenix", "cortex:fuzz-a", "cortex:fuzz-b", "cortex:presence", "cortex:monitor", "cortex:", "room:x", ""]
EVENTS = [
    "heartbeat", "phx_join", "phx_leave", "phx_reply", "phx_close", "phx_error", "presence_diff",
    "query", "interrupt", "ping", "status", "bogus",
]  # fmt: skip
PAYLOADS: list[Any] = [
    {"api_key": "test-key"},
    {"api_key": "test-key", "resume": {"q": 0}},
    {"q": "thoughts=2", "ref": "q"},
    {"q": "thoughts=2 fail=1", "ref": "r", "timeout": 5, "priority": 0},
    {"ref": "q"},
    {"status": "busy", "load": 0.5},
    {},
]

refs = st.sampled_from([None, "1", "2", 1, 1.5, True, [], {}]) | json_values
fields = [refs, refs, st.sampled_from(TOPICS) | json_values, st.sampled_from(EVENTS) | json_values]
payloads = st.sampled_from(PAYLOADS) | json_values
arrays = st.tuples(*fields, payloads).map(list) | st.lists(json_values, max_size=7)
texts = arrays.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)
binaries = st.builds(
    lambda kind, names, data: bytes([kind, *(len(name) for name in names)]) + b"".join(names) + data,
    st.integers(0, 4),
    st.lists(st.sampled_from([b"", b"1", b"cortex:fuzz-a", b"ping", b"query", b"phx_join", b"\xff"]), max_size=5),
    st.binary(max_size=20),
)
inputs = texts.map(lambda data: (data, False)) | binaries.map(lambda data: (data, True))
"""One WebSocket message: its payload, and whether it is binary."""


def mutated_transcripts(seed: int) -> Iterator[tuple[bytes, bool]]:
    """Endless frames of the golden transcripts, most of them harmed."""
    chance = random.Random(seed)
    frames: list[tuple[bytes, bool]] = []
    for path in sorted(GOLDEN.glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            if line.get("dir") == "send" and "frame" in line:
                frames.append((json.dumps(line["frame"]).replace("golden", "fuzz").encode(), False))
            elif line.get("dir") == "send" and "binary" in line:
                frames.append((bytes.fromhex(line["binary"]), True))
    while True:
        data, binary = chance.choice(frames)
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            data = _harm(data, chance, frames)
        yield data, binary != (chance.random() < 0.05)


def _harm(data: bytes, chance: random.Random, frames: list[tuple[bytes, bool]]) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0:  # cut
            return data[:at]
        case 1:  # another byte
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 2:  # bytes swapped for another frame's
            other = chance.choice(frames)[0]
            return data[:at] + other[chance.randrange(len(other) + 1) :]
        case 3:  # a repetition
            return data[:at] + data[at // 2 : at] + data[at:]
        case _:  # a number, a list or nothing where something stood
            return data.replace(b'"1"', chance.choice([b"1", b"[]", b"null", b'""', b"1e400"]), 1)


class Fuzzer:
    """Sends inputs to a server, on connections that it renews when the server has closed one.

    Attributes
    ----------
    sent, closed : int
        Inputs so far, and how many of them ended their connection.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: Wire | None = None
        self.sent = self.closed = 0

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
            frame(BINARY if binary else TEXT, data)
            + text([None, beat, "phoenix", "heartbeat", {}])
            + text(["safe", ping, SAFE, "ping", {}])
        )
        awaited = {beat, ping}
        while awaited:
            message = wire.receive()
            if message is None:
                self._ended(wire, data, binary)
                return
            if not message.binary:
                _, ref, _, event, payload = json.loads(message.data)
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
        self._wire = wire = Wire(self._url)
        wire.send(["safe", "safe", SAFE, "phx_join", {"api_key": "test-key"}])
        while wire.read()[1] != "safe":
            pass
        return wire
