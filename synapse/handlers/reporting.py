"""To whom runners report: the scheduler, or, in a worker's process, the way to the server."""

from __future__ import annotations

from typing import Any, Protocol

from synapse.cortex.job import Job


class Reporter(Protocol):
    """`synapse.cortex.Scheduler`, as far as a runner needs it."""

    def think(self, job: Job, thought: Any) -> bool:
        """Deliver a thought. False if the job has ended."""

    def finish(self, job: Job, status: str, data: Any = None, reason: str | None = None) -> bool:
        """Report an ending. False if the job has ended before."""
