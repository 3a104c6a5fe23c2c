"""One agent misbehaves; what do the others feel? Their p99 beside the culprit and without it, on the same server.

``python -m benchmarks.isolation CULPRIT PORT`` is such an agent, in a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cases import join
from benchmarks.load import Marked, Rate, masked, open_websocket, paced, read_until
from benchmarks.servers import PATH, Server, root, synapse_server

TARGET = 2.0
AGENTS, INTERVAL = 50, 0.1  # the others, and s between the queries of each
LIMIT, TIMES = 20, 100  # queries a second that an agent may send; how many times that one sends
BIG = 10 * 2**20  # bytes
LOOKS = 3

SPIN = "benchmarks.handlers:spin"


@dataclass(frozen=True)
class Culprit:
    """A way to misbehave, and what the server must be told for it."""

    name: str
    act: Callable[[int], None]
    policies: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def flood(port: int) -> None:
    """Ask at many times the limit, in portions each hundredth of a second."""
    sock = _joined(port)
    sock.setblocking(False)
    refs = [_query(f"r{number}", "thoughts=1") for number in range(100)]
    portion = LIMIT * TIMES // 100
    _ready()
    due, sent = time.monotonic(), 0
    while True:
        sock.setblocking(True)
        sock.sendall(b"".join(refs[(sent + turn) % len(refs)] for turn in range(portion)))
        sent += portion
        sock.setblocking(False)
        _discard(sock)
        due += 0.01
        time.sleep(max(0.0, due - time.monotonic()))


def stall(port: int) -> None:
    """Ask for streams of four thousand thoughts a second in all, and read nothing."""
    sock = _joined(port, receive_buffer=4096)
    sock.sendall(_query("fill", "thoughts=60000"))  # more than the buffers of the two sockets take
    sock.sendall(b"".join(_query(f"q{number}", "thoughts=100000 delay_ms=1") for number in range(4)))
    time.sleep(4.0)
    _ready()
    time.sleep(3600)


def spin(port: int) -> None:
    """Ask for an answer that never comes, from a handler that never rests."""
    sock = _joined(port)
    sock.sendall(_query("for ever", "", handler=SPIN, timeout=3_600_000))
    read_until(sock, b"phx_reply")
    _ready()
    time.sleep(3600)


def inflate(port: int) -> None:
    """Send a frame ten times as large as a message may be; be thrown out; come back, four times a second."""
    frame = masked(b'["1","2","cortex:culprit","query",{"q":"' + b"x" * BIG + b'","ref":"q"}]')
    ready = False
    while True:
        with closing(_joined(port)) as sock:
            try:
                sock.sendall(frame)
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass  # thrown out before all was sent
        if not ready:
            ready = True
            _ready()
        time.sleep(0.25)


_LIMITED = {"rate_limit": {"kind": "token-bucket", "rate": LIMIT, "burst": LIMIT}}
CULPRITS = (
    Culprit(f"one agent at {TIMES}x its limit", flood, _LIMITED),
    Culprit("one stalled reader", stall, {"mailbox": {"kind": "drop-oldest"}}),
    Culprit("an endless loop on a thread", spin, options=(f"--SynapseApp.handlers={{'*': ['echo', '{SPIN}']}}",)),
    Culprit("10 MB frames", inflate),
)


def measure(culprit: Culprit, seconds: float) -> tuple[list[Rate], list[Rate]]:
    """The others without the culprit, and beside it: several looks of a third of the time each, as p99 is shy."""
    with synapse_server(*culprit.options, policies=culprit.policies) as server, ExitStack() as stack:
        others = {}
        for number in range(AGENTS):
            topic = f"cortex:other-{number}"
            sock = stack.enter_context(closing(open_websocket(server.port, server.path)))
            join(sock, topic)
            others[sock] = [_query(f"q{turn}", "thoughts=3", topic) for turn in range(64)]
        _look(others, 0.5)  # the first ones load and allocate
        alone = [_look(others, seconds / LOOKS) for _ in range(LOOKS)]
        with _at_work(culprit, server):
            return alone, [_look(others, seconds / LOOKS) for _ in range(LOOKS)]


def _look(others: dict[socket.socket, list[bytes]], seconds: float) -> Rate:
    return paced(others, lambda: Marked(b'"result",{'), INTERVAL, seconds, warm=INTERVAL)


@contextmanager
def _at_work(culprit: Culprit, server: Server) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.isolation", culprit.act.__name__, str(server.port)]
    process = subprocess.Popen(command, cwd=root(), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the culprit failed: {culprit.name}")
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the culprit gave up: {culprit.name}")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _joined(port: int, receive_buffer: int = 0) -> socket.socket:
    sock = open_websocket(port, PATH, receive_buffer=receive_buffer)
    join(sock, "cortex:culprit")
    return sock


def _query(ref: str, q: str, topic: str = "cortex:culprit", **more: Any) -> bytes:
    frame = ["1", ref, topic, "query", {"q": q, "ref": ref, **more}]
    return masked(json.dumps(frame, separators=(",", ":")).encode())


def _discard(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 18):
            pass
        raise ConnectionError("the server hung up")
    except BlockingIOError:
        pass  # read it all


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    os.nice(1)  # where there is one core for the culprit and for who measures, the latter comes first
    {culprit.act.__name__: culprit.act for culprit in CULPRITS}[sys.argv[1]](int(sys.argv[2]))
