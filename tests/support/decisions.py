"""What a scheduler was told and when, and what it decided: a record that can be compared with another one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from synapse.cortex import Job, Outlet, Scheduler
from synapse.cortex.clock import Clock
from synapse.cortex.scheduler import Runner

TOLD = ("submit", "think", "finish", "interrupt", "drain", "interrupt_all", "replace")
ASKED = ("agent", "ref", "handler", "priority", "timeout", "attempt", "connection", "key", "cost")

DECIDES = {"think": 1, "finish": 2}  # how many arguments do: what is thought and answered decides nothing


class Step(msgspec.Struct):
    """One thing that a scheduler was told, and all that it did before it returned.

    Attributes
    ----------
    what, arguments
        A method of the scheduler, or ``timer``. Jobs are told by number, in the order of their submission.
    now
        The time that it saw, s. None: it did not look at the clock.
    answer
        What it returned.
    did
        Whom it started, cancelled and ended, which timers it set and called off.
    then
        Running, waiting, limit, submitted, rejected and ended after it.
    """

    what: str
    arguments: tuple[Any, ...]
    now: float | None = None
    answer: Any = None
    did: list[tuple[Any, ...]] = []
    then: tuple[int, ...] = ()


class Recorder:
    """Stands at the doors of a scheduler: its clock, its runner, its outlet, and what it is told.

    Attributes
    ----------
    scheduler
        The one that is recorded.
    born
        When it was made, s.
    steps
        The record.
    """

    scheduler: Scheduler

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.born = 0.0
        self.jobs: list[Job] = []
        self._numbers: dict[Job, int] = {}
        self._timers: list[Callable[[], None]] = []
        self._step: Step | None = None

    def make(self, clock: Clock, runner: Runner, outlet: Outlet, *others: Any) -> Scheduler:
        """Make a scheduler, as `Scheduler` itself would, and record it."""
        self._clock, self._runner, self._outlet = clock, runner, outlet
        self.born = clock.time()
        self.scheduler = Scheduler(Doors(self), Doors(self), Doors(self), *others)
        for name in TOLD:
            setattr(self.scheduler, name, self._told(name))
        return self.scheduler

    def fire(self, number: int) -> None:
        """Let a timer come."""
        self._timers[number]()

    def note(self, *what: Any) -> None:
        """It has done something."""
        assert self._step is not None, f"a decision without a cause: {what}"
        self._step.did.append(what)

    def number(self, job: Job) -> int:
        return self._numbers[job]

    def look(self) -> float:
        now = self._clock.time()
        if self._step is not None:
            assert self._step.now is None, f"{self._step.what} looked at the clock twice"
            self._step.now = now
        return now

    def set_timer(self, delay: float, callback: Callable[[], object]) -> Timer:
        number = len(self._timers)
        self.note("sets timer", number, delay)
        self._timers.append(lambda: self._do(Step("timer", (number,), did=[]), callback))
        return Timer(self, number, self._clock.call_later(delay, self._timers[number]))

    def _told(self, name: str) -> Callable[..., Any]:
        method = getattr(self.scheduler, name)

        def told(*arguments: Any) -> Any:
            if name == "submit":
                self._numbers[arguments[0]] = len(self.jobs)
                self.jobs.append(arguments[0])
                plain = tuple(getattr(arguments[0], field) for field in ASKED)
            else:
                plain = tuple(self._numbers[part] if isinstance(part, Job) else part for part in arguments)
                plain = plain[: DECIDES.get(name)]
            return self._do(Step(name, plain, did=[]), method, *arguments)

        return told

    def _do(self, step: Step, method: Callable[..., Any], *arguments: Any) -> Any:
        assert self._step is None, f"{step.what} while it was told {self._step}"
        self._step = step
        try:
            step.answer = method(*arguments)
        finally:
            self._step = None
        one = self.scheduler
        step.then = (one.running, one.waiting, one.limit, one.submitted, one.rejected, one.ended)
        self.steps.append(step)
        return step.answer


class Doors:
    """A recorded scheduler's clock, runner and outlet."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.time = recorder.look
        self.call_later = recorder.set_timer

    def start(self, job: Job) -> None:
        self._recorder.note("starts", self._recorder.number(job), job.started, job.deadline)
        self._recorder._runner.start(job)

    def cancel(self, job: Job) -> None:
        self._recorder.note("cancels", self._recorder.number(job))
        self._recorder._runner.cancel(job)

    def thought(self, job: Job, thought: Any) -> None:
        self._recorder._outlet.thought(job, thought)

    def ended(self, job: Job, data: Any) -> None:
        self._recorder.note("ends", self._recorder.number(job), job.status, job.reason, job.finished)
        self._recorder._outlet.ended(job, data)


class Timer:
    """A timer of a recorded scheduler."""

    def __init__(self, recorder: Recorder, number: int, timer: Any) -> None:
        self._recorder = recorder
        self._number = number
        self._timer = timer

    def cancel(self) -> None:
        self._recorder.note("calls off timer", self._number)
        self._timer.cancel()


def play(steps: list[Step], recorder: Recorder, set_clock: Callable[[float], None], job: Callable[..., Job]) -> None:
    """Tell the recorder's scheduler what another one was told, when it was told.

    Parameters
    ----------
    steps
        The other one's record.
    set_clock
        Makes it that time.
    job
        Makes a job of what a query asks for.
    """
    for step in steps:
        if step.now is not None:
            set_clock(step.now)
        first, *rest = step.arguments or (None,)
        told = recorder.fire if step.what == "timer" else getattr(recorder.scheduler, step.what)
        match step.what:
            case "submit":
                told(job(**dict(zip(ASKED, step.arguments, strict=True))))
            case "think":
                told(recorder.jobs[first], None)
            case "finish" | "interrupt":
                told(recorder.jobs[first], *rest)
            case _:
                told(*step.arguments)
