"""A load generator that is not the bottleneck: raw sockets, one epoll loop, frames made once and never parsed.

Requests are prebuilt masked frames; answers have a known length, so counting bytes counts answers. It only
ever talks to the loopback interface.
"""

from __future__ import annotations

import base64
import os
import resource
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's WebSocket frame; a mask of zeros is a mask."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + bytes(4) + payload


def unmasked_length(payload: bytes) -> int:
    """The length of a server's frame with this payload."""
    return len(payload) + (2 if len(payload) < 126 else 4 if len(payload) < 65536 else 10)


def upgrade(port: int, path: str, extensions: str = "") -> bytes:
    """The upgrade request."""
    key = base64.b64encode(os.urandom(16)).decode()
    offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    ).encode()


def open_websocket(port: int, path: str, extensions: str = "", receive_buffer: int = 0) -> socket.socket:
    """Connect and upgrade. Raises ConnectionError if the server does not agree."""
    sock = socket.socket()
    sock.settimeout(30)
    if receive_buffer:  # before the connection, which agrees on a window
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(upgrade(port, path, extensions))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionError(f"the server hung up: {answer!r}")
        answer += byte
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"no upgrade: {answer!r}")
    return sock


def read_until(sock: socket.socket, text: bytes) -> bytes:
    """Read until `text` has come. Returns all that was read."""
    data = b""
    while text not in data:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError(f"the server hung up after {data!r}")
        data += chunk
    return data


@dataclass(frozen=True)
class Rate:
    """What a run measured: operations a second, latencies in s, and how busy the client was (0 to 1)."""

    per_s: float
    p50: float
    p99: float
    operations: int
    client_share: float


class Marked:
    """Counts answers of varying length by a text that stands once in each."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._tail = b""

    def __call__(self, chunk: bytes) -> int:
        data = self._tail + chunk
        self._tail = data[1 - len(self._marker) :]
        return data.count(self._marker)


class Sized:
    """Counts answers of one length."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._got = 0

    def __call__(self, chunk: bytes) -> int:
        answers, self._got = divmod(self._got + len(chunk), self._length)
        return answers


class _Connection:
    __slots__ = ("count", "request", "sent", "sock")

    def __init__(self, sock: socket.socket, request: bytes, count: Callable[[bytes], int]) -> None:
        self.sock = sock
        self.request = request
        self.count = count
        self.sent: deque[float] = deque()


def round_trips(
    requests: dict[socket.socket, bytes], counter: Callable[[], Callable[[bytes], int]], depth: int,
    seconds: float, warm: float,
) -> Rate:  # fmt: skip
    """Keep `depth` requests in flight on each socket and count answers.

    Parameters
    ----------
    requests
        A whole frame for each socket.
    counter
        Makes, for each socket, what counts the answers in a chunk: `Sized` or `Marked`.
    seconds, warm
        How long to measure, and how long to run before.
    """
    selector = selectors.EpollSelector()
    connections = [_Connection(sock, request, counter()) for sock, request in requests.items()]
    latencies: list[float] = []
    clock = time.perf_counter
    for connection in connections:
        connection.sock.setblocking(True)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.sent.extend([clock()] * depth)
        connection.sock.sendall(connection.request * depth)
    begin = clock() + warm
    end, measuring, cpu = begin + seconds, False, 0.0
    while (now := clock()) < end:
        if not measuring and now >= begin:
            measuring, cpu, begin = True, _cpu(), now
        for key, _ in selector.select(0.5):
            connection = key.data
            chunk = connection.sock.recv(1 << 18)
            if not chunk:
                raise ConnectionError("the server hung up")
            if answers := connection.count(chunk):
                now = clock()
                sent = connection.sent
                if measuring:
                    latencies.extend([now - sent.popleft() for _ in range(answers)])
                else:
                    for _ in range(answers):
                        sent.popleft()
                sent.extend([now] * answers)
                connection.sock.sendall(connection.request * answers)
    took = clock() - begin
    p50, p99 = np.percentile(latencies, [50, 99]) if latencies else (float("nan"),) * 2
    return Rate(len(latencies) / took, float(p50), float(p99), len(latencies), (_cpu() - cpu) / took)


