"""The two kinds of `think`: on the event loop, and from a worker thread.

Both only shape the thought and hand it to the scheduler, which knows whether anyone still listens.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from synapse.cortex.job import Job
from synapse.handlers.context import Query
from synapse.handlers.errors import NO_JSON_FORM, Interrupted, NotJSON

Deliver = Callable[[Job, Any], bool]
"""`Scheduler.think`: False when the job has ended."""


class Readers(Protocol):
    """Whether those who read an agent's stream keep up; under a mailbox policy of credit, who writes waits for them."""

    def lagging(self, agent: str) -> bool:
        """Whether writers should wait."""

    def hold(self, agent: str, resume: Callable[[], object]) -> None:
        """Call `resume` once, when they need not wait any more."""


class PromptReaders:
    """No one ever has to wait for these."""

    def lagging(self, agent: str) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def hold(self, agent: str, resume: Callable[[], object]) -> None:  # noqa: ARG002
        """At once."""
        resume()


STINT = 0.001
"""How long a handler may think without a break, in s, before other tasks get their turn."""

LOST_LOOP_CHECK = 1.0
"""How often a blocked thread looks whether its loop is still there, in s."""


def deliver(send: Deliver, job: Job, thought: Any) -> bool:
    """Hand over a thought. Raises `NotJSON` for one that has no JSON form."""
    try:
        return send(job, thought)
    except NO_JSON_FORM as error:
        raise NotJSON(f"the thought has no JSON form: {error}") from error


class TaskThink:
    """`think` of an async handler."""

    __slots__ = ("_job", "_readers", "_rested", "_send")

    def __init__(self, job: Job, send: Deliver, readers: Readers) -> None:
        self._job = job
        self._send = send
        self._readers = readers
        self._rested = perf_counter()

    async def __call__(self, content: Any, type: str = "reasoning", **more: Any) -> None:
        thought = {"type": type, "content": content, **more} if more else {"type": type, "content": content}
        if not deliver(self._send, self._job, thought):
            # A handler that swallows the cancellation in a loop would otherwise never let go of the loop.
            await asyncio.sleep(0)
            raise asyncio.CancelledError(self._job.reason)
        if self._readers.lagging(self._job.agent):
            await self._until_read()
        elif perf_counter() - self._rested > STINT:
            await asyncio.sleep(0)
            self._rested = perf_counter()

    async def _until_read(self) -> None:
        read = asyncio.Event()
        self._readers.hold(self._job.agent, read.set)
        await read.wait()
        self._rested = perf_counter()


class ThreadThink:
    """`think` of a plain function: a round trip to the loop, so that a chatty thread waits for its turn."""

    __slots__ = ("_job", "_loop", "_query", "_readers", "_send")

    def __init__(
        self, job: Job, query: Query, send: Deliver, readers: Readers, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._readers = readers
        self._job = job
        self._query = query
        self._send = send
        self._loop = loop

    def __call__(self, content: Any, type: str = "reasoning", **more: Any) -> None:
        self._query.check_interrupt()
        thought = {"type": type, "content": content, **more}
        delivered: concurrent.futures.Future[bool] = concurrent.futures.Future()
        try:
            self._loop.call_soon_threadsafe(self._deliver, thought, delivered)
        except RuntimeError:
            raise Interrupted("the event loop is closed") from None
        if not self._wait(delivered):
            raise Interrupted(self._job.reason or "ended")

    def _deliver(self, thought: Any, delivered: concurrent.futures.Future[bool]) -> None:
        try:
            there = deliver(self._send, self._job, thought)
        except Exception as error:
            delivered.set_exception(error)
            return
        if there and self._readers.lagging(self._job.agent):
            self._readers.hold(self._job.agent, lambda: delivered.set_result(True))
        else:
            delivered.set_result(there)

    def _wait(self, delivered: concurrent.futures.Future[bool]) -> bool:
        while True:
            try:
                return delivered.result(LOST_LOOP_CHECK)
            except concurrent.futures.TimeoutError:
                # The loop may have been closed with our callback still in its queue.
                if self._loop.is_closed():
                    return False
