"""InterruptManager: which queries can be interrupted, and by whom.

A query's ref belongs to its agent: two agents may use the same ref, and no one can interrupt, or even see,
a query that is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from synapse.cortex.job import Job

Interrupter = Callable[[Job, str], bool]


class InterruptManager:
    """The table of unfinished queries, by agent and ref.

    Parameters
    ----------
    interrupt
        The scheduler's: ends a job with a reason.
    """

    def __init__(self, interrupt: Interrupter) -> None:
        self._interrupt = interrupt
        self._jobs: dict[str, dict[str, Job]] = {}

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._jobs.values())

    def __iter__(self) -> Iterator[Job]:
        for jobs in list(self._jobs.values()):
            yield from list(jobs.values())

    def register(self, job: Job) -> None:
        """Make a query interruptible.

        Raises
        ------
        ValueError
            If the agent has an unfinished query of that ref.
        """
        jobs = self._jobs.setdefault(job.agent, {})
        if job.ref in jobs:
            raise ValueError(f"ref already in use: {job.ref}")
        jobs[job.ref] = job

    def unregister(self, job: Job) -> None:
        """Forget a query; nothing happens if it is not registered."""
        jobs = self._jobs.get(job.agent)
        if jobs is not None and jobs.get(job.ref) is job:
            del jobs[job.ref]
            if not jobs:
                del self._jobs[job.agent]

    def find(self, agent: str, ref: str) -> Job | None:
        """An agent's unfinished query."""
        return self._jobs.get(agent, {}).get(ref)

    def of_agent(self, agent: str) -> list[Job]:
        """All unfinished queries of an agent, oldest first."""
        return [*self._jobs.get(agent, {}).values()]

    def signal(self, agent: str, ref: str, reason: str) -> bool:
        """Interrupt an agent's query. False if it has none of that ref."""
        job = self.find(agent, ref)
        return job is not None and self._interrupt(job, reason)

    def signal_all(self, agent: str, reason: str) -> int:
        """Interrupt all of an agent's queries. Returns how many."""
        # Those that wait come first: else a running one's slot would start them, only to be stopped.
        jobs = sorted(self.of_agent(agent), key=lambda job: job.state)
        return sum(self._interrupt(job, reason) for job in jobs)

    def check_interrupt(self, job: Job) -> str | None:
        """Why a query should stop: the reason of its ending, None while it goes on."""
        return job.reason or job.status
