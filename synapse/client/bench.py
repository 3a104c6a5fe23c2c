"""A worker's bench: it takes queries that the server hands out, runs a function on each, and sends back what it says.

The function is run by the server's own `HandlerRunner`, so that it is the same there and here: async ones as tasks of
an event loop, plain ones in threads, with `think`, `query.check_interrupt` and `HandlerError`. What the runner reports
to on the server is the scheduler; here it is the bench.

Thoughts of a query leave in one message at a time: the first at once, and those that come while it is on its way
together in the next. Where the server is slow to take them, because the one who asked is slow to read, the function
comes to wait in `think`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from synapse.client import events as news
from synapse.client.connection import Connection, join_error
from synapse.client.errors import SynapseError
from synapse.client.io import IOThread
from synapse.client.reading import read
from synapse.cortex import Job, State
from synapse.handlers import HandlerError, HandlerRegistry, HandlerRunner
from synapse.handlers.runner import is_async
from synapse.protocol import WORKER, InvalidMessage, raw
from synapse.protocol.work import MOST_AT_ONCE, Stop, Work, WorkerJoined

if TYPE_CHECKING:
    from synapse.cortex import Scheduler

log = logging.getLogger(__name__)

PATIENCE = 86_400.0  # s that the reply to thoughts may take, as it comes when they are read: a query's longest timeout
ENVELOPE = 1024  # bytes of a message around its thoughts or data, and some to spare
MOST_UNSENT = 256  # thoughts of one query; then its function waits
GRACE = 1.0  # s that functions which were stopped have to end


class _Task:
    """One query on the bench."""

    __slots__ = ("ending", "job", "on_its_way", "unsent")

    def __init__(self, number: str, work: Work) -> None:
        self.job = Job(
            work.agent,
            str(work.query.get("ref", number)),
            priority=int(work.query.get("priority", 5)),
            timeout=None if work.timeout is None else work.timeout / 1000,
            body={"q": "", **work.query},
        )
        self.unsent: list[Any] = []
        self.on_its_way = False
        self.ending: tuple[str, Any] | None = None


class Bench:
    """Where one worker's queries are answered. It lives in one event loop, `home`.

    Parameters
    ----------
    name
        The worker's name; its topic and its handler are ``worker:<name>``.
    function
        What answers: a handler as `synapse.handlers` describes it.
    concurrency
        How many queries it takes at once.
    home
        The loop in which an async function runs.
    io, connection
        The way to the server.
    closed
        Called in `home` when it has stopped and nothing runs any more.

    Attributes
    ----------
    status : str
        ``"joining"``, ``"serving"``, ``"disconnected"`` (it comes back by itself) or ``"stopped"``.
    failure : SynapseError or None
        Why it has stopped, if nobody asked it to.
    answered : int
        How many queries it has seen to an end of its own making.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        concurrency: int,
        home: asyncio.AbstractEventLoop,
        io: IOThread,
        connection: Connection,
        closed: Callable[[], object],
    ) -> None:
        self.topic = f"{WORKER}{name}"
        self.concurrency = concurrency
        self.status = "joining"
        self.failure: SynapseError | None = None
        self.answered = 0
        self._home = home
        self._io = io
        self._connection = connection
        self._closed = closed
        self._closing: asyncio.Task[None] | None = None
        self._runner = HandlerRunner(HandlerRegistry({self.topic: function}), max_threads=concurrency, grace=GRACE)
        self._runner.bind(self)
        self._cancels = is_async(function)
        self._max_bytes = WorkerJoined().max_bytes
        self._tasks: dict[str, _Task] = {}
        self._of_job: dict[Job, str] = {}
        self._waiting: dict[str, _Task] = {}
        self._full: set[_Task] = set()  # those of which too many thoughts are unsent
        self._held: dict[str, list[Callable[[], object]]] = {}
        self._running = 0

    @property
    def running(self) -> int:
        """How many queries it is at, those included that no one waits for any more."""
        return self._running

    # What the IO thread tells

    def listen(self, event: news.Event) -> None:
        """Take news of the topic: called in the IO thread."""
        self._at_home(self._hear, event)

    def _hear(self, event: news.Event) -> None:
        match event:
            case news.Joined():
                self._joined(event.response)
            case news.Pushed(event="work"):
                self._take(event.payload)
            case news.Pushed(event="stop"):
                self._stop(event.payload)
            case news.Dropped():
                self._disconnected()
            case news.JoinRefused():
                if event.final:
                    self.end(join_error(event))
            case news.TopicClosed():
                self.end(SynapseError(f"the server closed {event.topic}"))
            case news.Closed():
                self.end()

    def _joined(self, response: Any) -> None:
        if self.status == "stopped":
            return
        self._drop_all("joined again")
        try:
            self._max_bytes = read(WorkerJoined, response).max_bytes
        except InvalidMessage:
            log.warning("%s: the server did not say how much it reads at once", self.topic)
        self.status = "serving"

    def _disconnected(self) -> None:
        if self.status != "stopped":
            self._drop_all("disconnected")
            self.status = "disconnected"

    def _take(self, payload: Any) -> None:
        try:
            work = read(Work, payload)
        except InvalidMessage as error:
            log.warning("%s: ignored a query: %s", self.topic, error.reason)
            return
        task = _Task(work.job, work)
        task.job.handler = self.topic
        task.job.scheduler = cast("Scheduler", self)  # as far as a runner needs it
        self._tasks[work.job] = task
        self._of_job[task.job] = work.job
        self._waiting[work.job] = task  # after a reconnection the functions of before may still be at it
        self._start_waiting()

    def _stop(self, payload: Any) -> None:
        try:
            stop = read(Stop, payload)
        except InvalidMessage as error:
            log.warning("%s: ignored a stop: %s", self.topic, error.reason)
            return
        task = self._tasks.get(stop.job)
        if task is None:
            return
        self._end_job(task, stop.reason)
        if self._waiting.pop(stop.job, None) is not None:
            self._over(task)

    # What the runner reports, as to a `synapse.cortex.Scheduler`

    def think(self, job: Job, thought: Any) -> bool:
        """Leave a thought for the server. False if the query has ended."""
        if job.state is not State.RUNNING:
            return False
        encoded = raw(thought)
        if _size(encoded) > self._max_bytes - ENVELOPE:
            raise HandlerError(self._too_large("thought", encoded))
        task = self._tasks[self._of_job[job]]
        task.unsent.append(encoded)
        self._send(task)
        if len(task.unsent) >= MOST_UNSENT:
            self._full.add(task)
        return True

    def finish(self, job: Job, status: str, data: Any = None, reason: str | None = None) -> bool:
        """Leave an ending for the server. False if the query has ended before."""
        del reason  # it is in the data
        if job.state is not State.RUNNING:
            return False
        job.state, job.status = State.ENDED, status
        encoded = raw(data)
        if _size(encoded) > self._max_bytes - ENVELOPE:
            status, encoded = "error", raw({"reason": self._too_large("result", encoded)})
        task = self._tasks[self._of_job[job]]
        task.ending = (status, encoded)
        self.answered += 1
        return True

    # Whose pace it keeps: `synapse.handlers.thinking.Readers`

    def lagging(self, agent: str) -> bool:
        """Whether too many of an agent's thoughts wait to be sent."""
        return any(task.job.agent == agent for task in self._full)

    def hold(self, agent: str, resume: Callable[[], object]) -> None:
        """Call `resume` once, when they do not."""
        self._held.setdefault(agent, []).append(resume)

    def _resume(self, agent: str) -> None:
        if agent in self._held and not self.lagging(agent):
            for resume in self._held.pop(agent):
                resume()

    # Inner workings

    def _start_waiting(self) -> None:
        while self._waiting and self._running < self.concurrency:
            task = self._waiting.pop(next(iter(self._waiting)))
            job = task.job
            job.state = State.RUNNING
            self._running += 1
            self._runner.start(job)
            job.work.add_done_callback(lambda _, task=task: self._worked(task))

    def _worked(self, task: _Task) -> None:
        """The function has returned, or was cancelled."""
        self._running -= 1
        self._over(task)
        self._start_waiting()

    def _over(self, task: _Task) -> None:
        if task.ending is None:  # it was stopped: the server only wants to know that the place is free
            task.ending = ("error", {"reason": task.job.reason or "stopped"})
        self._send(task)
        self._resume(task.job.agent)

    def _send(self, task: _Task) -> None:
        """Send what is next of a query, unless something of it is on its way: thoughts, then the ending."""
        number = self._of_job.get(task.job)
        if number is None or task.on_its_way:
            return
        if task.unsent:
            task.on_its_way = True
            self._tell("thoughts", {"job": number, "thoughts": self._batch(task)}, lambda ok: self._taken(task, ok))
        elif task.ending is not None and task.job.work is None:
            del self._tasks[number], self._of_job[task.job]
            status, data = task.ending
            self._tell("done", {"job": number, "status": status, "data": data}, lambda _: None)

    def _batch(self, task: _Task) -> list[Any]:
        """The thoughts that fit into one message."""
        room, count = self._max_bytes - ENVELOPE, 0
        for thought in task.unsent[:MOST_AT_ONCE]:
            room -= _size(thought) + 1
            if room < 0 and count:
                break
            count += 1
        batch, task.unsent = task.unsent[:count], task.unsent[count:]
        if len(task.unsent) < MOST_UNSENT:
            self._full.discard(task)
        return batch

    def _taken(self, task: _Task, ok: bool) -> None:
        task.on_its_way = False
        if not ok:  # no one listens: the server says so in a `stop`, too
            self._forget_thoughts(task)
        self._send(task)
        self._resume(task.job.agent)

    def _forget_thoughts(self, task: _Task) -> None:
        task.unsent.clear()
        self._full.discard(task)

    def _tell(self, event: str, payload: Any, answered: Callable[[bool], object]) -> None:
        def settled(reply: news.Reply) -> None:
            self._at_home(answered, reply.status == "ok")

        self._io.soon(self._connection.tell, self.topic, event, payload, settled, PATIENCE)

    def _at_home(self, callback: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nothing runs there any more
            self._home.call_soon_threadsafe(callback, *args)

    def _end_job(self, task: _Task, reason: str) -> None:
        """No one listens any more: the function is told in its own way, an async one by cancelling it."""
        self._forget_thoughts(task)
        job = task.job
        job.state, job.status, job.reason = State.ENDED, "interrupted", reason
        if self._cancels:
            self._runner.cancel(job)
        for resume in self._held.pop(job.agent, ()):
            resume()

    def _drop_all(self, reason: str) -> None:
        """The server has given up on all queries of before."""
        tasks, self._tasks = self._tasks, {}
        self._of_job.clear()
        self._waiting.clear()
        for task in tasks.values():
            self._end_job(task, reason)

    def end(self, failure: SynapseError | None = None) -> None:
        """Stop, and wait a moment for what runs before `closed` is called. In `home`; may be called again."""
        if self.status != "stopped":
            self.status, self.failure = "stopped", failure
            if failure is not None:
                log.warning("%s has stopped: %s", self.topic, failure)
            self._drop_all("the worker has stopped")
            self._closing = self._home.create_task(self._close())

    async def _close(self) -> None:
        try:
            await self._runner.close()
        finally:
            self._closed()

    def _too_large(self, what: str, encoded: Any) -> str:
        return f"the {what} is too large: {_size(encoded)} bytes, at most {self._max_bytes - ENVELOPE}"


def _size(encoded: Any) -> int:
    """In bytes, of what `raw` made."""
    return memoryview(encoded).nbytes
