"""The scheduler: a query's life, and that none is ever lost or ended twice."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from synapse.cortex import Job, Refusal, Scheduler, State
from synapse.cortex.scheduler import SOONEST_RETRY
from synapse.policies import Deadline, Fixed, FixedTimeout, NoTimeout, Policies, Priority
from synapse.telemetry import events
from tests.support.clock import VirtualClock
from tests.support.runner import ScriptedRunner


def patience(timeout: float | None) -> FixedTimeout | NoTimeout:
    """The policy of so many seconds, None for as long as it takes."""
    return NoTimeout() if timeout is None else FixedTimeout(timeout)


class Desk:
    """A scheduler with a clock, a runner moved by hand, and an outlet that takes notes."""

    def __init__(self, limit: int = 2, bound: int = 2, timeout: float | None = 30.0) -> None:
        self.clock = VirtualClock(now=1000.0)
        self.runner = ScriptedRunner(self.clock)
        self.bus = events.Bus()
        self.events: list[Any] = []
        self.bus.listen(self.events.append)
        policies = Policies(queue=Priority(bound), concurrency=Fixed(limit), timeout=patience(timeout))
        self.scheduler = Scheduler(self.clock, self.runner, self, policies, self.bus, "desk")
        self.thoughts: list[tuple[str, Any]] = []
        self.endings: list[tuple[str, str | None, str | None, Any]] = []
        self.then: Callable[[], object] | None = None  # what to do in the moment of the next ending

    def thought(self, job: Job, thought: Any) -> None:
        if thought is object:
            raise TypeError("no JSON form")
        self.thoughts.append((job.ref, thought))

    def ended(self, job: Job, data: Any) -> None:
        assert job.state is State.ENDED
        self.endings.append((job.ref, job.status, job.reason, data))
        if self.then is not None:
            then, self.then = self.then, None
            then()

    def submit(self, ref: str, priority: int = 5, timeout: float | None = None) -> Job:
        """Submit what must be accepted."""
        job = Job("a", ref, priority=priority, timeout=timeout)
        assert self.scheduler.submit(job) is None
        return job

    def refused(self, ref: str, priority: int = 5) -> Refusal:
        """Submit what must be refused."""
        refusal = self.scheduler.submit(Job("a", ref, priority=priority))
        assert refusal is not None
        return refusal

    def replace(self, **parts: Any) -> None:
        """Go on under other rules in some parts."""
        self.scheduler.replace(msgspec.structs.replace(self.scheduler.policies, **parts))

    @property
    def running(self) -> list[str]:
        return [job.ref for job in self.runner.running]

    @property
    def counts(self) -> tuple[int, int]:
        assert self.scheduler.running == len(self.runner.running)
        return self.scheduler.running, self.scheduler.waiting

    def announced(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestAdmission:
    def test_a_query_runs_at_once_while_there_is_a_slot(self, desk: Desk) -> None:
        job = desk.submit("q1")
        assert (job.state, desk.running, desk.counts) == (State.RUNNING, ["q1"], (1, 0))

    def test_it_waits_when_all_slots_are_taken(self, desk: Desk) -> None:
        for ref in ("q1", "q2", "q3"):
            desk.submit(ref)
        assert (desk.running, desk.counts) == (["q1", "q2"], (2, 1))

    def test_it_is_refused_when_the_queue_is_full(self) -> None:
        desk = Desk(limit=1, bound=1)
        desk.submit("q1")
        desk.submit("q2")
        assert desk.refused("q3") == Refusal("overloaded", "priority", SOONEST_RETRY)
        assert desk.counts == (1, 1)
        assert desk.endings == []

    def test_without_a_queue_it_runs_or_is_refused(self) -> None:
        desk = Desk(limit=1, bound=0)
        desk.submit("q1")
        assert desk.refused("q2").reason == "overloaded"

    def test_a_better_query_takes_the_place_of_a_worse_one_which_then_ends(self) -> None:
        desk = Desk(limit=1, bound=1)
        desk.submit("runs")
        evicted = desk.submit("worse", priority=9)
        desk.submit("better", priority=0)
        assert desk.endings == [("worse", "error", "overloaded", {"reason": "overloaded", "policy": "priority"})]
        assert (evicted.started, desk.counts) == (None, (1, 1))

    def test_a_refusal_says_when_the_queue_should_have_moved_on(self) -> None:
        """Mean run x places in the queue / slots: here 4 s x 2 / 1."""
        desk = Desk(limit=1, bound=1)
        desk.submit("q1")
        desk.clock.advance(4)
        desk.runner.finish("q1")
        desk.submit("q2")
        desk.submit("q3")
        assert desk.refused("q4").retry_after == pytest.approx(8.0)

    def test_queries_that_never_ran_do_not_make_runs_look_short(self) -> None:
        desk = Desk(limit=1, bound=1)
        desk.submit("q0")
        for number in range(30):
            desk.submit(f"waits {number}", timeout=0.01)
            desk.clock.advance(0.1)
        desk.clock.advance(1)
        desk.runner.finish("q0")
        desk.submit("q1")
        desk.submit("q2")
        assert desk.refused("q3").retry_after == pytest.approx(2 * 4.0)

    def test_after_a_drain_nothing_is_accepted_and_what_was_goes_on(self, desk: Desk) -> None:
        for ref in ("q1", "q2", "q3"):
            desk.submit(ref)
        desk.scheduler.drain()
        assert desk.refused("q4") == Refusal("shutting_down", "drain")
        desk.runner.finish("q1")
        assert desk.running == ["q2", "q3"]


class TestOrder:
    def test_a_free_slot_goes_to_the_best_of_those_who_wait(self) -> None:
        desk = Desk(limit=1, bound=9)
        desk.submit("runs")
        for ref, priority in (("last", 9), ("first", 0), ("second", 0), ("middle", 5)):
            desk.submit(ref, priority)
        order = []
        while desk.running:
            order += desk.running
            desk.runner.finish(desk.running[0])
        assert order == ["runs", "first", "second", "middle", "last"]

    def test_no_newcomer_overtakes_those_who_wait_in_its_class(self, desk: Desk) -> None:
        for ref in ("q1", "q2", "q3"):
            desk.submit(ref)
        desk.runner.finish("q1")
        desk.submit("q4")
        assert (desk.running, desk.counts) == (["q2", "q3"], (2, 1))

    def test_no_agent_overtakes_by_asking_again_in_the_moment_of_its_ending(self) -> None:
        """Simulated agents do: the slot is free then, but others have waited for it."""
        desk = Desk(limit=1)
        desk.submit("q1")
        desk.submit("waits")
        desk.then = lambda: desk.submit("asks again")
        desk.runner.finish("q1")
        assert (desk.running, desk.counts) == (["waits"], (1, 1))

    @pytest.mark.parametrize("ending", ["finish", "timeout", "interrupt"])
    def test_every_ending_frees_the_slot(self, ending: str) -> None:
        desk = Desk(limit=1, timeout=5)
        job = desk.submit("q1")
        desk.clock.advance(1)
        desk.submit("q2")
        match ending:
            case "finish":
                desk.runner.finish("q1")
            case "timeout":
                desk.clock.advance(4)
            case "interrupt":
                desk.scheduler.interrupt(job, "enough")
        assert desk.running == ["q2"]


class TestEndings:
    def test_the_runner_reports_one(self, desk: Desk) -> None:
        desk.submit("q1")
        assert desk.runner.finish("q1", {"n": 1})
        assert desk.endings == [("q1", "success", None, {"n": 1})]
        assert desk.runner.cancelled == []

    def test_the_second_one_is_not_wanted(self, desk: Desk) -> None:
        job = desk.submit("q1")
        desk.runner.finish("q1")
        assert not desk.scheduler.finish(job, "error")
        assert not desk.scheduler.interrupt(job, "too late")
        desk.clock.run_until_idle()
        assert [ref for ref, *_ in desk.endings] == ["q1"]

    def test_a_timeout_while_running_cancels_the_work(self, desk: Desk) -> None:
        job = desk.submit("q1", timeout=5)
        desk.clock.advance(4.999)
        assert desk.endings == []
        desk.clock.advance(0.001)
        assert desk.endings == [("q1", "timeout", "timeout", {"reason": "timeout"})]
        assert desk.runner.cancelled == [job]

    def test_a_timeout_while_waiting_starts_nothing(self, desk: Desk) -> None:
        for ref in ("q1", "q2"):
            desk.submit(ref)
        waits = desk.submit("q3", timeout=5)
        desk.clock.advance(5)
        assert desk.endings == [("q3", "timeout", "timeout", {"reason": "timeout"})]
        assert (waits.started, desk.runner.cancelled, desk.counts) == (None, [], (2, 0))

    def test_the_time_waited_counts(self) -> None:
        desk = Desk(limit=1)
        desk.submit("q1")
        desk.submit("q2", timeout=5)
        desk.clock.advance(4)
        desk.runner.finish("q1")
        desk.clock.advance(1)
        assert [ending[:2] for ending in desk.endings] == [("q1", "success"), ("q2", "timeout")]

    def test_the_policy_has_the_patience_of_a_query_that_names_none(self) -> None:
        desk = Desk(timeout=7)
        desk.submit("q1")
        desk.clock.run_until_idle()
        assert (desk.clock.time(), desk.endings[0][1]) == (1007.0, "timeout")

    def test_an_interrupt_while_running_cancels_the_work(self, desk: Desk) -> None:
        job = desk.submit("q1")
        assert desk.scheduler.interrupt(job, "enough")
        assert desk.endings == [("q1", "interrupted", "enough", None)]
        assert desk.runner.cancelled == [job]

    def test_an_interrupt_while_waiting_starts_nothing(self, desk: Desk) -> None:
        for ref in ("q1", "q2"):
            desk.submit(ref)
        waits = desk.submit("q3")
        assert desk.scheduler.interrupt(waits, "enough")
        assert desk.endings == [("q3", "interrupted", "enough", None)]
        assert (waits.started, desk.runner.cancelled) == (None, [])

    def test_what_was_never_submitted_cannot_be_interrupted(self, desk: Desk) -> None:
        assert not desk.scheduler.interrupt(Job("a", "q1"), "enough")
        assert desk.endings == []

    def test_interrupt_all_ends_those_who_wait_and_those_who_run_and_starts_no_one(self, desk: Desk) -> None:
        for ref in ("q1", "q2", "q3", "q4"):
            desk.submit(ref)
        desk.scheduler.interrupt_all("shutting_down")
        assert sorted(desk.endings) == [(f"q{n}", "interrupted", "shutting_down", None) for n in (1, 2, 3, 4)]
        assert [job.ref for job in desk.runner.started] == ["q1", "q2"]
        assert desk.counts == (0, 0)

    def test_an_ending_leaves_no_timer(self, desk: Desk) -> None:
        jobs = [desk.submit(ref) for ref in ("q1", "q2", "q3")]
        desk.runner.finish("q1")
        for job in jobs[1:]:
            desk.scheduler.interrupt(job, "enough")
        assert desk.clock.pending == 0


class TestNoTimeout:
    def test_no_one_is_timed_and_each_runs_as_long_as_it_takes(self) -> None:
        desk = Desk(limit=1, timeout=None)
        runs, waits = desk.submit("runs"), desk.submit("waits")
        assert (runs.deadline, waits.deadline) == (math.inf, math.inf)
        assert (len(desk.scheduler._deadlines), desk.clock.pending) == (0, 0)
        desk.clock.advance(1e6)
        assert (desk.counts, desk.endings) == ((1, 1), [])
        desk.runner.finish("runs")
        desk.clock.advance(1e6)
        desk.runner.finish("waits")
        assert [ending[:2] for ending in desk.endings] == [("runs", "success"), ("waits", "success")]

    def test_it_can_be_interrupted_whether_it_runs_or_waits(self) -> None:
        desk = Desk(limit=1, timeout=None)
        jobs = [desk.submit(ref) for ref in ("runs", "waits")]
        desk.clock.advance(1e6)
        for job in reversed(jobs):
            assert desk.scheduler.interrupt(job, "enough")
        assert [ending[:3] for ending in desk.endings] == [
            ("waits", "interrupted", "enough"),
            ("runs", "interrupted", "enough"),
        ]
        assert desk.runner.cancelled == [jobs[0]]

    def test_one_that_names_its_own_ends_by_it_and_the_others_go_on(self) -> None:
        desk = Desk(limit=1, timeout=None)
        desk.submit("endless")
        desk.submit("waits", timeout=5)
        assert (len(desk.scheduler._deadlines), desk.clock.pending) == (1, 1)
        desk.clock.advance(4.999)
        assert desk.endings == []
        desk.clock.advance(0.001)
        assert [ending[:2] for ending in desk.endings] == [("waits", "timeout")]
        assert (desk.running, desk.clock.pending) == (["endless"], 0)

    @pytest.mark.parametrize(("before", "after"), [(None, 5.0), (5.0, None)])
    def test_a_change_of_the_rule_leaves_those_who_are_there_what_they_were_given(
        self, before: float | None, after: float | None
    ) -> None:
        desk = Desk(limit=1, bound=9, timeout=before)
        given = dict.fromkeys(("runs", "waits"), before)
        for ref in given:
            desk.submit(ref)
        desk.clock.advance(2)
        for timeout, ref in ((after, "after"), (before, "again")):
            desk.replace(timeout=patience(timeout))
            assert desk.submit(ref).deadline == 1002 + (math.inf if timeout is None else timeout)
            given[ref] = timeout
        desk.clock.advance(1e6)
        timed_out = [(ref, "timeout") for ref, timeout in given.items() if timeout is not None]
        assert sorted(ending[:2] for ending in desk.endings) == sorted(timed_out)
        assert desk.clock.pending == 0

    def test_a_deadline_queue_serves_last_who_has_none_and_gives_up_on_no_one(self) -> None:
        desk = Desk(limit=1, timeout=None)
        desk.replace(queue=Deadline(9, service=3600))
        for ref, timeout in (("runs", None), ("first", None), ("second", None), ("urgent", 7200)):
            desk.submit(ref, timeout=timeout)
        order = []
        while desk.running:
            order += desk.running
            desk.runner.finish(desk.running[0])
        assert order == ["runs", "urgent", "first", "second"]


class TestThoughts:
    def test_they_are_delivered_in_order_and_counted(self, desk: Desk) -> None:
        job = desk.submit("q1")
        desk.clock.advance(2)
        for thought in ("one", "two"):
            assert desk.runner.think("q1", thought)
        assert desk.thoughts == [("q1", "one"), ("q1", "two")]
        assert (job.thoughts, job.first_thought) == (2, 1002.0)

    @pytest.mark.parametrize("ending", ["finish", "interrupt", "timeout"])
    def test_none_is_delivered_after_the_ending(self, desk: Desk, ending: str) -> None:
        job = desk.submit("q1")
        match ending:
            case "finish":
                desk.runner.finish("q1")
            case "interrupt":
                desk.scheduler.interrupt(job, "enough")
            case "timeout":
                desk.clock.advance(30)
        assert not desk.scheduler.think(job, "too late")
        assert (desk.thoughts, job.thoughts) == ([], 0)

    def test_one_without_a_wire_form_is_its_runners_trouble_and_does_not_count(self, desk: Desk) -> None:
        job = desk.submit("q1")
        with pytest.raises(TypeError, match="no JSON form"):
            desk.runner.think("q1", object)
        assert (job.thoughts, job.first_thought, job.state) == (0, None, State.RUNNING)


class TestABrokenRunner:
    def test_what_it_cannot_start_ends_with_an_error_in_a_later_turn(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.runner.broken = True
        desk.submit("q1")
        assert desk.endings == []
        desk.clock.advance()
        assert desk.endings == [("q1", "error", "internal error", {"reason": "internal error"})]
        assert (desk.scheduler.running, desk.clock.pending) == (0, 0)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_those_who_wait_get_their_turn(self) -> None:
        desk = Desk(limit=1, bound=9)
        desk.submit("q1")
        for ref in ("q2", "q3"):
            desk.submit(ref)
        desk.runner.broken = True
        desk.runner.finish("q1")
        desk.clock.advance()
        desk.clock.advance()
        assert [ending[:2] for ending in desk.endings] == [("q1", "success"), ("q2", "error"), ("q3", "error")]

    def test_what_it_cannot_cancel_still_frees_its_slot(self) -> None:
        desk = Desk(limit=1)
        job = desk.submit("q1")
        waits = desk.submit("q2")
        desk.runner.broken = True
        desk.scheduler.interrupt(job, "enough")
        assert waits.state is State.RUNNING


class TestTelemetry:
    def test_a_life_is_announced_from_its_submission_to_its_ending(self, desk: Desk) -> None:
        desk.submit("q1", priority=3)
        desk.clock.advance(1)
        desk.runner.think("q1")
        desk.clock.advance(1)
        desk.runner.finish("q1", reason="fine")
        assert desk.events == [
            events.Submitted(1000.0, "desk", "a", "q1", 3, ""),
            events.Admitted(1000.0, "desk", "a", "q1", 3),
            events.Started(1000.0, "desk", "a", "q1", 0.0, ""),
            events.Thought(1001.0, "desk", "a", "q1", 1),
            events.Finished(
                1002.0, "desk", "a", "q1", 3, 1, 1000.0, 1000.0, 1000.0, 1001.0, "success", "fine", 1
            ),
        ]  # fmt: skip

    def test_the_time_waited_is_announced(self) -> None:
        desk = Desk(limit=1)
        desk.submit("q1")
        desk.submit("q2")
        desk.clock.advance(3)
        desk.runner.finish("q1")
        assert [event.waited for event in desk.announced(events.Started)] == [0.0, 3.0]

    def test_a_refusal_is_announced_and_no_ending(self) -> None:
        desk = Desk(limit=1, bound=0)
        desk.submit("q1")
        desk.refused("q2")
        assert desk.announced(events.Rejected) == [
            events.Rejected(1000.0, "desk", "a", "q2", 5, 1, "overloaded", "priority", SOONEST_RETRY)
        ]
        assert desk.announced(events.Finished) == []

    def test_it_runs_without_listeners(self) -> None:
        desk = Desk()
        desk.bus.listeners.clear()
        desk.submit("q1")
        desk.runner.think("q1")
        desk.runner.finish("q1")
        assert (desk.events, desk.endings) == ([], [("q1", "success", None, None)])


def test_it_shows_where_it_stands(desk: Desk) -> None:
    for ref in ("q1", "q2", "q3"):
        desk.submit(ref)
    desk.runner.finish("q1")
    assert repr(desk.scheduler) == "<Scheduler 2/2 running, 0 waiting, 1 ended, 0 rejected>"
    assert repr(desk.runner.job("q1")) == "<Job a/q1 success>"
    assert repr(desk.runner.job("q2")) == "<Job a/q2 running>"


class Conservation(RuleBasedStateMachine):
    """Whatever happens in whatever order: submitted = rejected + waiting + running + ended, each ended once."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(limit=2, bound=3)
        self.jobs: list[Job] = []
        self.accepted: list[str] = []

    @rule(priority=st.integers(0, 9), timeout=st.sampled_from([0.5, 1.0, 3.0, None]))
    def submit(self, priority: int, timeout: float | None) -> None:
        job = Job("a", str(len(self.jobs)), priority=priority, timeout=timeout)
        self.jobs.append(job)
        endings = len(self.desk.endings)
        if self.desk.scheduler.submit(job) is None:
            self.accepted.append(job.ref)
            assert job.ref not in [ref for ref, *_ in self.desk.endings[endings:]], "ended at once"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), status=st.sampled_from(["success", "error"]))
    def finish(self, data: st.DataObject, status: str) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        if job.state is State.RUNNING:
            assert self.desk.runner.finish(job.ref, status=status)
        else:
            assert not self.desk.scheduler.finish(job, status)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        alive = job.state in (State.WAITING, State.RUNNING)
        assert self.desk.scheduler.interrupt(job, "enough") == alive

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def think(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        assert self.desk.scheduler.think(job, "hm") == (job.state is State.RUNNING)

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.desk.clock.advance(seconds)

    @rule()
    def interrupt_all(self) -> None:
        self.desk.scheduler.interrupt_all("enough")
        assert self.desk.counts == (0, 0)

    @invariant()
    def nothing_is_lost(self) -> None:
        scheduler = self.desk.scheduler
        running, waiting = self.desk.counts
        assert scheduler.submitted == scheduler.rejected + waiting + running + scheduler.ended
        assert len(self.accepted) == waiting + running + len(self.desk.endings)
        assert scheduler.submitted == len(self.jobs)

    @invariant()
    def no_one_ends_twice(self) -> None:
        refs = [ref for ref, *_ in self.desk.endings]
        assert len(set(refs)) == len(refs)

    @invariant()
    def slots_are_neither_overbooked_nor_idle(self) -> None:
        running, waiting = self.desk.counts
        assert running <= 2
        assert waiting <= 3
        assert running == 2 or waiting == 0

    @invariant()
    def there_is_one_timer_for_all_unfinished_queries_and_none_for_none(self) -> None:
        assert self.desk.clock.pending == min(1, sum(self.desk.counts))

    def teardown(self) -> None:
        self.desk.clock.run_until_idle()
        assert sorted(ref for ref, *_ in self.desk.endings) == sorted(self.accepted)
        assert self.desk.counts == (0, 0)


Conservation.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestConservation = Conservation.TestCase
