"""Resuming: what a drop made the session miss is asked for again, and nothing is taken twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.client import events as ev
from synapse.client.settings import Settings
from tests.client.test_session import SETTINGS, Bench


def thought(seq: int, ref: str = "q") -> dict[str, Any]:
    return {"thought": {"content": seq}, "ref": ref, "timestamp": 1, "seq": seq}


RESULT = {"ref": "q", "status": "success", "data": 1, "latency_ms": 1}


@pytest.fixture
def asked() -> Bench:
    """A session with an accepted query ``q`` that has had two thoughts, and then lost its connection."""
    bench = Bench()
    join_ref = bench.join()
    bench.accept("q")
    for seq in (1, 2):
        bench.push(join_ref, "thought", thought(seq))
    bench.drop()
    bench.after(60)
    bench.said()
    return bench


def rejoin(bench: Bench, resume: dict[str, Any]) -> str:
    """Connect and join, with the server's answer about resuming."""
    join = bench.connect()
    bench.reply(join, {"agent_id": "ada", "resume": resume})
    return str(join[0])


def test_a_rejoin_says_how_many_thoughts_of_each_query_were_seen() -> None:
    bench = Bench()
    join_ref = bench.join()
    bench.accept("q")
    bench.accept("r")
    bench.push(join_ref, "thought", thought(1))
    bench.drop()
    bench.after(1)
    assert bench.connect()[4]["resume"] == {"q": 1, "r": 0}


def test_it_can_be_switched_off() -> None:
    assert "resume" not in Bench(Settings(resume=False)).connect()[4]


def test_a_thought_that_was_seen_is_not_taken_twice() -> None:
    bench = Bench()
    join_ref = bench.join()
    bench.accept("q")
    bench.said()
    for seq in (1, 2, 2, 1, 3):
        bench.push(join_ref, "thought", thought(seq))
    assert [event.thought.content for event in bench.said(ev.Thinking)] == [1, 2, 3]


class TestWhatTheServerAnswers:
    @pytest.fixture
    def away(self) -> Bench:
        """As `asked`, but for a shorter while, and with a heart that does not tire."""
        bench = Bench(msgspec.structs.replace(SETTINGS, heartbeat=1e9))
        join_ref = bench.join()
        bench.accept("q")
        for seq in (1, 2):
            bench.push(join_ref, "thought", thought(seq))
        bench.drop()
        bench.after(1)
        bench.said()
        return bench

    def test_a_known_query_goes_on_and_its_ending_is_owed_again(self, away: Bench) -> None:
        join_ref = rejoin(away, {"unknown": [], "gaps": {}})
        away.after(3600)
        assert away.said(ev.Lost) == []
        away.drop()
        away.after(1)
        join_ref = rejoin(away, {"unknown": [], "gaps": {}})
        away.push(join_ref, "thought", thought(3))
        away.push(join_ref, "result", RESULT)
        assert [type(event) for event in away.said() if isinstance(event, ev.Thinking | ev.Ended)] == [
            ev.Thinking,
            ev.Ended,
        ]

    def test_an_accepted_query_it_knows_nothing_of_is_lost_at_once(self, away: Bench) -> None:
        rejoin(away, {"unknown": ["q"], "gaps": {}})
        (lost,) = away.said(ev.Lost)
        assert (lost.ref, lost.cause) == ("q", "dropped")

    def test_thoughts_it_could_not_keep_are_told(self, away: Bench) -> None:
        rejoin(away, {"unknown": [], "gaps": {"q": 5}})
        assert away.said(ev.Gap) == [ev.Gap("q", seen=2, first=5)]

    def test_a_query_that_never_arrived_is_sent_again(self) -> None:
        bench = Bench()
        bench.join()
        frame = bench.ask("q")
        bench.drop()
        bench.after(1)
        join = bench.connect()
        assert join[4]["resume"] == {"q": 0}
        bench.reply(join, {"agent_id": "ada", "resume": {"kept": True, "unknown": ["q"]}})
        (again,) = [sent for sent in bench.sent() if sent[3] == "query"]
        assert again[4] == frame[4]

    def test_a_query_that_may_have_run_is_not_sent_again(self) -> None:
        """A server that has not kept the stream cannot tell what it never received from what it forgot."""
        bench = Bench()
        bench.join()
        bench.ask("q")
        bench.drop()
        bench.after(1)
        bench.said()
        bench.reply(bench.connect(), {"agent_id": "ada", "resume": {"kept": False, "unknown": ["q"]}})
        assert [sent for sent in bench.sent() if sent[3] == "query"] == []
        assert [lost.ref for lost in bench.said(ev.Lost)] == ["q"]

    @pytest.mark.parametrize("answer", [{}, {"resume": None}, {"resume": "no"}, {"resume": {"gaps": {"q": 0}}}])
    def test_a_server_that_knows_nothing_of_it_is_treated_as_before(self, away: Bench, answer: Any) -> None:
        join = away.connect()
        away.reply(join, {"agent_id": "ada", **answer})
        assert away.session.status == "joined"
        away.after(3600)
        assert [lost.ref for lost in away.said(ev.Lost)] == ["q"]


def test_a_query_whose_patience_ended_while_away_is_not_resumed(asked: Bench) -> None:
    assert asked.connect()[4]["resume"] == {}
