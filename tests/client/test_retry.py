"""Asking again what was refused for now: the pure session on a clock that the test moves, then both faces."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import synapse
from synapse.client import events as ev
from synapse.client.errors import BufferFull
from synapse.client.values import Result
from synapse.policies import (
    AdaptiveThrottle,
    CircuitBreaker,
    Decorrelated,
    EqualJitter,
    Exponential,
    FullJitter,
    RetryBudget,
)
from synapse.protocol import Error
from synapse.protocol import messages as wire
from tests.client.fake import FakeCortex
from tests.client.test_session import SETTINGS, Bench
from tests.support.lean import LEAN
from tests.support.server import live_server

BUSY: dict[str, Any] = {"reason": "rate_limited", "policy": "token-bucket"}
SECOND = Exponential(base=1.0, tries=3)  # waits 1 s, then 2 s


def bench(retry: Any = SECOND, guard: Any = None, random: float = 0.5, **settings: Any) -> Bench:
    """A session that has joined and asks again by these rules."""
    it = Bench(msgspec.structs.replace(SETTINGS, retry=retry, guard=guard, **settings), random)
    it.join()
    it.said()
    return it


def refuse(it: Bench, frame: Any, **more: Any) -> None:
    it.reply(frame, {**BUSY, **more}, "error")


def queries(it: Bench) -> list[Any]:
    """The query frames since the last look."""
    return [frame for frame in it.sent() if frame[3] == "query"]


class TestARefusedQuery:
    def test_is_not_asked_again_by_default(self) -> None:
        it = Bench()
        it.join()
        it.said()
        refuse(it, it.ask("q"), retry_after_ms=1)
        it.after(20)
        assert it.said(ev.Refused) == [ev.Refused("q", Error(**BUSY, retry_after_ms=1))]
        assert queries(it) == []

    def test_is_asked_again_after_the_policys_wait_as_its_next_attempt(self) -> None:
        it = bench()
        first = it.ask("q", priority=2, handler="echo")
        refuse(it, first)
        assert it.said() == [ev.Postponed("q", Error(**BUSY), attempt=2, wait=1.0)]
        it.after(0.99)
        assert queries(it) == []
        it.after(0.02)
        (second,) = queries(it)
        assert second[4] == first[4] | {"attempt": 2}
        assert second[1] != first[1]

    def test_runs_when_it_is_accepted_then(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        it.after(1)
        it.said()
        (second,) = queries(it)
        it.reply(second, {"ref": "q", "status": "processing"})
        it.push("1", "result", {"ref": "q", "status": "success", "data": 1, "latency_ms": 5})
        assert it.said() == [ev.Accepted("q"), ev.Ended(Result("q", "success", 1, 0.005, attempts=2))]
        assert it.session.live == 0

    def test_waits_as_long_as_the_server_says_if_that_is_longer(self) -> None:
        it = bench()
        refuse(it, it.ask("q"), retry_after_ms=2500)
        assert it.said(ev.Postponed)[0].wait == 2.5
        it.after(2.49)
        assert queries(it) == []
        it.after(0.02)
        assert len(queries(it)) == 1

    def test_waits_as_long_as_its_policy_says_if_that_is_longer(self) -> None:
        it = bench()
        refuse(it, it.ask("q"), retry_after_ms=10)
        assert it.said(ev.Postponed)[0].wait == 1.0

    @pytest.mark.parametrize(
        ("policy", "wait"),
        [(FullJitter(base=1.0), 0.25), (EqualJitter(base=1.0), 0.625), (Decorrelated(base=1.0), 1.5)],
    )
    def test_takes_its_chances_from_the_session(self, policy: Any, wait: float) -> None:
        it = bench(policy, random=0.25)
        refuse(it, it.ask("q"))
        assert it.said(ev.Postponed)[0].wait == wait

    def test_is_given_up_when_the_policy_has_no_tries_left(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        for wait in (1, 2):
            it.after(wait)
            (frame,) = queries(it)
            refuse(it, frame, reason="overloaded")
        it.after(20)
        assert it.said(ev.Refused) == [ev.Refused("q", Error("overloaded", policy="token-bucket"), attempts=3)]
        assert queries(it) == []
        assert it.session.live == 0

    @pytest.mark.parametrize("reason", ["rate_limited", "overloaded", "shutting_down"])
    def test_is_asked_again_for_reasons_that_time_cures(self, reason: str) -> None:
        it = bench()
        refuse(it, it.ask("q"), reason=reason)
        assert len(it.said(ev.Postponed)) == 1

    def test_is_asked_again_for_any_reason_if_the_server_says_when(self) -> None:
        it = bench()
        refuse(it, it.ask("q"), reason="siesta", retry_after_ms=100)
        assert len(it.said(ev.Postponed)) == 1

    @pytest.mark.parametrize("reason", ["invalid field: q: too long", "unauthorized", "payload_too_large"])
    def test_is_not_asked_again_for_reasons_that_stay(self, reason: str) -> None:
        it = bench()
        refuse(it, it.ask("q"), reason=reason)
        assert it.said() == [ev.Refused("q", Error(reason, policy="token-bucket"))]

    def test_goes_out_even_when_new_messages_are_refused_here(self) -> None:
        it = bench(max_pending=1)
        refuse(it, it.ask("q"))
        it.session.push("ping", {}, it.now)
        it.after(1)
        assert len(queries(it)) == 1

    def test_unlike_a_new_one(self) -> None:
        it = bench(max_pending=1)
        it.session.push("ping", {}, it.now)
        with pytest.raises(BufferFull):
            it.ask("q")

    def test_keeps_its_ref_for_itself(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        with pytest.raises(ValueError, match="'q' is in use"):
            it.ask("q")


class TestPatience:
    def test_a_query_that_could_only_be_asked_too_late_is_given_up_at_once(self) -> None:
        it = bench()
        refuse(it, it.ask("q", timeout=1000))
        assert [event.attempts for event in it.said(ev.Refused)] == [1]

    def test_counts_from_the_first_attempt(self) -> None:
        it = bench()
        refuse(it, it.ask("q", timeout=2900))
        it.after(1)
        (second,) = queries(it)
        refuse(it, second)  # 2 s more would be 3 s in all
        assert [event.attempts for event in it.said(ev.Refused)] == [2]

    def test_the_server_is_told_what_is_left_of_the_timeout(self) -> None:
        it = bench()
        refuse(it, it.ask("q", timeout=2500))
        it.after(1)
        (second,) = queries(it)
        assert second[4]["timeout"] == 1500

    def test_is_the_servers_own_rule_where_the_query_names_none(self) -> None:
        it = bench(patience=5.0)
        refuse(it, it.ask("q"), retry_after_ms=5000)
        assert len(it.said(ev.Refused)) == 1

    def test_a_driver_that_comes_late_does_not_ask_beyond_it(self) -> None:
        it = bench()
        refuse(it, it.ask("q", timeout=1500))
        it.now += 2
        it.session.tick(it.now)
        assert [event.attempts for event in it.said(ev.Refused)] == [1]
        assert queries(it) == []


class TestWhatIsNeverAskedAgain:
    @pytest.mark.parametrize("status", ["timeout", "error"])
    def test_a_query_that_ended_badly(self, status: str) -> None:
        it = bench()
        it.accept("q")
        it.push("1", "result", {"ref": "q", "status": status, "data": {"reason": "overloaded"}, "latency_ms": 1})
        it.after(20)
        assert [event.result.status for event in it.said(ev.Ended)] == [status]
        assert queries(it) == []

    def test_a_query_that_has_begun_to_stream(self) -> None:
        it = bench()
        frame = it.ask("q")
        it.push("1", "thought", {"thought": {}, "ref": "q", "timestamp": 1})
        refuse(it, frame)
        it.after(5)
        assert queries(it) == []
        assert it.session.live == 1

    def test_a_query_that_streams_while_it_waits(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        it.push("1", "thought", {"thought": {}, "ref": "q", "timestamp": 1})
        it.after(5)
        assert queries(it) == []
        assert it.session.live == 1

    def test_a_query_without_a_reply(self) -> None:
        it = bench()
        it.ask("q")
        it.after(20)
        assert [event.cause for event in it.said(ev.Lost)] == ["no reply"]
        assert queries(it) == []

    def test_a_query_that_was_interrupted_before_it_was_refused(self) -> None:
        it = bench()
        frame = it.ask("q")
        it.session.interrupt("q", "enough", it.now)
        refuse(it, frame)
        assert len(it.said(ev.Refused)) == 1
        it.after(20)
        assert queries(it) == []


class TestWhileItWaits:
    def test_an_interrupt_ends_it_at_once(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        it.said()
        it.sent()
        it.after(0.5)
        assert it.session.interrupt("q", "enough", it.now)
        assert it.said() == [ev.Ended(Result("q", "interrupted", None, 0.5, "enough"))]
        it.after(20)
        assert it.sent() == []
        assert it.session.live == 0

    def test_leaving_ends_it(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        it.said()
        it.session.leave(it.now)
        assert it.said(ev.Lost) == [ev.Lost("q", "closed", "left")]
        assert it.session.next_deadline is None

    def test_a_drop_changes_nothing_and_the_rejoin_does_not_ask_for_it(self) -> None:
        it = bench()
        refuse(it, it.ask("q"), retry_after_ms=3000)
        it.drop()
        it.after(1)
        join = it.connect()
        assert join[4]["resume"] == {}
        it.reply(join, {"agent_id": "ada", "resume": {"kept": True, "unknown": ["q"]}})
        assert queries(it) == []
        it.after(2)
        (again,) = queries(it)
        assert (again[0], again[4]["attempt"]) == (join[0], 2)

    def test_an_attempt_that_is_due_while_there_is_no_connection_leaves_after_the_rejoin(self) -> None:
        it = bench()
        refuse(it, it.ask("q"), reason="shutting_down")
        it.drop()
        it.after(2)
        assert queries(it) == []
        it.session.connected(it.now)
        (join,) = it.sent()
        it.reply(join, {"agent_id": "ada"})
        assert [frame[4]["attempt"] for frame in queries(it)] == [2]

    def test_an_attempt_that_never_arrived_is_sent_again_as_the_same(self) -> None:
        it = bench()
        refuse(it, it.ask("q"))
        it.after(1)
        it.drop()
        it.after(1)
        it.sent()
        join = it.connect()
        assert join[4]["resume"] == {"q": 0}
        it.reply(join, {"agent_id": "ada", "resume": {"kept": True, "unknown": ["q"]}})
        assert [frame[4]["attempt"] for frame in queries(it)] == [2]


class TestTheBudget:
    def test_is_shared_by_all_queries_and_gives_up_at_once_what_it_cannot_pay(self) -> None:
        it = bench(guard=RetryBudget(ratio=0, burst=2))
        for ref in "abc":
            refuse(it, it.ask(ref))
        assert [event.ref for event in it.said(ev.Postponed)] == ["a", "b"]
        assert it.session.live == 2

    def test_is_saved_up_by_first_attempts(self) -> None:
        it = bench(guard=RetryBudget(ratio=0.5, burst=1))
        refuse(it, it.ask("a"))
        refuse(it, it.ask("b"))
        assert [event.ref for event in it.said(ev.Refused)] == ["b"]
        refuse(it, it.ask("c"))
        assert [event.ref for event in it.said(ev.Postponed)] == ["c"]

    def test_is_not_spent_on_a_query_whose_patience_is_too_short(self) -> None:
        it = bench(guard=RetryBudget(ratio=0, burst=1))
        refuse(it, it.ask("a", timeout=1000))
        refuse(it, it.ask("b"))
        assert [event.ref for event in it.said(ev.Postponed)] == ["b"]

    def test_alone_makes_no_retries(self) -> None:
        it = Bench(msgspec.structs.replace(SETTINGS, guard=RetryBudget()))
        it.join()
        refuse(it, it.ask("q"))
        assert len(it.said(ev.Refused)) == 1


class TestOtherGuards:
    def test_a_circuit_breaker_opens_and_holds_first_attempts_back(self) -> None:
        it = bench(guard=CircuitBreaker(least=2, cooldown=5.0))
        refuse(it, it.ask("a"))
        refuse(it, it.ask("b"))
        it.said()
        it.after(1)
        it.sent()
        it.session.query(wire.Query("why?", "c"), it.now)
        (held,) = it.said(ev.Refused)
        assert (held.ref, held.attempts, held.error.reason) == ("c", 0, "held_back")
        assert (held.error.policy, held.error.retry_after_ms) == ("circuit-breaker", 4000)
        assert it.sent() == []

    def test_a_circuit_breaker_closes_when_the_probe_is_accepted(self) -> None:
        it = bench(guard=CircuitBreaker(least=1, cooldown=5.0))
        refuse(it, it.ask("a"))
        it.after(5)
        it.accept("b")
        it.accept("c")
        assert [event.ref for event in it.said(ev.Accepted)] == ["b", "c"]

    def test_a_circuit_breaker_closes_when_the_probe_is_refused_for_good(self) -> None:
        it = bench(guard=CircuitBreaker(least=1, cooldown=5.0))
        refuse(it, it.ask("a"))
        it.after(5)
        refuse(it, it.ask("b"), reason="invalid field: q")
        it.accept("c")
        assert [event.ref for event in it.said(ev.Accepted)] == ["c"]

    def test_no_reply_is_a_failure(self) -> None:
        it = bench(guard=CircuitBreaker(least=1, cooldown=5.0))
        it.ask("a")
        it.after(SETTINGS.reply)
        it.said()
        it.session.query(wire.Query("why?", "b"), it.now)
        assert [event.attempts for event in it.said(ev.Refused)] == [0]

    def test_a_query_that_makes_no_sense_is_no_failure_of_the_servers(self) -> None:
        it = bench(guard=CircuitBreaker(least=1, cooldown=5.0))
        refuse(it, it.ask("a"), reason="invalid field: q")
        it.accept("b")
        assert [event.ref for event in it.said(ev.Accepted)] == ["b"]

    def test_an_adaptive_throttle_hears_of_what_is_accepted(self) -> None:
        it = bench(guard=AdaptiveThrottle(k=2.0), random=0.0)
        for number in range(10):  # the random number refuses at the slightest doubt
            it.accept(f"q{number}")
        assert len(it.said(ev.Accepted)) == 10


class TestBothFaces:
    def test_an_agent_asks_again_until_it_is_answered(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url, retry=FullJitter(base=0.001), budget=RetryBudget()) as agent:
            query = agent.query("busy")
            assert query.result.data == {"echo": "busy"}
        assert (query.attempts, query.result.attempts) == (3, 3)
        sent = [frame[4] for frame in cortex.frames if frame[3] == "query"]
        assert [(payload["ref"], payload["attempt"]) for payload in sent] == [(query.ref, each) for each in (1, 2, 3)]
        assert repr(query) == "<Query 'busy' success, 1 thought, attempt 3>"
        assert repr(query.result) == "Result(success in 12.5 ms, data={'echo': 'busy'}, attempts=3)"
        assert "<th" in query._repr_html_()
        assert "attempts" in query._repr_html_()
        assert "attempts" in query.result._repr_html_()

    def test_so_does_an_async_one(self, cortex: FakeCortex) -> None:
        async def main() -> list[Any]:
            async with await synapse.aconnect(cortex.url, retry=FullJitter(base=0.001)) as agent:
                return [thought.content async for thought in agent.query("busy")]

        assert asyncio.run(main()) == ["busy"]

    def test_an_agent_that_gives_up_says_how_often_it_asked(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url, retry=FullJitter(base=0.001, tries=2)) as agent:
            query = agent.query("busy")
            with pytest.raises(synapse.QueryRefused, match="refused 2 times by token-bucket: rate_limited") as caught:
                query.result  # noqa: B018
        assert (caught.value.attempts, caught.value.reason, query.status) == (2, "rate_limited", "refused")
        assert repr(query) == "<Query 'busy' refused, 0 thoughts, attempt 2>"

    def test_one_attempt_is_not_worth_a_word(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url) as agent:
            query = agent.query("hi")
            assert query.result.attempts == 1
            assert "attempt" not in repr(query) + repr(query.result) + query._repr_html_()

    def test_interrupting_a_query_that_waits_to_be_asked_again_ends_it(self, cortex: FakeCortex) -> None:
        hour = Exponential(base=3600.0, cap=3600.0)
        with synapse.connect(cortex.url, retry=hour) as agent:
            query = agent.query("busy", timeout=7200)
            cortex.wait_for_event("query")
            agent.ping()  # its answer comes after the refusal
            assert (query.status, query.attempts) == ("waiting", 2)
            query.interrupt("enough")
            assert (query.result.status, query.result.reason, query.attempts) == ("interrupted", "enough", 1)
        assert [frame for frame in cortex.frames if frame[3] == "interrupt"] == []

    def test_closing_the_agent_ends_a_query_that_waits_to_be_asked_again(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url, retry=Exponential(base=3600.0, cap=3600.0)) as agent:
            query = agent.query("busy", timeout=7200)
            agent.ping()
        with pytest.raises(synapse.AgentClosed):
            query.result  # noqa: B018

    def test_rules_may_be_tables_as_everywhere(self, cortex: FakeCortex) -> None:
        retry = {"kind": "full-jitter", "base": 0.001}
        with synapse.connect(cortex.url, retry=retry, budget="retry-budget") as agent:
            assert agent.ask("busy").attempts == 3

    @pytest.mark.parametrize(
        ("rules", "field"),
        [({"retry": 3}, "retry"), ({"retry": RetryBudget()}, "retry"), ({"budget": FullJitter()}, "budget")],
    )
    def test_what_is_no_rule_is_an_error_that_names_the_argument(self, rules: Any, field: str) -> None:
        with pytest.raises(ValueError, match=f"^{field}: "):
            synapse.connect("ws://127.0.0.1:1", **rules)


def test_a_query_that_a_real_server_limits_succeeds_after_the_retry(tmp_path: Path) -> None:
    limit = "--SynapseApp.policies={'rate_limit': {'kind': 'token-bucket', 'rate': 5, 'burst': 1}}"
    with (
        live_server(tmp_path, limit, config=LEAN) as server,
        synapse.connect(server.url, api_key=server.api_key, retry=FullJitter(tries=10)) as agent,
    ):
        both = [agent.query("thoughts=1"), agent.query("thoughts=1")]
        assert [query.result.status for query in both] == ["success", "success"]
        assert both[0].attempts == 1
        assert both[1].attempts > 1
