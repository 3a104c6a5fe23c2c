"""Deadlines: everyone who has not ended is told in time, by one timer, and those who have are forgotten."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synapse.cortex import Job, State
from synapse.cortex.deadlines import FEW, Deadlines
from tests.support.clock import VirtualClock


class Watch:
    """Deadlines on a virtual clock, and who has expired when."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.deadlines = Deadlines(self.clock, self.expire)
        self.jobs: list[Job] = []
        self.expired: list[tuple[float, str]] = []

    def add(self, patience: float) -> Job:
        now = self.clock.time()
        job = Job(
            "a",
            str(len(self.jobs)),
        )
        job.submitted, job.deadline = now, now + patience
        self.jobs.append(job)
        self.deadlines.add(job, now)
        return job

    def expire(self, job: Job, now: float) -> None:
        assert job.state is not State.ENDED
        job.state = State.ENDED
        self.expired.append((now, job.ref))


@pytest.fixture
def watch() -> Watch:
    return Watch()


SOON = (0.0, 1.0, False)
GONE = (0.0, 9.0, True)


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from([0.0, 0.5, 1.0, 2.0, 9.0]), st.booleans()), max_size=80))
@example([(5.343073755087106, 9.0, False), (0.2, 0.0, False)]).via("a timer that rounding makes late")
@example([GONE, SOON, *[GONE] * (FEW - 2), SOON, SOON]).via("a sweep leaves no one in line")
@example([(0.0, 0.5, False), GONE, SOON, *[GONE] * (FEW - 3), SOON, SOON]).via("a sweep takes the line's end")
@example([GONE, SOON, (0.0, 0.0, False), SOON]).via("the line has run out, who came early still waits")
def test_who_has_not_ended_expires_when_he_is_due_first_come_first(steps: list[tuple[float, float, bool]]) -> None:
    watch, due = Watch(), list[tuple[float, int]]()
    for place, (pause, patience, ends) in enumerate(steps):
        watch.clock.advance(pause)
        job = watch.add(patience)
        if ends:
            job.state = State.ENDED
        else:
            due.append((job.deadline, place))
        assert watch.clock.pending <= 1
    watch.clock.run_until_idle()
    due.sort()
    assert [int(ref) for _, ref in watch.expired] == [place for _, place in due]
    # A clock is told for how long to wait, not until when: the sum may be rounded.
    assert [at for at, _ in watch.expired] == pytest.approx([at for at, _ in due], rel=1e-12, abs=0)


def test_an_ending_in_time_is_not_called_late(watch: Watch) -> None:
    watch.add(1).state = State.ENDED
    watch.add(2)
    watch.clock.run_until_idle()
    assert watch.expired == [(2.0, "1")]


def test_who_is_less_patient_does_not_wait_for_the_others(watch: Watch) -> None:
    for patience in (10, 3, 5, 1):
        watch.add(patience)
    watch.clock.run_until_idle()
    assert watch.expired == [(1.0, "3"), (3.0, "1"), (5.0, "2"), (10.0, "0")]


def test_who_comes_while_others_expire_is_told_in_time(watch: Watch) -> None:
    def expire(job: Job, now: float) -> None:
        Watch.expire(watch, job, now)
        if len(watch.jobs) < 4:
            watch.add(0.5)

    watch.deadlines._expire = expire
    watch.add(1)
    watch.add(2)
    watch.clock.run_until_idle()
    assert watch.expired == [(1.0, "0"), (1.5, "2"), (2.0, "1"), (2.0, "3")]


@pytest.mark.parametrize("patience", [30.0, None], ids=["usual", "falling"])
def test_those_who_have_ended_do_not_pile_up_behind_one_who_has_not(watch: Watch, patience: float | None) -> None:
    watch.add(1000.0)
    for number in range(5000):
        watch.clock.advance(0.001)
        watch.add(patience or 900.0 - number / 10).state = State.ENDED
        assert len(watch.deadlines) <= 2 * 2 + FEW  # the one, and the newest
    assert watch.clock.pending == 1


def test_cleared_it_keeps_no_one_and_no_timer(watch: Watch) -> None:
    for patience in (3, 1, 2):
        watch.add(patience).state = State.ENDED
    watch.deadlines.clear()
    assert (len(watch.deadlines), watch.clock.pending) == (0, 0)
    watch.add(1)
    watch.clock.run_until_idle()
    assert watch.expired == [(1.0, "3")]
