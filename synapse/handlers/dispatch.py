"""Who runs a query: a worker if its handler's name says so, a handler of this process otherwise."""

from __future__ import annotations

from synapse.cortex import Job, Runner
from synapse.protocol import WORKER


class Dispatch:
    """A `synapse.cortex.scheduler.Runner` of two.

    Parameters
    ----------
    handlers
        Runs the handlers of this process.
    workers
        Runs those whose names begin with ``worker:``.
    """

    def __init__(self, handlers: Runner, workers: Runner) -> None:
        self._handlers = handlers
        self._workers = workers

    def start(self, job: Job) -> None:
        """Begin to work on a job."""
        self._of(job).start(job)

    def cancel(self, job: Job) -> None:
        """Stop working on a job that has ended."""
        self._of(job).cancel(job)

    def _of(self, job: Job) -> Runner:
        return self._workers if job.handler.startswith(WORKER) else self._handlers
