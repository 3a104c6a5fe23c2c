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
from dataclasses import dataclass

import numpy as np


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's WebSocket frame; a mask of zeros is a mask."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    else:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    return head + bytes(4) + payload


def unmasked_length(payload: bytes) -> int:
    """The length of a server's frame with this payload."""
    return len(payload) + (2 if len(payload) < 126 else 4 if len(payload) < 65536 else 10)


def open_websocket(port: int, path: str, extensions: str = "") -> socket.socket:
    """Connect and upgrade. Raises ConnectionError if the server does not agree."""
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
    )
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


class _Connection:
    __slots__ = ("got", "sent", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = 0
        self.sent: deque[float] = deque()


def round_trips(
    socks: list[socket.socket], request: bytes, answer_length: int, depth: int, seconds: float, warm: float
) -> Rate:
    """Keep `depth` requests in flight on each socket and count answers.

    Parameters
    ----------
    request
        A whole frame.
    answer_length
        Bytes that answer one request, frame heads included.
    seconds, warm
        How long to measure, and how long to run before.
    """
    selector = selectors.EpollSelector()
    connections = [_Connection(sock) for sock in socks]
    latencies: list[float] = []
    clock = time.perf_counter
    for connection in connections:
        connection.sock.setblocking(True)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.sent.extend([clock()] * depth)
        connection.sock.sendall(request * depth)
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
            connection.got += len(chunk)
            answers, connection.got = divmod(connection.got, answer_length)
            if answers:
                now = clock()
                sent = connection.sent
                if measuring:
                    latencies.extend([now - sent.popleft() for _ in range(answers)])
                else:
                    for _ in range(answers):
                        sent.popleft()
                sent.extend([now] * answers)
                connection.sock.sendall(request * answers)
    took = clock() - begin
    p50, p99 = np.percentile(latencies, [50, 99]) if latencies else (float("nan"),) * 2
    return Rate(len(latencies) / took, float(p50), float(p99), len(latencies), (_cpu() - cpu) / took)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
