"""Each mailbox policy against a real socket whose reader stalls, with exact counts of what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.lean import LEAN, eventually
from tests.support.rest import metrics
from tests.support.server import LiveServer, live_server
from tests.support.wire import Wire

THOUGHTS = 100_000  # about 12 MB: more than the buffers of two sockets hold


@contextmanager
def stalled(tmp_path: Path, mailbox: dict[str, Any]) -> Iterator[tuple[LiveServer, Wire]]:
    """A server with a mailbox policy, and a reader that has asked for much and reads nothing yet."""
    option = f"--SynapseApp.policies={{'mailbox': {mailbox!r}}}"
    with live_server(tmp_path, option, config=LEAN) as server, Wire(server.url) as wire:
        assert wire.ask("cortex:a", "phx_join", {"api_key": "test-key"})["status"] == "ok"
        wire.send([None, "q", "cortex:a", "query", {"q": f"thoughts={THOUGHTS}", "ref": "q", "timeout": 600_000}])
        yield server, wire


def dropped(server: LiveServer, kind: str) -> float:
    """How many messages a mailbox policy has dropped."""
    return metrics(server)[f"synapse_mailbox_dropped_messages_total{{policy={kind}}}"]


def unfinished(server: LiveServer) -> int:
    """How many queries run."""
    return len(server.get("/api/queries")["queries"])


def read_all(wire: Wire) -> tuple[list[int], dict[str, Any]]:
    """Read to the ending. Returns the steps that came and the result."""
    steps = []
    wire.sock.settimeout(60)
    while (frame := wire.read())[3] != "result":
        if frame[3] == "thought":
            steps.append(int(frame[4]["thought"]["content"].removeprefix("step ")))
    return steps, frame[4]


class TestTheReaderLosesWhatThePolicySays:
    @pytest.mark.parametrize(("kind", "lost"), [("drop-oldest", "middle"), ("drop-newest", "end")])
    def test_dropping(self, tmp_path: Path, kind: str, lost: str) -> None:
        with stalled(tmp_path, {"kind": kind, "messages": 500, "size": 10_000_000}) as (server, wire):
            eventually(lambda: unfinished(server) == 0, "the query's end, unread", 60)
            counted, waiting = dropped(server, kind), metrics(server)["synapse_mailbox_depth"]
            steps, result = read_all(wire)
            assert metrics(server)["synapse_mailbox_depth"] == 0
        assert result["status"] == "success"
        assert len(steps) + counted == THOUGHTS, "each is either delivered or counted as dropped"
        assert 490 <= waiting <= 501, "the mailbox was full"
        assert steps == sorted(set(steps)), "what came is in order, each once"
        missing = sorted(set(range(1, THOUGHTS + 1)) - set(steps))
        assert missing == [*range(missing[0], missing[-1] + 1)], "one gap"
        if lost == "end":
            assert missing[-1] == THOUGHTS
        else:
            assert steps[-1] == THOUGHTS
            assert THOUGHTS - missing[-1] <= 500

    def test_coalesce_keeps_the_latest(self, tmp_path: Path) -> None:
        with stalled(tmp_path, {"kind": "coalesce"}) as (server, wire):
            eventually(lambda: unfinished(server) == 0, "the query's end, unread", 60)
            counted = dropped(server, "coalesce")
            steps, _ = read_all(wire)
        assert len(steps) + counted == THOUGHTS
        assert steps[-1] == THOUGHTS
        assert steps[:-1] == [*range(1, len(steps))], "all before it stalled, then the latest only"

    def test_disconnect_cuts_it_off(self, tmp_path: Path) -> None:
        with stalled(tmp_path, {"kind": "disconnect", "messages": 500, "size": 10_000_000}) as (server, wire):
            eventually(lambda: server.get("/api/health")["connections"] == 0, "the cut", 60)
            assert "cut off" in server.log.read_text()
            assert dropped(server, "disconnect") == 501, "all that waited for it, and the one that was too many"
            steps = []
            while (message := wire.receive()) is not None:
                frame = json.loads(message.data)
                if frame[3] == "thought":
                    steps.append(int(frame[4]["thought"]["content"].removeprefix("step ")))
        assert steps == [*range(1, len(steps) + 1)], "what had left before came, without a hole"


class TestCredit:
    def test_nothing_is_lost_and_the_handler_waits_for_the_reader(self, tmp_path: Path) -> None:
        with stalled(tmp_path, {"kind": "credit", "credit": 64}) as (server, wire):
            thoughts = _settled(server)
            assert thoughts < THOUGHTS, "the handler is held"
            steps, result = read_all(wire)
            assert not [name for name in metrics(server) if "mailbox_dropped_messages" in name]
        assert steps == [*range(1, THOUGHTS + 1)]
        assert result["status"] == "success"

    def test_a_reader_that_goes_away_holds_no_one(self, tmp_path: Path) -> None:
        with stalled(tmp_path, {"kind": "credit", "credit": 64}) as (server, wire):
            _settled(server)
            wire.reset()
            eventually(lambda: unfinished(server) == 0, "the query's end", 60)


def _settled(server: LiveServer) -> int:
    """Look until two looks in a row see the same number of thoughts. Returns that."""
    seen = [-1]

    def stands() -> bool:
        (query,) = server.get("/api/queries")["queries"]
        seen.append(query["thoughts"])
        return seen[-1] == seen[-2] > 0

    eventually(stands, "a standstill", 60)
    return seen[-1]


def test_json_of_a_policy_reads_back(tmp_path: Path) -> None:
    with live_server(tmp_path, config=LEAN) as server:
        assert json.loads(json.dumps(server.get("/api/policies")))["mailbox"]["kind"] == "disconnect"
