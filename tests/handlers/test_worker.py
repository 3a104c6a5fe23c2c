"""Workers: who is given which query, what becomes of it, and that it ends exactly once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.cortex import Denial, Grant, HandlerAccess, OpenDoor
from synapse.handlers import WorkerPool
from synapse.policies import (
    Connections,
    Credit,
    Fixed,
    FixedTimeout,
    HandlerPolicies,
    NoTimeout,
    Policies,
    PolicyError,
)
from synapse.protocol.work import Work
from tests.support.clock import VirtualClock
from tests.support.workshop import Workshop

SPELL = {"handler": "worker:spell"}


def ending(agent: Any) -> tuple[str, Any]:
    """The one ending that an agent has heard, its status and data."""
    (found,) = [payload for event, payload in agent.heard() if event in ("result", "interrupted")]
    return found.get("status", "interrupted"), found.get("data", found.get("reason"))


class TestAQuery:
    def test_is_given_to_the_worker_as_it_came_with_what_is_left_of_its_time(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", q="cat", timeout=5000, colour="red", **SPELL)
        (frame,) = worker.given()
        assert (frame.event, frame.payload["agent"], frame.payload["timeout"]) == ("work", "ada", 5000)
        assert frame.payload["query"] == {"q": "cat", "ref": "q1", "timeout": 5000, "colour": "red", **SPELL}

    def test_that_may_take_for_ever_comes_without_a_time(self) -> None:
        shop = Workshop(policies=Policies(timeout=NoTimeout()))
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        (frame,) = worker.given()
        assert "timeout" not in frame.payload
        shop.settle(1e6)
        assert worker.stopped() == []
        worker.done(frame.payload["job"], "at last")
        assert ending(ada) == ("success", "at last")

    def test_that_may_take_longer_than_a_message_can_say_is_told_no_time(self) -> None:
        shop = Workshop(policies=Policies(timeout=FixedTimeout(1e6)))
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        (frame,) = worker.given()
        assert msgspec.convert(frame.payload, Work).timeout is None  # the server ends it

    def test_streams_the_workers_thoughts_and_ends_as_it_says(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        assert worker.think(job, {"content": "c"}, {"content": "a"}) == ("ok", {})
        assert worker.done(job, {"length": 3}) == ("ok", {})
        assert ada.heard() == [
            ("thought", {"thought": {"content": "c"}, "ref": "q1"}),
            ("thought", {"thought": {"content": "a"}, "ref": "q1"}),
            ("result", {"ref": "q1", "status": "success", "data": {"length": 3}}),
        ]

    @pytest.mark.parametrize("status", ["error", "timeout"])
    def test_may_end_badly_with_a_reason(self, status: str) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        worker.done(worker.work(), {"reason": "no such word", "retry_after_ms": 5}, status)
        assert ending(ada) == (status, {"reason": "no such word", "retry_after_ms": 5})

    def test_that_ends_badly_needs_a_reason(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        refused = {"reason": "invalid field: data: of status error needs a reason", "field": "data"}
        assert worker.done(job, None, "error") == ("error", refused)
        assert worker.done(job, {"reason": "…"}, "error") == ("ok", {})

    def test_that_is_interrupted_stops_at_the_worker_whose_last_words_no_one_hears(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        ada.interrupt("q1", reason="enough")
        assert worker.stopped() == [(job, "enough")]
        assert worker.think(job, "late") == ("error", {"reason": f"no one listens: {job}", "field": "job"})
        assert worker.done(job, "late") == ("ok", {})
        assert ada.heard() == [("interrupted", {"ref": "q1", "reason": "enough"})]

    def test_that_takes_too_long_stops_at_the_worker(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", timeout=1000, **SPELL)
        job = worker.work()
        shop.settle(1)
        assert worker.stopped() == [(job, "timeout")]
        assert ending(ada) == ("timeout", {"reason": "timeout"})

    def test_without_a_worker_ends_with_an_error_that_says_so(self) -> None:
        shop = Workshop()
        shop.worker("other")
        ada = shop.agent("ada")
        ada.query("q1", **SPELL)
        assert ending(ada) == ("error", {"reason": "no_worker", "detail": "no worker 'spell' is here"})

    def test_of_another_handler_is_not_the_workers(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker("echo"), shop.agent("ada")
        ada.query("q1")
        assert [job.ref for job in shop.runner.running] == ["q1"]
        ada.interrupt("q1")
        assert not shop.runner.running
        assert not worker.given()


class TestAWorkerThatGoes:
    @pytest.mark.parametrize("how", ["disconnect", "leave", "crash"])
    def test_ends_its_queries_at_once_with_an_error_that_says_so(self, how: str) -> None:
        shop = Workshop()
        worker, ada = shop.worker(concurrency=2), shop.agent("ada")
        ada.query("q1", **SPELL)
        ada.query("q2", **SPELL)
        if how == "disconnect":
            worker.peer.disconnect()
        elif how == "leave":
            worker.peer.send(worker.topic, "phx_leave")
        else:
            channel = next(iter(worker.peer.socket.channels.values()))
            channel.stop("crash")
        shop.settle()
        detail = "the worker 'spell' went while it worked on this query, which may have run in part"
        data = {"reason": "worker_gone", "detail": detail}
        assert ada.heard() == [("result", {"ref": ref, "status": "error", "data": data}) for ref in ("q1", "q2")]
        assert shop.pool.workers() == {}

    def test_takes_nothing_from_others(self) -> None:
        shop = Workshop()
        first, second, ada = shop.worker(), shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        ada.query("q2", **SPELL)
        ada.query("q3", **SPELL)
        jobs = (first.work(), second.work())
        first.peer.disconnect()
        assert [payload["ref"] for _, payload in ada.heard()] == ["q1"]
        second.done(jobs[1])
        second.done(second.work())
        assert [payload["ref"] for _, payload in ada.heard()] == ["q2", "q3"]

    def test_as_the_last_one_ends_what_waits_too(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        ada.query("q2", **SPELL)
        worker.peer.disconnect()
        details = {payload["ref"]: payload["data"]["detail"] for _, payload in ada.heard()}
        assert details["q2"] == "the last worker 'spell' went; nothing has run"

    def test_and_comes_again_begins_anew(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        old = worker.work()
        worker.peer.join(worker.topic, {"concurrency": 1})
        assert ending(ada)[0] == "error"
        assert worker.done(old) == ("error", {"reason": f"no such job: {old}", "field": "job"})
        ada.query("q2", **SPELL)
        worker.done(worker.work(), 2)
        assert ending(ada) == ("success", 2)

    def test_after_its_agents_went_and_their_queries_ended_leaves_nothing_behind(self) -> None:
        shop = Workshop(linger=1)
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        ada.disconnect()
        shop.settle(1)
        assert worker.stopped() == [(job, "agent_gone")]
        worker.peer.disconnect()
        assert shop.cortex.schedulers.running == 0
        assert repr(shop.pool) == "<WorkerPool 0 workers, 0 queries>"


class TestConcurrency:
    def test_a_worker_is_never_given_more_than_it_takes(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(concurrency=2), shop.agent("ada")
        for ref in ("q1", "q2", "q3"):
            ada.query(ref, **SPELL)
        given = [frame.payload["query"]["ref"] for frame in worker.given()]
        assert given == ["q1", "q2"]
        assert shop.pool.waiting("spell") == 1

    def test_what_waits_is_given_in_order_when_a_place_is_free(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        for ref in ("q1", "q2", "q3"):
            ada.query(ref, **SPELL)
        order = []
        while frames := worker.given():
            (frame,) = frames
            order.append(frame.payload["query"]["ref"])
            worker.done(frame.payload["job"])
        assert order == ["q1", "q2", "q3"]

    def test_a_query_that_has_ended_takes_a_place_until_the_worker_says_done(self) -> None:
        """A function that does not heed its interruption is still at work."""
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        ada.interrupt("q1")
        ada.query("q2", **SPELL)
        assert worker.stopped() == [(job, "user requested")]
        worker.done(job)
        assert worker.work()

    def test_one_that_waits_can_be_interrupted_and_is_never_given(self) -> None:
        shop = Workshop()
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        ada.query("q2", **SPELL)
        ada.interrupt("q2")
        assert shop.pool.waiting("spell") == 0
        worker.done(worker.work())
        assert not worker.given()

    def test_what_waits_is_bounded(self) -> None:
        shop = Workshop(pool={"max_waiting": 1})
        shop.worker()
        ada = shop.agent("ada")
        for ref in ("q1", "q2", "q3"):
            ada.query(ref, **SPELL)
        assert ending(ada) == (
            "error",
            {"reason": "overloaded", "detail": "too many queries wait for the workers 'spell'"},
        )

    def test_a_place_that_becomes_free_is_for_who_waits_here_not_for_who_comes_from_the_queue(self) -> None:
        shop = Workshop(pool={"max_waiting": 1}, policies=Policies(concurrency=Fixed(limit=2)))
        worker, ada = shop.worker(), shop.agent("ada")
        for ref in ("q1", "q2", "q3"):  # at work, in the pool's line, in the scheduler's queue
            ada.query(ref, **SPELL)
        worker.done(worker.work())
        (frame,) = worker.given()
        assert frame.payload["query"]["ref"] == "q2"
        assert [payload["ref"] for _, payload in ada.heard()] == ["q1"]


class TestSeveralOfAName:
    def test_the_least_loaded_is_given_the_next(self) -> None:
        shop = Workshop()
        small, large, ada = shop.worker(concurrency=1), shop.worker(concurrency=4), shop.agent("ada")
        for number in range(5):
            ada.query(f"q{number}", **SPELL)
        assert (len(small.given()), len(large.given())) == (1, 4)

    def test_they_may_take_turns_instead(self) -> None:
        shop = Workshop(pool={"balancing": "round-robin"})
        one, two, ada = shop.worker(concurrency=9), shop.worker(concurrency=9), shop.agent("ada")
        for number in range(4):
            ada.query(f"q{number}", **SPELL)
        assert [frame.payload["query"]["ref"] for frame in one.given()] == ["q0", "q2"]
        assert [frame.payload["query"]["ref"] for frame in two.given()] == ["q1", "q3"]

    def test_an_agents_queries_may_go_to_the_same_one(self) -> None:
        shop = Workshop(pool={"balancing": {"kind": "consistent-hash"}})
        workers = [shop.worker(concurrency=9) for _ in range(3)]
        ada = shop.agent("ada")
        for number in range(6):
            ada.query(f"q{number}", **SPELL)
        assert sorted(len(worker.given()) for worker in workers) == [0, 0, 6]

    def test_one_that_comes_takes_over_what_waits(self) -> None:
        shop = Workshop()
        shop.worker()
        ada = shop.agent("ada")
        ada.query("q1", **SPELL)
        ada.query("q2", **SPELL)
        assert shop.worker().work()

    def test_no_one_can_answer_anothers_query(self) -> None:
        shop = Workshop()
        one, two, ada = shop.worker(), shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = one.work()
        assert two.done(job, "mine") == ("error", {"reason": f"no such job: {job}", "field": "job"})
        assert two.think(job, "mine")[0] == "error"
        assert ada.heard() == []


class TestAReaderThatLags:
    def test_holds_up_the_reply_to_the_thoughts(self) -> None:
        """The worker waits for it before it sends more: that is how its function comes to wait."""
        shop = Workshop(policies=Policies(mailbox=Credit(credit=1)))
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        job = worker.work()
        ada.peer.transport.writable = False
        worker.peer.send(worker.topic, "thoughts", {"job": job, "thoughts": ["a", "b"]})
        assert worker.peer.take() == []
        assert worker.think(job, "c") == (
            "error",
            {"reason": "too early: wait for the reply to the thoughts before", "field": "thoughts"},
        )
        ada.peer.transport.writable = True
        ada.peer.socket.flush()
        (reply,) = worker.peer.take()
        assert reply.payload == {"status": "ok", "response": {}}
        assert [payload["thought"] for _, payload in ada.heard()] == ["a", "b"]


class TestWhoMayBeOne:
    class Door(OpenDoor):
        def authorize_worker(self, name: str, payload: Any, identity: Any) -> Grant | Denial:
            return Grant("a key") if name == "spell" else Denial("unauthorized")

    def test_the_door_decides_by_name(self) -> None:
        peer = Workshop(authorizer=self.Door()).peer()
        assert peer.ask("worker:spell", "phx_join")[0] == "ok"
        assert peer.ask("worker:count", "phx_join") == ("error", {"reason": "unauthorized"})

    @pytest.mark.parametrize("name", ["", "a*", "a\nb", "x" * 256])
    def test_a_name_must_be_one(self, name: str) -> None:
        status, response = Workshop().peer().ask(f"worker:{name}", "phx_join")
        assert (status, response["field"]) == ("error", "topic")

    @pytest.mark.parametrize("concurrency", [0, 1001, "many"])
    def test_a_concurrency_must_be_one(self, concurrency: Any) -> None:
        status, response = Workshop().peer().ask("worker:spell", "phx_join", {"concurrency": concurrency})
        assert (status, response["field"]) == ("error", "concurrency")

    def test_an_agent_of_that_name_is_no_worker_and_no_worker_is_an_agent(self) -> None:
        shop = Workshop()
        agent = shop.agent("worker:spell")
        shop.worker("spell")
        assert shop.cortex.connections.list_active() == ["worker:spell"]
        assert agent.ask("done", {"job": "1", "status": "success"})[0] == "error"

    def test_other_events_are_not_understood(self) -> None:
        worker = Workshop().worker()
        assert worker.peer.ask(worker.topic, "query", {"q": "", "ref": "q"}) == (
            "error",
            {"reason": "unmatched event: query"},
        )


class TestItsConnection:
    class Door(OpenDoor):
        def authorize_worker(self, name: str, payload: Any, identity: Any) -> Grant | Denial:
            return Grant("a key")

    def test_counts_for_its_key_until_it_leaves(self) -> None:
        shop = Workshop(authorizer=self.Door(), policies=Policies(connections=Connections(per_key=1)))
        worker = shop.worker()
        other = shop.peer()
        status, response = other.ask("worker:spell", "phx_join")
        assert (status, response["reason"]) == ("error", "too_many_connections")
        assert response["policy"] == "connections.per_key"
        worker.peer.send(worker.topic, "phx_leave")
        assert other.ask("worker:spell", "phx_join")[0] == "ok"
        other.disconnect()
        worker.peer.disconnect()
        assert shop.cortex.admission.held == 0

    def test_that_was_refused_for_its_payload_holds_no_place(self) -> None:
        shop = Workshop(authorizer=self.Door(), policies=Policies(connections=Connections(per_key=1)))
        assert shop.peer().ask("worker:spell", "phx_join", {"concurrency": 0})[0] == "error"
        assert shop.peer().ask("worker:spell", "phx_join")[0] == "ok"

    def test_is_closed_when_its_key_is_revoked_which_ends_its_queries(self) -> None:
        shop = Workshop(authorizer=self.Door())
        worker, ada = shop.worker(), shop.agent("ada")
        ada.query("q1", **SPELL)
        assert shop.cortex.revoke("a key") == 1
        shop.settle()
        status, data = ending(ada)
        assert (status, data["reason"]) == ("error", "worker_gone")
        assert shop.pool.workers() == {}
        assert worker.peer.socket.id not in shop.cortex.sockets


class TestRulesOfItsOwn:
    def test_are_kept_by_a_scheduler_of_its_own_to_which_it_reports(self) -> None:
        own = HandlerPolicies(concurrency=Fixed(1))
        shop = Workshop(policies=Policies(handlers={"worker:spell": own}))
        spell, count, ada = shop.worker(concurrency=9), shop.worker("count", concurrency=9), shop.agent("ada")
        for number in range(2):
            ada.query(f"s{number}", **SPELL)
            ada.query(f"c{number}", handler="worker:count")
        schedulers = shop.cortex.schedulers.by_name()
        assert {name: (one.running, one.waiting) for name, one in schedulers.items()} == {
            "worker:spell": (1, 1),
            "*": (2, 0),
        }
        spell.done(spell.work())
        spell.done(spell.work())
        for frame in count.given():
            count.done(frame.payload["job"])
        assert {name: one.ended for name, one in schedulers.items()} == {"worker:spell": 2, "*": 2}

    def test_hold_for_a_query_that_no_worker_takes_as_well(self) -> None:
        shop = Workshop(policies=Policies(handlers={"worker:spell": HandlerPolicies(concurrency=Fixed(1))}))
        ada = shop.agent("ada")
        ada.query("q1", **SPELL)
        assert ending(ada)[1]["reason"] == "no_worker"
        assert shop.cortex.schedulers.by_name()["worker:spell"].ended == 1


class TestWhoMayUseThem:
    def test_agents_with_a_pattern_that_fits(self) -> None:
        access = HandlerAccess({"lab-*": ["worker:lab-*"], "*": ["echo"]})
        shop = Workshop(handlers=access)
        shop.worker("lab-1")
        lab, other = shop.agent("lab-7"), shop.agent("ada")
        lab.query("q1", handler="worker:lab-1")
        assert lab.refused("q2", handler="worker:spell")["handlers"] == ["worker:lab-*"]
        assert other.refused("q1", handler="worker:lab-1")["handlers"] == ["echo"]

    def test_a_pattern_is_no_default(self) -> None:
        shop = Workshop(handlers=HandlerAccess({"*": ["worker:*"]}))
        assert shop.agent("ada").refused("q1")["reason"] == "handler required: there is none by default"


class TestPresence:
    def test_an_agents_says_what_its_connection_serves(self) -> None:
        shop = Workshop()
        ada = shop.agent("ada")
        for name in ("spell", "count"):
            ada.peer.join(f"worker:{name}")
        presence = shop.cortex.presence
        (meta,) = presence.get("ada")["metas"]  # type: ignore[index]
        assert meta["serves"] == ["count", "spell"]
        ada.peer.send("worker:count", "phx_leave")
        (meta,) = presence.get("ada")["metas"]  # type: ignore[index]
        assert meta["serves"] == ["spell"]


class TestOptions:
    def test_a_balancing_that_is_none_is_refused_by_name(self) -> None:
        with pytest.raises(PolicyError, match="balancing"):
            WorkerPool(VirtualClock(), lambda: 0.0, balancing="by-guess")

    def test_a_negative_bound_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="max_waiting"):
            WorkerPool(VirtualClock(), lambda: 0.0, max_waiting=-1)
