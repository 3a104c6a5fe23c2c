"""Killed clients, restarted servers, stalled readers: nothing lost that was promised, and the memory comes back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

import synapse
from synapse.client import AsyncAgent
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

KEY = {"api_key": "test-key"}
MiB = 2**20

STREAMING_CLIENT = """
import asyncio, sys, synapse
async def main(url):
    agents = [await synapse.aconnect(url, api_key="test-key", agent=f"victim-{n}") for n in range(20)]
    queries = [agent.query("thoughts=100000 delay_ms=20") for agent in agents for _ in range(50)]
    for query in queries:
        async for _ in query:
            break
    print("1000 streams", flush=True)
    await asyncio.Event().wait()
asyncio.run(main(sys.argv[1]))
"""


def rss(server: LiveServer) -> int:
    """The server's resident memory, in bytes."""
    return int(psutil.Process(server.process.pid).memory_info().rss)


def wait_for_health(server: LiveServer, phx: Phx, **wanted: int) -> None:
    """Ask for the server's health until it is as wanted; a heartbeat between two looks gives the server a turn."""
    end = time.monotonic() + 60
    while (health := server.get("/api/health")) and any(health[name] != value for name, value in wanted.items()):
        assert time.monotonic() < end, health
        phx.push("phoenix", "heartbeat")


def test_a_client_killed_in_the_middle_of_1000_streams_harms_no_one(tmp_path: Path) -> None:
    options = [
        "--SynapseApp.linger=0.5",
        "--SynapseApp.resume_grace=0.5",
        "--SynapseApp.policies={'concurrency': {'kind': 'fixed', 'limit': 2000}}",
    ]
    with live_server(tmp_path, *options) as server, Phx(server.url) as survivor:
        survivor.join("cortex:survivor", KEY)
        survivor.push("cortex:survivor", "query", {"q": "thoughts=1 delay_ms=60000", "ref": "long", "timeout": 120_000})
        _run_streams_and_kill(server)
        wait_for_health(server, survivor, running=1, waiting=0, connections=1, agents=1)
        level = rss(server)
        _run_streams_and_kill(server)
        wait_for_health(server, survivor, running=1, waiting=0, connections=1, agents=1)
        assert rss(server) - level < 16 * MiB
        survivor.push("cortex:survivor", "interrupt", {"ref": "long"})
        assert survivor.wait_ending("long")[0] == "interrupted"
        assert "Traceback" not in server.log.read_text()


def _run_streams_and_kill(server: LiveServer) -> None:
    command = [sys.executable, "-c", STREAMING_CLIENT, server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "1000 streams\n"
        client.send_signal(signal.SIGKILL)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_100_agents_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    port = free_port()

    async def connect(url: str) -> list[AsyncAgent]:
        return await asyncio.gather(
            *(synapse.aconnect(url, api_key="test-key", agent=f"agent-{number}") for number in range(100))
        )

    async def ask_all(agents: list[AsyncAgent]) -> list[str]:
        results = await asyncio.gather(*(agent.ask("thoughts=1", timeout=60) for agent in agents))
        return [result.status for result in results]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        (tmp_path / "first").mkdir()
        first = live_server(tmp_path / "first", port=port)
        server = await loop.run_in_executor(None, first.__enter__)
        agents = await connect(server.url)
        assert set(await ask_all(agents)) == {"success"}
        await loop.run_in_executor(None, first.__exit__, None, None, None)
        (tmp_path / "second").mkdir()
        second = live_server(tmp_path / "second", port=port)
        server = await loop.run_in_executor(None, second.__enter__)
        try:
            # What is asked while the connection is down waits for it.
            assert set(await ask_all(agents)) == {"success"}
            assert len(server.get("/api/agents")["agents"]) == 100
        finally:
            for agent in agents:
                await agent.close()
            await loop.run_in_executor(None, second.__exit__, None, None, None)

    asyncio.run(scenario())


def test_a_stream_goes_on_where_a_dropped_connection_left_it(tmp_path: Path) -> None:
    """Through a proxy that cuts the connection in mid-stream, the client's thoughts are complete and in order."""

    async def scenario(server: LiveServer) -> None:
        target = urlsplit(server.url)
        pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):  # the cut that the test makes
                while data := await reader.read(65536):
                    writer.write(data)
            writer.close()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
            pairs.append((writer, up_writer))
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        proxy = await asyncio.start_server(carry, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        agent = await synapse.aconnect(f"ws://127.0.0.1:{port}{target.path}", api_key="test-key", agent="cut")
        query = agent.query("thoughts=60 delay_ms=20")
        steps: list[str] = []
        async for thought in query:
            steps.append(thought.content)
            if len(steps) in (10, 30):
                for writers in pairs:
                    for writer in writers:
                        writer.transport.abort()
        result = await query.result()
        assert steps == [f"step {number}" for number in range(1, 61)]
        assert (result.status, len(pairs)) == ("success", 3)
        await agent.close()
        proxy.close()

    with live_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_reader_that_stalls_for_30_seconds_costs_no_more_than_the_bound(tmp_path: Path) -> None:
    """It is cut off when its mailbox is full; others are served all the while, and the memory comes back."""
    with live_server(tmp_path) as server, Phx(server.url) as other:
        other.join("cortex:other", KEY)
        level = rss(server)
        with Phx(server.url, max_queue=1) as stalled:
            stalled.join("cortex:stalled", KEY)
            sock: socket.socket = stalled.ws.socket
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for number in range(8):
                stalled.send(None, str(number), "cortex:stalled", "query", {"q": "thoughts=100000", "ref": str(number)})
            most, served, end = 0, 0, time.monotonic() + 30
            while time.monotonic() < end:
                other.push("cortex:other", "query", {"q": "thoughts=1", "ref": f"q{served}"})
                assert other.wait_ending(f"q{served}")[1]["status"] == "success"
                most, served = max(most, rss(server) - level), served + 1
            assert served > 100
            assert most < 64 * MiB
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for_health(server, other, running=0, connections=1)
        assert "cut off" in server.log.read_text()
        assert rss(server) - level < 48 * MiB


FLOODER = """
import sys, threading
from tests.support.wire import Wire, text
wire = Wire(sys.argv[1])
beats = text([None, "1", "phoenix", "heartbeat", {}]) * 2000
threading.Thread(target=lambda: [wire.sock.recv(1 << 20) for _ in iter(int, 1)], daemon=True).start()
print("flooding", flush=True)
while True:
    wire.sock.sendall(beats)
"""


def test_one_who_sends_without_end_does_not_starve_the_others(tmp_path: Path) -> None:
    """A peer that read all it could from one socket would keep others waiting for seconds at a time."""
    with live_server(tmp_path) as server, Phx(server.url) as other:
        command = [sys.executable, "-c", FLOODER, server.url]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as flooder:
            try:
                assert flooder.stdout is not None
                assert flooder.stdout.readline() == "flooding\n"
                end = time.monotonic() + 60
                for _ in range(100):
                    other.push("phoenix", "heartbeat")
                assert time.monotonic() < end, "starved"
            finally:
                flooder.kill()
