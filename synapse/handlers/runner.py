"""Calls handlers for the scheduler, on an asyncio loop: one task a query, plain functions in threads.

The runner answers for one thing: whatever a handler does, its query ends exactly once. The scheduler makes
the "at most once" (a job that has ended takes no further word); the runner makes the "at least once".
It knows no socket and no channel, and takes thoughts no further than `job.scheduler.think`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

from synapse.cortex.job import Job, State
from synapse.handlers.context import Handler, Query
from synapse.handlers.errors import NO_JSON_FORM, HandlerError, NotJSON
from synapse.handlers.registry import HandlerRegistry
from synapse.handlers.thinking import PromptReaders, Readers, TaskThink, ThreadThink
from synapse.handlers.threads import Threads
from synapse.protocol import raw

log = logging.getLogger("synapse.handlers")

SHUTTING_DOWN = "shutting_down"


class HandlerRunner:
    """A `synapse.cortex.scheduler.Runner` whose work is done by handlers.

    Parameters
    ----------
    registry
        Where `job.handler` is looked up.
    max_threads
        How many handlers that are plain functions may run at once; see `Threads`.
    grace
        How long `close` waits for handlers that do not heed their cancellation, in s.

    Notes
    -----
    `job.body` must be the validated payload of the ``query`` message, a dict with ``q``. All methods belong to the
    loop's thread.
    """

    def __init__(self, registry: HandlerRegistry, *, max_threads: int = 64, grace: float = 5.0) -> None:
        self.registry = registry
        self._threads = Threads(max_threads)
        self._grace = grace
        self._readers: Readers = PromptReaders()
        self._open: dict[str, tuple[Handler, bool]] = {}  # name -> the handler, and whether it is async
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<HandlerRunner {len(self._jobs)} running, {len(self._threads)}/{self._threads.limit} threads>"

    def bind(self, readers: Readers) -> None:
        """Say whose pace to keep: a second step, as who knows the readers needs its runner first."""
        self._readers = readers

    def start(self, job: Job) -> None:
        """Begin to work on a job, at the loop's next turn."""
        loop = asyncio.get_running_loop()
        if self._closed:
            loop.call_soon(self._fail, job, SHUTTING_DOWN)
            return
        # Not loop.create_task: an eager task factory would run the handler, and report, before we return.
        task = asyncio.Task(self._run(job), loop=loop, name=f"query {job.agent}/{job.ref}")
        job.work = task
        self._jobs[task] = job
        task.add_done_callback(self._done)

    def cancel(self, job: Job) -> None:
        """Stop working on a job that has ended. A thread hears of it by `Query.check_interrupt` and `think`."""
        if job.work is not None:
            job.work.cancel(job.reason)

    async def close(self) -> None:
        """Cancel all work, wait for it, and close the handlers. Jobs still running end with status ``error``."""
        self._closed = True
        for task in self._jobs:
            task.cancel(SHUTTING_DOWN)
        if self._jobs:
            _, late = await asyncio.wait(list(self._jobs), timeout=self._grace)
            for task in late:
                log.warning("%s: its handler swallows its cancellation", task.get_name())
        await self._threads.wait(self._grace)
        self._open.clear()
        await self.registry.close()

    async def _run(self, job: Job) -> None:
        try:
            data = _encode(await self._answer(job))
        except (GeneratorExit, asyncio.CancelledError):
            raise  # `_done` sees to the ending, if cancelling was the handler's own idea
        except HandlerError as error:
            self._report(job, error)
        except BaseException as error:  # SystemExit in a handler must not end the server, nor lose the ending
            if job.state is State.RUNNING:
                log.error("handler %r failed on query %s/%s", job.handler, job.agent, job.ref, exc_info=error)
            self._fail(job, f"{type(error).__name__} in handler {job.handler!r}")
        else:
            job.scheduler.finish(job, "success", data)

    async def _answer(self, job: Job) -> Any:
        known = self._open.get(job.handler)
        if known is None:
            opened: Any = await self.registry.open(job.handler)
            known = self._open[job.handler] = opened, is_async(opened)
        handler: Any = known[0]
        query = Query(job)
        if known[1]:
            return await handler(query, TaskThink(job, job.scheduler.think, self._readers))
        think = ThreadThink(job, query, job.scheduler.think, self._readers, asyncio.get_running_loop())
        data = await self._threads.run(lambda: handler(query, think), f"handler {job.handler} {job.agent}/{job.ref}")
        if inspect.iscoroutine(data):
            data.close()
            raise HandlerError(f"handler {job.handler!r} returned a coroutine: it must be declared with async def")
        return data

    def _done(self, task: asyncio.Task[None]) -> None:
        """Forget a task; if its job has not ended by now (its handler cancelled itself), end it."""
        job = self._jobs.pop(task)
        job.work = None
        if job.state is State.RUNNING:
            self._fail(job, SHUTTING_DOWN if self._closed else f"handler {job.handler!r} was cancelled")
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the ending of query %s/%s failed", job.agent, job.ref, exc_info=error)

    def _report(self, job: Job, error: HandlerError) -> None:
        job.scheduler.finish(job, error.status, error.data, error.reason)

    def _fail(self, job: Job, reason: str) -> None:
        job.scheduler.finish(job, "error", {"reason": reason}, reason)


def is_async(handler: Any) -> bool:
    """Whether a handler runs as a task rather than in a thread."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _encode(data: Any) -> Any:
    try:
        return raw(data)
    except NO_JSON_FORM as error:
        raise NotJSON(f"the result has no JSON form: {error}") from error