def paced(
    requests: dict[socket.socket, list[bytes]], counter: Callable[[], Callable[[bytes], int]], interval: float,
    seconds: float, warm: float,
) -> Rate:  # fmt: skip
    """Send on each socket once an `interval`, whatever has come back, and say how long the answers took.

    A latency runs from when the request was due, not from when it could be sent: a server that holds up the sender
    does not hide it. Answers are awaited for as long again; what has none then counts as having taken until then.

    Parameters
    ----------
    requests
        For each socket whole frames, sent in turn; as many as may be unanswered.
    counter, seconds, warm
        As for `round_trips`.
    """
    selector = selectors.EpollSelector()
    clock = time.perf_counter
    connections = [_Connection(sock, frames[0], counter()) for sock, frames in requests.items()]
    for connection in connections:
        selector.register(connection.sock, selectors.EVENT_READ, connection)
    begin = clock() + warm
    end, cpu, started, turn = begin + seconds, _cpu(), clock(), 0
    latencies: list[float] = []
    due = started
    while (now := clock()) < end or (now < end + seconds and any(connection.sent for connection in connections)):
        while due <= now and due < end:
            connection = connections[turn % len(connections)]
            frames = requests[connection.sock]
            connection.sock.sendall(frames[turn // len(connections) % len(frames)])
            connection.sent.append(due)
            turn += 1
            due = started + turn * interval / len(connections)
        for key, _ in selector.select(max(0.0, due - clock()) if due < end else 0.1):
            chunk = key.data.sock.recv(1 << 18)
            if not chunk:
                raise ConnectionError("the server hung up")
            for _ in range(key.data.count(chunk)):
                asked = key.data.sent.popleft()
                if asked >= begin:
                    latencies.append(clock() - asked)
    latencies.extend(clock() - asked for connection in connections for asked in connection.sent if asked >= begin)
    p50, p99 = np.percentile(latencies, [50, 99])
    return Rate(len(latencies) / seconds, float(p50), float(p99), len(latencies), (_cpu() - cpu) / (clock() - started))


def deliveries(
    members: list[socket.socket], publisher: socket.socket, request: bytes, length: int, depth: int,
    seconds: float, warm: float,
) -> Rate:  # fmt: skip
    """Have `depth` broadcasts in flight; the next goes out when a whole one has reached all members.

    `length` is that of the frame each member gets. The rate is in deliveries; a latency is that of a
    broadcast until all have it.
    """
    selector = selectors.EpollSelector()
    for member in members:
        selector.register(member, selectors.EVENT_READ)
    whole = length * len(members)
    latencies: list[float] = []
    clock = time.perf_counter
    begin, sent, got = clock() + warm, deque([clock()] * depth), 0
    publisher.sendall(request * depth)
    end, measuring, cpu, delivered = begin + seconds, False, 0.0, 0
    while (now := clock()) < end:
        if not measuring and now >= begin:
            measuring, cpu, begin, delivered = True, _cpu(), now, 0
        for key, _ in selector.select(0.5):
            read = len(key.fileobj.recv(1 << 16))  # type: ignore[union-attr]
            if not read:
                raise ConnectionError("the server hung up")
            got += read
            delivered += read
        rounds, got = divmod(got, whole)
        if rounds:
            now = clock()
            latencies.extend([now - sent.popleft() for _ in range(rounds)])
            sent.extend([now] * rounds)
            publisher.sendall(request * rounds)
    took = clock() - begin
    p50, p99 = np.percentile(latencies, [50, 99]) if latencies else (float("nan"),) * 2
    return Rate(delivered / length / took, float(p50), float(p99), delivered // length, (_cpu() - cpu) / took)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
