"""The schedulers of a node: handlers with rules of their own, beside all the others; and that no query is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from synapse.cortex import ALL_OTHERS, HandlerAccess, Job, Refusal, Schedulers, State
from synapse.policies import Fifo, Fixed, FixedTimeout, HandlerPolicies, NoTimeout, Policies, TokenBucket
from synapse.telemetry import events
from tests.support.clock import VirtualClock
from tests.support.node import Node
from tests.support.runner import ScriptedRunner

ONE_SLOT = HandlerPolicies(concurrency=Fixed(1))


class Office:
    """Schedulers with a clock, a runner moved by hand, and an outlet that takes notes."""

    def __init__(self, policies: Policies) -> None:
        self.clock = VirtualClock(now=1000.0)
        self.runner = ScriptedRunner(self.clock)
        self.bus = events.Bus()
        self.events: list[Any] = []
        self.bus.listen(self.events.append)
        self.schedulers = Schedulers(self.clock, self.runner, self, policies, self.bus)
        self.endings: list[tuple[str, str | None]] = []

    def thought(self, job: Job, thought: Any) -> None:
        """No one listens."""

    def ended(self, job: Job, data: Any) -> None:
        self.endings.append((job.ref, job.status))

    def submit(self, ref: str, handler: str = "", agent: str = "a") -> Refusal | None:
        return self.schedulers.submit(Job(agent, ref, handler=handler))

    @property
    def running(self) -> list[str]:
        return [job.ref for job in self.runner.running]


class TestSlotsAndQueues:
    def test_a_handler_with_its_own_has_them_for_itself(self) -> None:
        office = Office(Policies(concurrency=Fixed(1), handlers={"kernel": ONE_SLOT}))
        for ref, handler in (("k1", "kernel"), ("k2", "kernel"), ("e1", "echo"), ("w1", "web")):
            assert office.submit(ref, handler) is None
        assert office.running == ["k1", "e1"]
        office.runner.finish("e1")
        assert office.running == ["k1", "w1"], "echo and web share, the kernel's query waits on"
        office.runner.finish("k1")
        assert office.running == ["w1", "k2"]

    def test_what_it_does_not_name_is_as_the_nodes(self) -> None:
        office = Office(
            Policies(concurrency=Fixed(1), queue=Fifo(bound=0), timeout=FixedTimeout(5), handlers={"kernel": ONE_SLOT})
        )
        assert office.submit("k1", "kernel") is None
        refusal = office.submit("k2", "kernel")
        assert refusal is not None
        assert (refusal.reason, refusal.policy) == ("overloaded", "fifo")
        office.clock.advance(5)
        assert office.endings == [("k1", "timeout")]

    @pytest.mark.parametrize("own", [FixedTimeout(300), NoTimeout()])
    def test_its_timeout_is_its_own(self, own: FixedTimeout | NoTimeout) -> None:
        office = Office(Policies(handlers={"kernel": HandlerPolicies(timeout=own)}))
        office.submit("k1", "kernel")
        office.submit("e1", "echo")
        office.clock.advance(30)
        assert office.endings == [("e1", "timeout")]

    def test_events_name_the_handler(self) -> None:
        office = Office(Policies(handlers={"kernel": HandlerPolicies(concurrency=Fixed(1), queue=Fifo(bound=0))}))
        office.submit("k1", "kernel")
        office.submit("k2", "kernel")
        started, rejected = [one for one in office.events if isinstance(one, (events.Started, events.Rejected))]
        assert (started.handler, rejected.handler) == ("kernel", "kernel")

    def test_they_are_told_apart_by_name(self) -> None:
        office = Office(Policies(handlers={"kernel": ONE_SLOT}))
        office.submit("k1", "kernel")
        assert {name: one.running for name, one in office.schedulers.by_name().items()} == {ALL_OTHERS: 0, "kernel": 1}
        assert (office.schedulers.name_of("kernel"), office.schedulers.name_of("echo")) == ("kernel", ALL_OTHERS)


class TestRateLimits:
    def test_the_nodes_counts_the_queries_of_all_handlers(self) -> None:
        office = Office(Policies(rate_limit=TokenBucket(1, 2, "agent"), handlers={"kernel": ONE_SLOT}))
        assert office.submit("k1", "kernel") is None
        assert office.submit("e1", "echo") is None
        for handler in ("kernel", "echo"):
            refusal = office.submit("more", handler)
            assert refusal == Refusal("rate_limited", "token-bucket", 1.0)
        assert office.submit("other", "kernel", agent="b") is None

    def test_a_handlers_own_comes_on_top_and_counts_its_queries_only(self) -> None:
        own = HandlerPolicies(rate_limit=TokenBucket(1, 1, "agent"))
        office = Office(Policies(rate_limit=TokenBucket(1, 3, "agent"), handlers={"kernel": own}))
        assert [office.submit(ref, "kernel") is None for ref in ("k1", "k2")] == [True, False]
        assert [office.submit(ref, "echo") is None for ref in ("e1", "e2", "e3")] == [True, True, False]

    def test_who_is_refused_by_the_handlers_own_spends_nothing_of_the_nodes(self) -> None:
        own = HandlerPolicies(rate_limit=TokenBucket(1, 1, "agent"))
        office = Office(Policies(rate_limit=TokenBucket(1, 3, "agent"), handlers={"kernel": own}))
        accepted = [office.submit(f"k{number}", "kernel") is None for number in range(9)]
        assert accepted.count(True) == 1
        assert [office.submit(ref, "echo") is None for ref in ("e1", "e2", "e3")] == [True, True, False]

    def test_a_replacement_carries_on_what_was_spent_on_both_sides(self) -> None:
        own = HandlerPolicies(rate_limit=TokenBucket(1, 1, "agent"))
        policies = Policies(rate_limit=TokenBucket(1, 3, "agent"), handlers={"kernel": own})
        office = Office(policies)
        office.submit("k1", "kernel")
        office.schedulers.replace(policies)
        assert office.submit("k2", "kernel") is not None
        assert [office.submit(ref, "echo") is None for ref in ("e1", "e2", "e3")] == [True, True, False]


class TestReplacement:
    def test_a_handler_gets_its_own_rules_and_what_ran_runs_on(self) -> None:
        office = Office(Policies(concurrency=Fixed(1)))
        office.submit("k1", "kernel")
        office.submit("k2", "kernel")
        office.schedulers.replace(Policies(concurrency=Fixed(1), handlers={"kernel": ONE_SLOT}))
        assert office.submit("k3", "kernel") is None
        assert office.running == ["k1", "k3"], "the old ones stay where they were accepted"
        office.runner.finish("k1")
        assert office.running == ["k3", "k2"]

    def test_a_handler_that_loses_its_rules_loses_no_query(self) -> None:
        office = Office(Policies(handlers={"kernel": ONE_SLOT}))
        office.submit("k1", "kernel")
        office.submit("k2", "kernel")
        office.schedulers.replace(Policies())
        assert office.submit("k3", "kernel") is None
        assert (office.running, office.schedulers.waiting) == (["k1", "k3"], 1)
        office.runner.finish("k1")
        office.runner.finish("k2")
        office.runner.finish("k3")
        office.schedulers.replace(Policies())
        assert list(office.schedulers.by_name()) == [ALL_OTHERS]
        assert (office.schedulers.submitted, office.schedulers.ended) == (3, 3)

    def test_rules_that_come_back_find_the_queries_that_were_left(self) -> None:
        office = Office(Policies(handlers={"kernel": ONE_SLOT}))
        office.submit("k1", "kernel")
        office.schedulers.replace(Policies())
        office.schedulers.replace(Policies(handlers={"kernel": ONE_SLOT}))
        office.submit("k2", "kernel")
        assert (office.running, office.schedulers.waiting) == (["k1"], 1), "k1 holds the one slot"

    def test_a_tighter_limit_drops_nothing_that_runs(self) -> None:
        office = Office(Policies(handlers={"kernel": HandlerPolicies(concurrency=Fixed(3))}))
        for ref in ("k1", "k2", "k3"):
            office.submit(ref, "kernel")
        office.schedulers.replace(Policies(handlers={"kernel": ONE_SLOT}))
        assert (office.running, office.endings) == (["k1", "k2", "k3"], [])


class TestTheEnd:
    def test_a_drain_is_for_all_and_for_those_that_come_later(self) -> None:
        office = Office(Policies(handlers={"kernel": ONE_SLOT}))
        office.schedulers.drain()
        office.schedulers.replace(Policies(handlers={"web": ONE_SLOT}))
        for handler in ("kernel", "web", "echo"):
            assert office.submit("q", handler) == Refusal("shutting_down", "drain")

    def test_interrupt_all_reaches_every_query(self) -> None:
        office = Office(Policies(concurrency=Fixed(1), handlers={"kernel": ONE_SLOT, "web": ONE_SLOT}))
        for handler in ("kernel", "web", "echo"):
            for number in range(2):
                office.submit(f"{handler}-{number}", handler)
        office.schedulers.replace(Policies(concurrency=Fixed(1), handlers={"kernel": ONE_SLOT}))
        office.schedulers.interrupt_all("the end")
        assert sorted(office.endings) == sorted(
            (f"{handler}-{number}", "interrupted") for handler in ("kernel", "web", "echo") for number in range(2)
        )
        assert (office.schedulers.running, office.schedulers.waiting, office.clock.pending) == (0, 0, 0)


class TestOnANode:
    def test_an_agents_load_is_its_share_where_it_takes_up_most(self) -> None:
        node = Node(
            policies=Policies(concurrency=Fixed(10), handlers={"kernel": HandlerPolicies(concurrency=Fixed(2))}),
            handlers=HandlerAccess({"*": ["echo", "kernel"]}),
        )
        agent = node.agent("a")
        agent.query("e1")
        agent.query("k1", handler="kernel")
        node.clock.advance(2)
        entry = node.cortex.presence.get("a")
        assert entry is not None
        assert [meta["load"] for meta in entry["metas"]] == [0.5]

    def test_any_query_can_be_interrupted_by_its_agent(self) -> None:
        node = Node(policies=Policies(handlers={"kernel": ONE_SLOT}), handlers=HandlerAccess({"*": ["echo", "kernel"]}))
        agent = node.agent("a")
        for ref in ("runs", "waits"):
            agent.query(ref, handler="kernel")
        agent.interrupt("waits")
        agent.interrupt("runs")
        agent.disconnect()
        node.settle(60)
        assert node.leftovers() == {}


HANDLERS = ("", "kernel", "web")
RULES = st.builds(
    HandlerPolicies,
    concurrency=st.builds(Fixed, st.integers(1, 2)),
    queue=st.builds(Fifo, bound=st.integers(0, 3)),
    rate_limit=st.none() | st.builds(TokenBucket, st.just(1.0), st.integers(1, 5), st.just("agent")),
)
ALL_RULES = st.builds(
    Policies,
    concurrency=st.builds(Fixed, st.integers(1, 2)),
    queue=st.builds(Fifo, bound=st.integers(0, 3)),
    rate_limit=st.builds(TokenBucket, st.just(10.0), st.integers(1, 20), st.just("agent")),
    handlers=st.dictionaries(st.sampled_from(HANDLERS[1:]), RULES),
)


class Life(RuleBasedStateMachine):
    """Queries come and go under rules that change all the time; none is lost, ended twice, or out of bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(Policies(concurrency=Fixed(1)))
        self.accepted: dict[str, Job] = {}
        self.number = 0

    @rule(handler=st.sampled_from(HANDLERS))
    def submit(self, handler: str) -> None:
        self.number += 1
        job = Job("a", f"q{self.number}", handler=handler)
        if self.office.schedulers.submit(job) is None:
            self.accepted[job.ref] = job

    @rule(policies=ALL_RULES)
    def replace(self, policies: Policies) -> None:
        before = set(self.office.running)
        self.office.schedulers.replace(policies)
        assert before <= set(self.office.running), "what ran runs on"

    @precondition(lambda self: self.office.runner.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.office.runner.finish(data.draw(st.sampled_from(self.office.running)))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        job = self.accepted[data.draw(st.sampled_from(sorted(self.accepted)))]
        alive = job.state is not State.ENDED
        assert self.office.schedulers.interrupt(job, "enough") == alive

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.office.clock.advance(seconds)

    @invariant()
    def queries_are_conserved(self) -> None:
        one = self.office.schedulers
        assert one.submitted == self.number == one.rejected + one.waiting + one.running + one.ended
        assert one.running == len(self.office.runner.running)
        ended = [ref for ref, _ in self.office.endings]
        assert len(ended) == len(set(ended)) == one.ended
        unfinished = {ref for ref, job in self.accepted.items() if job.state is not State.ENDED}
        assert unfinished | set(ended) == set(self.accepted)
        assert len(unfinished) == one.running + one.waiting

    def teardown(self) -> None:
        self.office.schedulers.interrupt_all("the end")
        assert {ref for ref, _ in self.office.endings} == set(self.accepted)
        assert self.office.clock.pending == 0


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
