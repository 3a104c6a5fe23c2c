"""Runners without handlers: one moved by hand, one that plays the echo script on a virtual clock."""

from __future__ import annotations

import re
from typing import Any

from synapse.cortex import Job
from tests.support.clock import VirtualClock, VirtualTimer


class ScriptedRunner:
    """Starts nothing by itself: a test thinks and finishes in its place.

    Attributes
    ----------
    started, cancelled : list of Job
        What it was told, in order.
    running : list of Job
        What was started and has neither finished nor been cancelled.
    broken : bool
        Whether `start` and `cancel` raise.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.started: list[Job] = []
        self.cancelled: list[Job] = []
        self.running: list[Job] = []
        self.broken = False

    def start(self, job: Job) -> None:
        if self.broken:
            raise RuntimeError("the runner is broken")
        self.started.append(job)
        self.running.append(job)

    def cancel(self, job: Job) -> None:
        if self.broken:
            raise RuntimeError("the runner is broken")
        self.cancelled.append(job)
        self.running.remove(job)

    def job(self, ref: str, agent: str | None = None) -> Job:
        """The job that was started last with this ref."""
        return next(job for job in reversed(self.started) if job.ref == ref and agent in (None, job.agent))

    def think(self, ref: str, thought: Any = "hm") -> bool:
        """Have a thought, as a handler would."""
        job = self.job(ref)
        return job.scheduler.think(job, thought)

    def finish(self, ref: str, data: Any = None, status: str = "success", reason: str | None = None) -> bool:
        """Come to an end, as a handler would."""
        job = self.job(ref)
        accepted = job.scheduler.finish(job, status, data, reason)
        if accepted:
            self.running.remove(job)
        return accepted


class EchoRunner(ScriptedRunner):
    """Plays ``thoughts=N delay_ms=M fail=1`` in a query's ``q``, as the echo handler does."""

    def start(self, job: Job) -> None:
        super().start(job)
        script = {name: int(value) for name, value in re.findall(r"(thoughts|delay_ms|fail)=(\d+)", job.body["q"])}
        self._continue(job, 1, script)

    def cancel(self, job: Job) -> None:
        super().cancel(job)
        timer: VirtualTimer = job.work
        timer.cancel()

    def _continue(self, job: Job, step: int, script: dict[str, int]) -> None:
        last = step > script.get("thoughts", 3)
        delay = 0.0 if last else script.get("delay_ms", 0) / 1000
        job.work = self.clock.call_later(delay, lambda: self._step(job, step, script))

    def _step(self, job: Job, step: int, script: dict[str, int]) -> None:
        if step <= script.get("thoughts", 3):
            job.scheduler.think(job, {"type": "reasoning", "content": f"step {step}"})
            self._continue(job, step + 1, script)
            return
        self.running.remove(job)
        if script.get("fail") == 1:
            job.scheduler.finish(job, "error", {"reason": "failed"}, "failed")
        else:
            job.scheduler.finish(job, "success", {"echo": job.body["q"]})
