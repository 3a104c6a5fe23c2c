"""Killed clients, restarted servers, stalled readers: nothing lost that was promised, and the memory comes back."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

import synapse
from synapse.client import AsyncAgent
from synapse.client.connection import Connection
from synapse.client.discovery import Target
from synapse.client.io import io_thread
from synapse.client.opening import Opened
from synapse.client.rules import RestRules
from synapse.client.settings import Backoff, Settings
from tests.support.lean import LEAN, failures
from tests.support.outage import Proxy
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
    """Its presence leaves, each of its queries ends, once, and the memory is back at its level. Twice: so it stays."""
    options = [
        "--SynapseApp.linger=0.5",
        "--SynapseApp.resume_grace=0.5",
        "--SynapseApp.policies={'concurrency': {'kind': 'fixed', 'limit': 2000}}",
    ]
    with live_server(tmp_path, *options, config=LEAN) as server, Phx(server.url) as survivor:
        survivor.join("cortex:survivor", KEY)
        survivor.join("cortex:presence", KEY)
        survivor.push("cortex:survivor", "query", {"q": "thoughts=1 delay_ms=60000", "ref": "long", "timeout": 120_000})
        _run_streams_and_kill(server, survivor)
        level = rss(server)
        _run_streams_and_kill(server, survivor)
        assert rss(server) - level < 4 * MiB, "less than what 1000 streams took"
        survivor.push("cortex:survivor", "interrupt", {"ref": "long"})
        assert survivor.wait_ending("long")[0] == "interrupted"
        assert interrupted(server) == 2001, "each has ended, and no more than once"
        assert failures(server) == []


def _run_streams_and_kill(server: LiveServer, survivor: Phx) -> None:
    command = [sys.executable, "-c", STREAMING_CLIENT, server.url]
    survivor.seen.clear()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "1000 streams\n"
        client.send_signal(signal.SIGKILL)
    wait_for_health(server, survivor, running=1, waiting=0, connections=1, agents=1)
    survivor.push("cortex:survivor", "ping")  # all news before its answer
    diffs = [frame[4] for frame in survivor.seen if frame[2:4] == ["cortex:presence", "presence_diff"]]
    here: dict[str, set[str]] = {}
    for diff in diffs:
        for name, entry in diff["joins"].items():
            here.setdefault(name, set()).update(meta["phx_ref"] for meta in entry["metas"])
        for name, entry in diff["leaves"].items():
            here.setdefault(name, set()).difference_update(meta["phx_ref"] for meta in entry["metas"])
    assert {name: refs for name, refs in here.items() if name != "survivor"} == {
        f"victim-{n}": set() for n in range(20)
    }


def interrupted(server: LiveServer) -> int:
    """How many queries have ended by an interrupt."""
    request = urllib.request.Request(f"{server.http}/api/metrics", headers={"Authorization": f"token {server.token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'^synapse_queries_total{.*status="interrupted".*} (\S+)$', text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


async def follow(agent: AsyncAgent, at_steps: Mapping[int, Callable[[], None]]) -> list[str]:
    """A stream of 60 thoughts, heard to its end, with something done at some of its steps."""
    query = agent.query("thoughts=60 delay_ms=20")
    steps: list[str] = []
    async for thought in query:
        steps.append(thought.content)
        at_steps.get(len(steps), lambda: None)()
    assert (await query.result()).status == "success"
    return steps


def test_a_stream_goes_on_where_a_dropped_connection_left_it(tmp_path: Path) -> None:
    """Through a network that cuts the connection in mid-stream, the client's thoughts are complete and in order."""

    async def scenario(proxy: Proxy) -> None:
        async with await synapse.aconnect(proxy.url, api_key="test-key", agent="cut") as agent:
            assert await follow(agent, {10: proxy.cut, 30: proxy.cut}) == [f"step {n}" for n in range(1, 61)]

    with live_server(tmp_path, config=LEAN) as server, Proxy(server.url) as proxy:
        asyncio.run(scenario(proxy))
        assert proxy.carried == 3


def test_a_stream_goes_on_after_a_network_that_swallowed_all(tmp_path: Path) -> None:
    """No end of the connection is seen: only the heartbeat tells. The stream is complete and in order all the same."""

    async def impatient(url: str) -> Connection:
        settings = Settings(heartbeat=0.2, reconnect=Backoff(base=0.05, cap=0.05))
        connection = Connection(io_thread(), Target(url, api_key="test-key"), "lost", settings)
        await connection.open(10)
        return connection

    async def heal_once_missed(agent: AsyncAgent, proxy: Proxy) -> None:
        while agent.status == "joined":
            await asyncio.sleep(0.02)  # the heartbeat that finds out has no event of its own
        proxy.heal()

    async def scenario(proxy: Proxy) -> None:
        connection = await asyncio.wrap_future(io_thread().submit(impatient(proxy.url)))
        opened = Opened(connection, RestRules(Target(proxy.url)))
        async with AsyncAgent(opened, io_thread(), None) as agent:
            healing: list[asyncio.Task[None]] = []

            def swallow() -> None:
                proxy.blackhole()
                healing.append(asyncio.ensure_future(heal_once_missed(agent, proxy)))

            assert await follow(agent, {20: swallow}) == [f"step {n}" for n in range(1, 61)]
            await healing[0]

    with live_server(tmp_path, config=LEAN) as server, Proxy(server.url) as proxy:
        asyncio.run(scenario(proxy))
        assert proxy.carried == 2


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
