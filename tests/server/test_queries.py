"""Queries under load, on a real server: one ending each, whatever happens to their agents."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

KEY = {"api_key": "test-key"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that gives up the queries of a vanished agent after a quarter of a second."""
    options = ["--SynapseApp.linger=0.25", "--SynapseApp.policies={'concurrency': {'kind': 'fixed', 'limit': 200}}"]
    with live_server(tmp_path_factory.mktemp("server"), *options) as running:
        yield running


def test_interrupting_50_of_100_running_queries_gives_each_exactly_one_ending(server: LiveServer) -> None:
    refs = [f"q{number}" for number in range(100)]
    doomed, spared = refs[::2], refs[1::2]
    with Phx(server.url) as phx:
        phx.join("cortex:busy", KEY)
        for ref in doomed:
            assert phx.push("cortex:busy", "query", {"q": "thoughts=9999 delay_ms=5", "ref": ref})["status"] == "ok"
        for ref in spared:
            assert phx.push("cortex:busy", "query", {"q": "thoughts=60 delay_ms=5", "ref": ref})["status"] == "ok"
        for ref in doomed:
            phx.push("cortex:busy", "interrupt", {"ref": ref, "reason": "enough"})
        while len(_endings(phx)) < 100:
            phx.wait(lambda frame: frame[3] in ("result", "interrupted"))
        # A ping's answer comes behind all that was on its way: nothing more may follow an ending.
        phx.push("cortex:busy", "ping")
        endings = _endings(phx)
    assert {ref for event, ref in endings if event == "interrupted"} == set(doomed)
    assert {ref for event, ref in endings if event == "result"} == set(spared)
    assert set(endings.values()) == {1}
    assert server.get("/api/queries")["queries"] == []


def _endings(phx: Phx) -> Counter[tuple[str, str]]:
    frames = [frame for frame in phx.seen if frame[3] in ("result", "interrupted")]
    return Counter((frame[3], frame[4]["ref"]) for frame in frames)


def test_the_queries_of_a_killed_client_end_and_its_presence_leaves(server: LiveServer) -> None:
    """The connection is reset, as by kill -9; a watcher of the roster sees the agent go."""
    before = _resources(server)
    with Phx(server.url) as watcher:
        watcher.join("cortex:presence", KEY)
        with ExitStack() as stack:
            victims = [stack.enter_context(Phx(server.url)) for _ in range(20)]
            for number, victim in enumerate(victims):
                victim.join(f"cortex:victim-{number}", KEY)
                victim.push(f"cortex:victim-{number}", "query", {"q": "thoughts=9999 delay_ms=20", "ref": "q"})
            for victim in victims:
                _reset(victim)
        gone: set[str] = set()
        while len(gone) < 20:
            gone |= set(watcher.wait_event("presence_diff")["leaves"])
        assert gone == {f"victim-{number}" for number in range(20)}
        _until_no_query_is_left(server, watcher)
        assert [agent["agent"] for agent in server.get("/api/agents")["agents"]] == []
    after = _resources(server)
    assert after["threads"] <= before["threads"]
    assert after["connections"] <= before["connections"]


def _until_no_query_is_left(server: LiveServer, phx: Phx) -> None:
    """Ask again and again; each heartbeat's round trip is a turn of the server."""
    for _ in range(10_000):
        if not server.get("/api/queries")["queries"]:
            return
        phx.push("phoenix", "heartbeat")
    raise AssertionError(f"queries left behind: {server.get('/api/queries')}")


def _reset(phx: Phx) -> None:
    phx.ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    phx.ws.socket.close()


def _resources(server: LiveServer) -> dict[str, int]:
    process = psutil.Process(server.process.pid)
    established = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    return {"threads": process.num_threads(), "connections": len(established)}


def test_a_query_outlives_the_connection_that_sent_it(server: LiveServer) -> None:
    with Phx(server.url) as staying:
        staying.join("cortex:twin", KEY)
        with Phx(server.url) as leaving:
            leaving.join("cortex:twin", KEY)
            leaving.push("cortex:twin", "query", {"q": "thoughts=3 delay_ms=30", "ref": "q"})
        event, result = staying.wait_ending("q")
    assert (event, result["status"]) == ("result", "success")


def test_a_query_past_its_timeout_ends_with_status_timeout_and_nothing_follows(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:late", KEY)
        phx.push("cortex:late", "query", {"q": "thoughts=9999 delay_ms=10", "ref": "q", "timeout": 60})
        event, result = phx.wait_ending("q")
        phx.push("cortex:late", "ping")
        stream = [frame[3] for frame in phx.seen if frame[3] in ("thought", "result")]
    assert (event, result["status"]) == ("result", "timeout")
    assert result["latency_ms"] >= 60
    assert stream.count("result") == 1
    assert stream[-1] == "result"


def test_a_failing_handler_ends_with_a_safe_reason(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:unlucky", KEY)
        phx.push("cortex:unlucky", "query", {"q": "thoughts=1 fail=1", "ref": "q"})
        event, result = phx.wait_ending("q")
    assert (event, result["status"]) == ("result", "error")
    assert result["data"] == {"reason": "echo was asked to fail"}
