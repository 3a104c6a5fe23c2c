"""``agent.serve(function)``: this process answers queries. The sync and the async face of a worker."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from synapse.client import events as news
from synapse.client import html
from synapse.client.connection import Connection, join_error
from synapse.client.errors import AgentClosed, ReplyTimeout, SynapseError
from synapse.client.io import IOThread
from synapse.protocol import WORKER, parse
from synapse.protocol.work import WorkerJoin

if TYPE_CHECKING:
    from synapse.client.bench import Bench
    from synapse.client.face import AgentFace

LONGEST_NAME = 200
PATIENCE = 15.0  # s for the server to let a worker in
THREAD = "synapse-worker"
_NAME = re.compile(rf"[^*<>]{{1,{LONGEST_NAME}}}")


class WorkerFace:
    """A function that answers queries, under a name."""

    def __init__(self, agent: AgentFace, name: str, bench: Bench, over: concurrent.futures.Future[None]) -> None:
        self._agent = agent  # keeps it from leaving while somebody holds the worker
        self._bench = bench
        self._over = over
        self.name = name

    @property
    def handler(self) -> str:
        """What others put into their queries to have them answered here: ``worker:<name>``."""
        return self._bench.topic

    @property
    def status(self) -> str:
        """``"serving"`` when all is well; ``"joining"``, ``"disconnected"`` (it comes back) or ``"stopped"``."""
        return self._bench.status

    @property
    def running(self) -> int:
        """How many queries it is at."""
        return self._bench.running

    @property
    def answered(self) -> int:
        """How many queries it has answered, well or badly."""
        return self._bench.answered

    def _stop(self) -> None:
        """Leave, and let the bench end. In the IO thread."""
        self._agent._connection.unwatch(self._bench.topic)
        self._bench.listen(news.Closed("stopped"))

    def _check_failure(self) -> None:
        if self._bench.failure is not None:
            raise self._bench.failure.with_traceback(None)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.handler!r} {self.status}, {self.running} running, {self.answered} answered>"
        )

    def _repr_html_(self) -> str:
        fields = [("running", self.running), ("answered", self.answered), ("agent", self._agent.id)]
        return html.card(f"Worker {self.name}", self.status, fields)


class Worker(WorkerFace):
    """A function that answers queries, under a name. Made by `Agent.serve`.

    In a ``with`` statement it stops at the end of the block.
    """

    def stop(self) -> None:
        """Answer no more. Queries that are at work end with an error that says so. May be called again."""
        self._agent._io.soon(self._stop)
        if self._agent._io.usable:
            self._over.result(PATIENCE)

    def wait(self, timeout: float | None = None) -> bool:
        """Serve until it has stopped, or for `timeout` seconds. Whether it has stopped. Ctrl-C stops it.

        Raises
        ------
        SynapseError
            If the server does not want it any more.
        """
        try:
            self._over.result(timeout)
        except TimeoutError:
            return False
        except KeyboardInterrupt:
            self.stop()
            raise
        self._check_failure()
        return True

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class AsyncWorker(WorkerFace):
    """A function that answers queries, under a name. Made by `AsyncAgent.serve`.

    In an ``async with`` statement it stops at the end of the block.
    """

    async def stop(self) -> None:
        """Answer no more. Queries that are at work end with an error that says so. May be called again."""
        self._agent._io.soon(self._stop)
        if self._agent._io.usable:
            await self._ended()

    async def wait(self) -> None:
        """Serve until it has stopped. Cancelling this does not stop it.

        Raises
        ------
        SynapseError
            If the server does not want it any more.
        """
        await self._ended()
        self._check_failure()

    async def _ended(self) -> None:
        from synapse.client.ticker import ticking

        with ticking():
            await asyncio.shield(asyncio.wrap_future(self._over))

    async def __aenter__(self) -> AsyncWorker:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Place:
    """A bench that is about to be joined: made in any thread, opened in the IO thread.

    Parameters
    ----------
    function, name, concurrency
        As `Agent.serve` has them.
    home
        The loop in which an async function runs; when None, plain functions are served from the IO thread, and async
        ones from a thread of their own, since they may keep their loop busy.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that is wrong.
    """

    def __init__(
        self,
        agent: AgentFace,
        function: Callable[..., Any],
        name: str | None,
        concurrency: int,
        home: asyncio.AbstractEventLoop | None,
    ) -> None:
        # Only here: an agent that serves nothing needs no handlers' imports.
        from synapse.client.bench import Bench
        from synapse.handlers.runner import is_async

        if not callable(function):
            raise TypeError(f"function must be callable, not {function!r}")
        self.name = _checked(name if name is not None else getattr(function, "__name__", ""))
        parse(WorkerJoin, {"concurrency": concurrency})
        self.over: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._io: IOThread = agent._io
        self._connection: Connection = agent._connection
        self._thread: IOThread | None = None
        if home is None and is_async(function):
            self._thread = IOThread(f"{THREAD} {self.name}")
        loop = home or (self._thread or self._io).loop
        self.bench = Bench(self.name, function, concurrency, loop, self._io, self._connection, self._closed)

    async def join(self) -> None:
        """Join, in the IO thread.

        Raises
        ------
        JoinError
            If the server does not want this worker; it says why and what to do.
        ValueError
            If this agent has a worker of that name already.
        ReplyTimeout, AgentClosed
            If no answer comes.
        """
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def listen(event: news.Event) -> None:
            if not joined.done():
                failure = _failure(event)
                if failure is not None:
                    joined.set_exception(failure)
                elif isinstance(event, news.Joined):
                    joined.set_result(None)
            self.bench.listen(event)

        try:
            self._connection.watch(self.bench.topic, {"concurrency": self.bench.concurrency}, listen)
            try:
                async with asyncio.timeout(PATIENCE):
                    await joined
            except TimeoutError:
                raise ReplyTimeout("phx_join", PATIENCE) from None
            except BaseException:
                self._connection.unwatch(self.bench.topic)
                raise
        except BaseException:
            self.bench.listen(news.Closed("not joined"))
            raise

    def _closed(self) -> None:
        if self._thread is not None:
            self._thread.loop.call_soon(self._thread.loop.stop)
        if not self.over.done():
            self.over.set_result(None)


def _failure(event: news.Event) -> SynapseError | None:
    match event:
        case news.JoinRefused():
            return join_error(event)
        case news.Closed():
            return AgentClosed(event.reason)
        case news.TopicClosed():
            return SynapseError(f"the server closed {event.topic}")
    return None


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.isprintable():
        raise ValueError(
            f"name must be 1 to {LONGEST_NAME} printable characters without any of * < >, not {name!r}: "
            "agent.serve(function, name=…)"
        )
    return name.removeprefix(WORKER)
