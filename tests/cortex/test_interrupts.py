"""InterruptManager: a query's ref belongs to its agent."""

from __future__ import annotations

import pytest

from synapse.cortex import InterruptManager, Job, State


class Recorder:
    """Stands for the scheduler."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def __call__(self, job: Job, reason: str) -> bool:
        self.calls.append((job.agent, job.ref, reason))
        return True


@pytest.fixture
def interrupted() -> Recorder:
    return Recorder()


@pytest.fixture
def interrupts(interrupted: Recorder) -> InterruptManager:
    return InterruptManager(interrupted)


def test_a_signal_interrupts_the_query_of_that_agent_and_ref(
    interrupts: InterruptManager, interrupted: Recorder
) -> None:
    interrupts.register(Job("a", "q1"))
    assert interrupts.signal("a", "q1", "enough")
    assert interrupted.calls == [("a", "q1", "enough")]


def test_two_agents_may_use_the_same_ref_and_cannot_reach_each_others_query(
    interrupts: InterruptManager, interrupted: Recorder
) -> None:
    for agent in ("a", "b"):
        interrupts.register(Job(agent, "q1"))
    interrupts.signal("b", "q1", "enough")
    assert interrupted.calls == [("b", "q1", "enough")]


def test_a_signal_to_an_unknown_query_does_nothing(interrupts: InterruptManager, interrupted: Recorder) -> None:
    interrupts.register(Job("a", "q1"))
    assert not interrupts.signal("a", "q2", "enough")
    assert not interrupts.signal("b", "q1", "enough")
    assert interrupted.calls == []


def test_a_ref_in_use_is_refused(interrupts: InterruptManager) -> None:
    first = Job("a", "q1")
    interrupts.register(first)
    with pytest.raises(ValueError, match="ref already in use: q1"):
        interrupts.register(Job("a", "q1"))
    assert interrupts.find("a", "q1") is first


def test_a_ref_is_free_again_when_its_query_is_forgotten(interrupts: InterruptManager) -> None:
    job = Job("a", "q1")
    interrupts.register(job)
    interrupts.unregister(job)
    assert interrupts.find("a", "q1") is None
    interrupts.register(Job("a", "q1"))


def test_a_query_can_be_forgotten_only_by_itself(interrupts: InterruptManager) -> None:
    job = Job("a", "q1")
    interrupts.register(job)
    interrupts.unregister(Job("a", "q1"))
    interrupts.unregister(Job("b", "q1"))
    assert interrupts.find("a", "q1") is job


def test_nothing_is_kept_of_an_agent_without_queries(interrupts: InterruptManager) -> None:
    job = Job("a", "q1")
    interrupts.register(job)
    assert (len(interrupts), list(interrupts), interrupts.of_agent("a")) == (1, [job], [job])
    interrupts.unregister(job)
    assert (len(interrupts), list(interrupts), interrupts.of_agent("a")) == (0, [], [])


def test_signal_all_interrupts_all_of_one_agent_and_those_that_wait_first(
    interrupts: InterruptManager, interrupted: Recorder
) -> None:
    """Else the slot of a running one would start a waiting one, only to be stopped."""
    for ref, state in (("runs", State.RUNNING), ("waits", State.WAITING), ("runs too", State.RUNNING)):
        job = Job("a", ref)
        job.state = state
        interrupts.register(job)
    interrupts.register(Job("b", "other"))
    assert interrupts.signal_all("a", "gone") == 3
    assert [ref for _, ref, _ in interrupted.calls] == ["waits", "runs", "runs too"]


def test_a_query_may_ask_why_it_should_stop(interrupts: InterruptManager) -> None:
    job = Job("a", "q1")
    assert interrupts.check_interrupt(job) is None
    job.state, job.status, job.reason = State.ENDED, "interrupted", "enough"
    assert interrupts.check_interrupt(job) == "enough"
    job.status, job.reason = "timeout", None
    assert interrupts.check_interrupt(job) == "timeout"
