"""Readers that stall for 30 s while thoughts are produced for them: what they cost, whom they harm, what they lose."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.support.lean import LEAN, eventually, failures
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server
from tests.support.wire import Wire

MiB = 2**20
STALL = 30.0  # s
MAILBOX = 4 * MiB  # a socket's, as it comes; 10 000 small messages with all that Python adds to them take no more
# What is no mailbox and may still be there: 64 KiB in each transport, what one turn writes (256 KiB), a megabyte of
# stream for whoever may resume, and what the allocator keeps for later.
SLACK = 4 * MiB
FLOOD = 4  # queries of 10 000 thoughts: four times as many messages as a mailbox takes
LARGE = 80  # results of 100 000 bytes: twice as many bytes as a mailbox takes
STEPS = 1_000  # thoughts of one that stays within the bounds, from the first second to the last


def rss(server: LiveServer) -> int:
    """The server's resident memory, in bytes."""
    return int(psutil.Process(server.process.pid).memory_info().rss)


class Reader(Wire):
    """An agent on a connection where nothing is read unless asked for."""

    def __init__(self, server: LiveServer, agent: str, resume: Any = None) -> None:
        super().__init__(server.url, narrow=True)
        self.topic = f"cortex:{agent}"
        payload = {"api_key": "test-key"} if resume is None else {"api_key": "test-key", "resume": resume}
        self.joined = self.ask(self.topic, "phx_join", payload)["response"]

    def query(self, ref: str, q: str) -> None:
        """Ask, and do not wait for the reply."""
        self.send([None, ref, self.topic, "query", {"q": q, "ref": ref, "timeout": 300_000}])

    def hear(self, endings: int) -> dict[str, list[Any]]:
        """Read until so many queries have ended. Returns what came by query: thoughts, then the status."""
        heard: dict[str, list[Any]] = {}
        while endings:
            _, _, _, event, payload = self.read()
            if event == "thought":
                heard.setdefault(payload["ref"], []).append(payload["thought"]["content"])
            elif event == "result":
                heard.setdefault(payload["ref"], []).append(payload["status"])
                endings -= 1
        return heard


def flood(server: LiveServer, stack: ExitStack) -> None:
    """Two agents ask for more than their mailboxes hold, do not read, and are cut off for it, each by one bound."""
    connections = server.get("/api/health")["connections"]
    many = stack.enter_context(Reader(server, "many", resume={}))
    large = stack.enter_context(Reader(server, "large"))
    for number in range(FLOOD):
        many.query(f"q{number}", "thoughts=10000")
    for number in range(LARGE):
        large.query(f"q{number}", "thoughts=0 " + "x" * 100_000)
    eventually(lambda: bool(server.get("/api/health")["connections"] == connections), "both are cut off", 60)


def test_readers_that_stall_for_30_seconds_cost_their_mailboxes_and_no_one_else(tmp_path: Path) -> None:
    with live_server(tmp_path, config=LEAN) as server, Phx(server.url) as other, ExitStack() as stack:
        other.join("cortex:other", {"api_key": "test-key"})
        for _ in range(2):  # what is allocated once, is by now
            flood(server, stack)
        level, begun = rss(server), time.monotonic()

        patient = stack.enter_context(Reader(server, "patient"))
        patient.query("slow", f"thoughts={STEPS} delay_ms={round(1000 * STALL / STEPS)}")
        for number in range(20):
            patient.query(f"large{number}", "thoughts=0 " + "x" * 100_000)
        flood(server, stack)
        check_endings_after_the_cut(server)

        most = served = 0
        while time.monotonic() < begun + STALL:
            other.push("cortex:other", "query", {"q": "thoughts=1", "ref": f"q{served}"})
            assert other.wait_ending(f"q{served}")[1]["status"] == "success"
            most, served = max(most, rss(server) - level), served + 1
        assert served > 100
        assert most < 3 * MAILBOX + SLACK

        heard = patient.hear(21)
        assert heard.pop("slow") == [*(f"step {n}" for n in range(1, STEPS + 1)), "success"]
        assert set(map(tuple, heard.values())) == {("success",)}
        stack.close()
        eventually(lambda: bool(server.get("/api/health")["connections"] == 1), "all but one have gone")
        assert server.get("/api/health")["running"] == 0
        assert rss(server) - level < SLACK, "less than one mailbox"
        assert server.log.read_text().count("cut off") == 6
        assert failures(server) == []


def check_endings_after_the_cut(server: LiveServer) -> None:
    """Who was cut off and resumes is told what is gone, and gets every ending."""
    with Reader(server, "many", resume={f"q{number}": 0 for number in range(FLOOD)}) as back:
        resumed = back.joined["resume"]
        assert (resumed["kept"], resumed["unknown"]) == (True, [])
        heard = back.hear(FLOOD)
    for ref, (*steps, status) in heard.items():
        first = resumed["gaps"].get(ref, 1)
        assert steps == [f"step {number}" for number in range(first, 10_001)]
        assert status == "success"
