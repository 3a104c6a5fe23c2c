"""What is measured: each case drives one server and returns its figures."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from benchmarks.load import (
    Marked,
    Sized,
    deliveries,
    masked,
    open_websocket,
    read_until,
    round_trips,
    unmasked_length,
    upgrade,
)
from benchmarks.servers import API_KEY, Server

HEARTBEAT = b'[null,"7","phoenix","heartbeat",{}]'
HEARTBEAT_REPLY = b'[null,"7","phoenix","phx_reply",{"response":{},"status":"ok"}]'


@dataclass(frozen=True)
class Figures:
    """One server's figures in one case. Times in s, memory in bytes; None where it does not apply."""

    per_s: float
    p50: float | None = None
    p99: float | None = None
    cpu_per_op: float | None = None
    client_share: float | None = None
    bytes_per_connection: float | None = None


def heartbeat(server: Server, connections: int, depth: int, seconds: float) -> Figures:
    """Heartbeat round trips; an echo server answers with the same bytes, doing no protocol work at all."""
    answer = HEARTBEAT if server.name == "tornado" else HEARTBEAT_REPLY
    with ExitStack() as stack:
        socks = [stack.enter_context(closing(open_websocket(server.port, server.path))) for _ in range(connections)]
        before, begin = server.cpu(), time.perf_counter()
        requests = dict.fromkeys(socks, masked(HEARTBEAT))
        rate = round_trips(requests, partial(Sized, unmasked_length(answer)), depth, seconds, warm=seconds / 3)
        share = (server.cpu() - before) / (time.perf_counter() - begin)
    return Figures(rate.per_s, rate.p50, rate.p99, share / rate.per_s, rate.client_share)


def queries(server: Server, agents: int, thoughts: int, seconds: float) -> Figures:
    """Queries streamed to so many agents, one in flight each. The rate is in frames: reply, thoughts, result."""
    frames = thoughts + 2
    with ExitStack() as stack:
        requests = {}
        for number in range(agents):
            sock = stack.enter_context(closing(open_websocket(server.port, server.path)))
            join(sock, f"cortex:asker-{number}")
            query = ["1", "2", f"cortex:asker-{number}", "query", {"q": f"thoughts={thoughts}", "ref": "q"}]
            requests[sock] = masked(json.dumps(query, separators=(",", ":")).encode())
        before, begin = server.cpu(), time.perf_counter()
        rate = round_trips(requests, partial(Marked, b'"result",{'), 1, seconds, warm=seconds / 3)
        share = (server.cpu() - before) / (time.perf_counter() - begin)
    return Figures(rate.per_s * frames, rate.p50, rate.p99, share / rate.per_s / frames, rate.client_share)


def fan_out(server: Server, members: int, seconds: float) -> Figures:
    """One broadcast to all members, four in flight; a naive loop over `write_message` gets the same bytes."""
    payload = '{"n":"' + "x" * 40 + '"}'
    shout = f'["1","2","bench:all","shout",{payload}]'.encode()
    heard = shout if server.name == "tornado" else f'[null,null,"bench:all","shout",{payload}]'.encode()
    with ExitStack() as stack:
        socks = [stack.enter_context(closing(open_websocket(server.port, server.path))) for _ in range(members)]
        if server.name == "synapse":
            for sock in socks:
                sock.sendall(masked(b'["1","1","bench:all","phx_join",{}]'))
                read_until(sock, b"phx_reply")
        before, begin = server.cpu(), time.perf_counter()
        rate = deliveries(socks, socks[0], masked(shout), unmasked_length(heard), 4, seconds, warm=seconds / 3)
        share = (server.cpu() - before) / (time.perf_counter() - begin)
    return Figures(rate.per_s, rate.p50, rate.p99, share / rate.per_s, rate.client_share)


def connects(server: Server, connections: int, at_once: int = 32) -> Figures:
    """Connect and, where the server knows topics, join one's own with presence; so many at a time."""

    async def one(number: int, gate: asyncio.Semaphore, open_: list[asyncio.StreamWriter]) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            open_.append(writer)
            writer.write(upgrade(server.port, server.path))
            await reader.readuntil(b"\r\n\r\n")
            if server.name == "synapse":
                frame = ["1", "1", f"cortex:c-{number}", "phx_join", {"api_key": API_KEY}]
                writer.write(masked(json.dumps(frame).encode()))
                await reader.readuntil(b"presence_diff")

    async def all_() -> float:
        gate, open_ = asyncio.Semaphore(at_once), list[asyncio.StreamWriter]()
        begin = time.perf_counter()
        await asyncio.gather(*(one(number, gate, open_) for number in range(connections)))
        took = time.perf_counter() - begin
        for writer in open_:
            writer.transport.abort()
        return took

    before, busy = server.cpu(), time.process_time()
    took = asyncio.run(all_())
    share = (time.process_time() - busy) / took
    return Figures(connections / took, cpu_per_op=(server.cpu() - before) / connections, client_share=share)


def idle(server: Server, connections: int, compressed: bool = False) -> Figures:
    """Memory of an idle connection, joined to its own topic where the server knows topics."""
    extensions = "permessage-deflate" if compressed else ""
    for _ in range(20):  # what the first ones load and allocate is no cost of the later ones
        with closing(open_websocket(server.port, server.path, extensions)) as sock:
            if server.name == "synapse":
                join(sock, "cortex:warm", compressed=compressed)
    with ExitStack() as stack:
        before, begin = server.rss(), time.perf_counter()
        socks = []
        for number in range(connections):
            sock = stack.enter_context(closing(open_websocket(server.port, server.path, extensions)))
            socks.append(sock)
            if server.name == "synapse":
                join(sock, f"cortex:idle-{number}", compressed=compressed)
        took = time.perf_counter() - begin
        time.sleep(1.0)  # let the allocator and the last diffs settle
        return Figures(connections / took, bytes_per_connection=(server.rss() - before) / connections)


def join(sock: socket.socket, topic: str, compressed: bool = False) -> None:
    """Join a topic and wait until the presence that follows has come, too."""
    frame = json.dumps(["1", "1", topic, "phx_join", {"api_key": API_KEY}], separators=(",", ":")).encode()
    sock.sendall(masked(frame))
    if compressed:  # the answers cannot be read without inflating them: count the three frames
        count_frames(sock, 3)
    else:
        read_until(sock, b"presence_diff")


def count_frames(sock: socket.socket, frames: int) -> None:
    """Read so many whole frames."""
    data = b""
    while frames:
        data += sock.recv(65536)
        while frames and len(data) >= 2:
            length = data[1] & 0x7F
            head = 2
            if length == 126:
                head = 4
                length = int.from_bytes(data[2:4], "big")
            if len(data) < head + length:
                break
            data = data[head + length :]
            frames -= 1
