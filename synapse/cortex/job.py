"""A query as the scheduler sees it: whose it is, how urgent, and how far it has come."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from synapse.policies import RateLimit

if TYPE_CHECKING:
    from synapse.cortex.scheduler import Scheduler


class State(IntEnum):
    """A job's state only ever grows."""

    NEW = 0
    WAITING = 1
    RUNNING = 2
    ENDED = 3


class Job:
    """One query on its way through the scheduler.

    Parameters
    ----------
    agent, ref
        Whose query it is, and the agent's name for it. Together they are its identity.
    handler
        Which handler answers it.
    priority
        0 (first) to 9 (last).
    timeout
        In s from submission, None for the policy's.
    attempt
        Which try of the client's this is, from 1.
    body
        What the runner works on. The scheduler never looks at it.
    connection, key
        By which connection it came, and what opened the door to that: rate limits and fair queues may count
        by them.
    cost
        What it counts for in rate limits.
    limit
        A rate limit besides those of the policies: its key's own.

    Attributes
    ----------
    submitted, admitted, started, first_thought, finished : float or None
        When it came so far, s on the scheduler's clock.
    deadline : float
        By when it must have ended, s on the scheduler's clock.
    scheduler : Scheduler
        To whom its runner reports; set when it is submitted.
    status : str or None
        Once ended: ``success``, ``error``, ``timeout`` or ``interrupted``.
    thoughts : int
        How many it had so far.
    """

    __slots__ = (
        "admitted",
        "agent",
        "attempt",
        "body",
        "connection",
        "cost",
        "deadline",
        "finished",
        "first_thought",
        "handler",
        "key",
        "limit",
        "priority",
        "reason",
        "ref",
        "scheduler",
        "started",
        "state",
        "status",
        "submitted",
        "thoughts",
        "timeout",
        "work",
    )

    def __init__(
        self,
        agent: str,
        ref: str,
        *,
        handler: str = "",
        priority: int = 5,
        timeout: float | None = None,
        attempt: int = 1,
        body: Any = None,
        connection: int = 0,
        key: str = "",
        cost: int = 1,
        limit: RateLimit | None = None,
    ) -> None:
        self.agent = agent
        self.ref = ref
        self.handler = handler
        self.priority = priority
        self.timeout = timeout
        self.attempt = attempt
        self.body = body
        self.connection = connection
        self.key = key
        self.cost = cost
        self.limit = limit
        self.scheduler: Scheduler  # the one it was submitted to
        self.deadline = math.inf
        self.state = State.NEW
        self.submitted = 0.0
        self.admitted: float | None = None
        self.started: float | None = None
        self.first_thought: float | None = None
        self.finished: float | None = None
        self.status: str | None = None
        self.reason: str | None = None
        self.thoughts = 0
        self.work: Any = None  # the runner's own handle on what it started

    def __repr__(self) -> str:
        return f"<Job {self.agent}/{self.ref} {self.status or self.state.name.lower()}>"
