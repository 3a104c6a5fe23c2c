"""What a handler sees: the `Query` it answers, and `think`, by which it speaks while it works.

A handler is any callable ``(query, think) -> data``::

    async def answer(query, think):              # runs as a task on the event loop
        await think("looking at it")             # {"type": "reasoning", "content": "looking at it"}
        return {"length": len(query.q)}

    def count(query, think):                     # a plain function runs in a thread of its own
        for n in range(10**9):
            query.check_interrupt()
            ...

What it returns is the result's data. To fail in words the agent may read, raise `HandlerError`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from synapse.cortex.job import Job, State
from synapse.handlers.errors import Interrupted


class Query:
    """A query, as its handler sees it. May be read from any thread.

    Parameters
    ----------
    job
        The scheduler's job, whose `body` is the validated payload of the ``query`` message: a dict with
        at least ``q``.
    """

    __slots__ = ("_job", "payload")

    payload: Mapping[str, Any]
    """The whole payload of the message, extra fields included."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.payload = job.body

    @property
    def agent(self) -> str:
        """Whose query it is."""
        return self._job.agent

    @property
    def ref(self) -> str:
        """The agent's name for it."""
        return self._job.ref

    @property
    def q(self) -> str:
        """The question."""
        return str(self.payload["q"])

    @property
    def priority(self) -> int:
        """From 0 (first) to 9 (last)."""
        return self._job.priority

    @property
    def timeout(self) -> float | None:
        """In s from submission to the latest ending, None when the server's policy decides."""
        return self._job.timeout

    @property
    def interrupted(self) -> bool:
        """Whether the query has ended meanwhile, so that no one waits for an answer."""
        return self._job.state is State.ENDED

    def check_interrupt(self) -> None:
        """Stop here if the query has ended.

        Raises
        ------
        Interrupted
            With the reason of the ending.
        """
        if self.interrupted:
            raise Interrupted(self._job.reason or self._job.status or "ended")

    def __repr__(self) -> str:
        q = self.q if len(self.q) <= 40 else f"{self.q[:39]}…"
        return f"<Query {self.agent}/{self.ref} {q!r} {self._job.status or self._job.state.name.lower()}>"


class Think(Protocol):
    """How an async handler streams a thought."""

    async def __call__(self, content: Any, type: str = "reasoning", **more: Any) -> None:
        """Send ``{"type": type, "content": content, **more}`` to the agent.

        An interruption point. It gives way to other tasks only when this one has run for about a
        millisecond, so that a few thoughts in a row leave in one write.

        Raises
        ------
        asyncio.CancelledError
            If the query has ended.
        NotJSON
            If the thought has no JSON form.
        """


class BlockingThink(Protocol):
    """How a plain function, in its thread, streams a thought."""

    def __call__(self, content: Any, type: str = "reasoning", **more: Any) -> None:
        """Send ``{"type": type, "content": content, **more}`` to the agent; return when it is on its way.

        Raises
        ------
        Interrupted
            If the query has ended.
        NotJSON
            If the thought has no JSON form.
        """


AsyncHandler: TypeAlias = Callable[[Query, Think], Awaitable[Any]]
PlainHandler: TypeAlias = Callable[[Query, BlockingThink], Any]
Handler: TypeAlias = AsyncHandler | PlainHandler
