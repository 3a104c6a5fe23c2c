"""The async face: for programs and cells that await. Its socket lives in the IO thread all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from synapse.client.about import About
from synapse.client.face import AgentFace, QueryFace
from synapse.client.io import IOThread, io_thread
from synapse.client.opening import establish, plan
from synapse.client.presence import Roster
from synapse.client.retrying import Rule
from synapse.client.server import AsyncServer
from synapse.client.serving import AsyncWorker, Place
from synapse.client.ticker import ticking
from synapse.client.trust import Verify
from synapse.client.values import Result, Thought

T = TypeVar("T")


async def aconnect(
    url: str | None = None,
    *,
    agent: str | None = None,
    api_key: str | None = None,
    token: str | None = None,
    handler: str | None = None,
    timeout: float = 10.0,
    verify: Verify | None = None,
    retry: Rule | None = None,
    budget: Rule | None = None,
) -> AsyncAgent:
    """Connect an agent to a cortex: `connect`, for those who await. Parameters and errors are the same."""
    plans = plan(
        url, agent=agent, api_key=api_key, token=token, timeout=timeout, verify=verify, retry=retry, budget=budget
    )
    io = io_thread()
    opened = await _over_there(io, establish(io, plans))
    if opened.notice:
        print(opened.notice)
    return AsyncAgent(opened, io, handler)


class AsyncAgent(AgentFace):
    """An agent, joined to a cortex: ask it, see who else is here. Made by `aconnect`.

    Usable from any event loop. Reconnects by itself when the connection drops.
    """

    def query(
        self, q: str, *, priority: int = 5, timeout: float | None = None, handler: str | None = None
    ) -> AsyncQuery:
        """Ask, without waiting. ``async for`` over the query gives its thoughts.

        Parameters
        ----------
        q
            The question, or whatever text the handler understands.
        priority
            0 (first) to 9 (last).
        timeout
            Seconds until the server ends it with status ``"timeout"``; the server's rule by default. It bounds
            the wait here, too: whose connection is down then gets a `QueryLost` or a `ReplyTimeout` at once, and
            whose server is silent, 2 s later.
        handler
            Which handler answers; the agent's by default.

        Raises
        ------
        AgentClosed
            If the agent has left.
        InvalidMessage
            A `ValueError` that names the argument that is wrong.
        """
        return AsyncQuery(self, q, self._ask(q, priority, timeout, handler))

    async def ask(
        self, q: str, *, priority: int = 5, timeout: float | None = None, handler: str | None = None
    ) -> Result:
        """Ask and wait for the result. Parameters as for `query`, errors as for `AsyncQuery.result`."""
        return await self.query(q, priority=priority, timeout=timeout, handler=handler).result()

    async def ping(self) -> float:
        """Seconds to the agent's channel and back.

        Raises
        ------
        ReplyTimeout, Disconnected, AgentClosed
            If no answer comes.
        """
        self._check_open()
        _, seconds = await _over_there(self._io, self._connection.push("ping", {}))
        return seconds

    async def set_status(self, status: str | None = None, *, load: float | None = None) -> None:
        """Show others what this agent is up to, and how busy it is: see `Agent.set_status`."""
        payload = self._status_payload(status, load)
        await _over_there(self._io, self._connection.push("status", payload))

    async def presence(self) -> Roster:
        """Who is here, on the whole server: agent id → one meta for each connection.

        The first call joins the roster's topic; from then on the list is kept true by the server's news.

        Raises
        ------
        JoinError
            If this agent may not see the roster.
        ReplyTimeout, AgentClosed
            If no list comes.
        """
        self._check_open()
        return await _over_there(self._io, self._connection.roster())

    @property
    def server(self) -> AsyncServer:
        """The server that it is on: the rules in force, and other ones in their place."""
        return AsyncServer(self._rules, self._io)

    async def about(self) -> About:
        """What this agent may know of its server: version, how busy it is, which handlers it may use, and its rules.

        Raises
        ------
        ReplyTimeout, Disconnected, AgentClosed
            If no answer comes.
        """
        self._check_open()
        response, _ = await _over_there(self._io, self._connection.push("about", {}))
        return self._about(response)

    async def serve(
        self, function: Callable[..., Any], name: str | None = None, *, concurrency: int = 1
    ) -> AsyncWorker:
        """Answer queries with a function of this process: `Agent.serve`, for those who await.

        An async function runs in the event loop that this is awaited in. Parameters and errors are the same.
        """
        self._check_open()
        place = Place(self, function, name, concurrency, asyncio.get_running_loop())
        await _over_there(self._io, place.join())
        return AsyncWorker(self, place.name, place.bench, place.over)

    async def close(self) -> None:
        """Leave. Queries without an ending raise `AgentClosed` here, and run on there. May be called again."""
        if self._io.usable:
            await _over_there(self._io, self._connection.close())

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncQuery(QueryFace):
    """A question on its way. ``async for`` gives its thoughts; `result` waits for the ending.

    Cancelling what awaits it (a notebook's stop button does) interrupts the query on the server. In an
    ``async with`` statement a query that is left early is interrupted, too.
    """

    async def result(self) -> Result:
        """The ending; waits for it.

        Raises
        ------
        QueryRefused
            If the server did not accept it, however often the agent's ``retry`` had it asked.
        ReplyTimeout, QueryLost, AgentClosed
            If no ending will come.
        """
        while not self._stream.over:
            await self._changed(len(self._stream.thoughts))
        return self._stream.ending

    def __aiter__(self) -> _Thoughts:
        return _Thoughts(self)

    async def __aenter__(self) -> AsyncQuery:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.interrupt()

    async def _changed(self, seen: int) -> None:
        """Sleep until there are more thoughts than `seen`, or the ending."""
        stream, loop = self._stream, asyncio.get_running_loop()
        changed = loop.create_future()
        stream.on_change(lambda: _wake(loop, changed))
        if stream.over or len(stream.thoughts) > seen:
            return
        try:
            with ticking():
                await changed
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.interrupt()
            raise


class _Thoughts:
    """One iteration over a query, from its first thought."""

    def __init__(self, query: AsyncQuery) -> None:
        self._query = query
        self._seen = 0

    def __aiter__(self) -> _Thoughts:
        return self

    async def __anext__(self) -> Thought:
        query, stream = self._query, self._query._stream
        while self._seen == len(stream.thoughts):
            if stream.over:
                if self._seen < len(stream.thoughts):
                    break  # thoughts came before the ending, and after our look
                if stream.failure is not None:
                    raise stream.failure.with_traceback(None)
                raise StopAsyncIteration
            await query._changed(self._seen)
        self._seen += 1
        return stream.thoughts[self._seen - 1]


async def _over_there(io: IOThread, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the IO thread and await it here. Cancelling here cancels it there."""
    with ticking():
        return await asyncio.wrap_future(io.submit(work))


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    """Resolve a future of another thread's loop."""
    if not loop.is_closed():  # otherwise nobody is left to wake
        loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
