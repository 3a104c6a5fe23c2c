"""Carries one `Session`: gives it sockets, time and chance, and takes its news to whoever waits.

Everything here runs in the IO thread. What other threads may touch is said where it stands.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from synapse.client import events as news
from synapse.client.channel import reason_of
from synapse.client.discovery import Target
from synapse.client.errors import (
    AgentClosed,
    ConnectError,
    Disconnected,
    JoinError,
    QueryLost,
    QueryRefused,
    ReplyTimeout,
    SynapseError,
)
from synapse.client.io import IOThread
from synapse.client.link import Link
from synapse.client.presence import Roster
from synapse.client.session import Session
from synapse.client.settings import Settings
from synapse.client.stream import Stream
from synapse.protocol import ROSTER
from synapse.protocol import messages as wire

log = logging.getLogger(__name__)

Listener = Callable[[news.Event], object]
"""Who is told, in the IO thread, what happens to a topic: joined, refused, pushed, closed, and the connection lost."""


def join_error(event: news.JoinRefused) -> JoinError:
    """The exception that says why a join was refused."""
    retry_after = None if event.retry_after_ms is None else event.retry_after_ms / 1e3
    return JoinError(event.topic, event.reason, event.policy, retry_after)


class Connection:
    """One agent's connection to a cortex, through any number of sockets."""

    def __init__(self, io: IOThread, target: Target, agent: str, settings: Settings | None = None) -> None:
        self.agent = agent
        self.url = target.url
        self._io = io
        self._loop = asyncio.get_running_loop()
        self._target = target
        self._session = Session(agent, random=random.random, api_key=target.api_key, settings=settings)
        self._link: Link | None = None
        self._links: set[Link] = set()  # those that are closing too
        self._alarm: asyncio.TimerHandle | None = None
        self._joined: asyncio.Future[None] = self._loop.create_future()
        self._http_status: int | None = None
        self._retry_after: float | None = None  # s, as the last refused handshake said
        self._streams: dict[str, Stream] = {}
        self._replies: dict[int, Callable[[news.Reply], object]] = {}
        self._listeners: dict[str, Listener] = {}  # by topic
        self._roster_waiters: list[asyncio.Future[None]] = []

    # readable from any thread

    @property
    def status(self) -> str:
        """``"connecting"``, ``"joining"``, ``"joined"``, ``"disconnected"`` or ``"closed"``."""
        return self._session.status

    @property
    def closed(self) -> str | None:
        """Why it is closed; None while it is not."""
        return self._session.closed_because

    # what the faces ask, in the IO thread

    async def open(self, timeout: float) -> None:
        """Connect and join.

        Raises
        ------
        ConnectError, JoinError
            If there is no server, or it does not want us; everything is closed again then.
        """
        self._io.at_exit(self.close)
        self._session.open(self._loop.time())
        self._flush()
        try:
            async with asyncio.timeout(timeout):
                await self._joined
        except TimeoutError:
            await self.close()
            raise ConnectError(self.url, f"no answer within {timeout:g} s") from None
        except BaseException:
            await self.close()
            raise

    def query(self, stream: Stream, message: wire.Query) -> None:
        """Ask; the stream hears the rest."""
        try:
            self._session.query(message, self._loop.time())
        except SynapseError as error:
            stream.fail(error)
            return
        self._streams[message.ref] = stream
        self._flush()

    def interrupt(self, ref: str, reason: str) -> None:
        """Stop a query, if it has not ended."""
        if self._session.interrupt(ref, reason, self._loop.time()):
            self._flush()

    async def push(self, event: str, payload: Any) -> tuple[Any, float]:
        """Send a message to the agent's channel: the response, and the seconds it took."""
        number = self._session.push(event, payload, self._loop.time())
        future: asyncio.Future[news.Reply] = self._loop.create_future()
        self._replies[number] = lambda reply: _settle(future, reply)
        self._flush()
        reply = await future
        if reply.status == "ok":
            return reply.response, reply.elapsed
        if reply.status == "timeout":
            raise ReplyTimeout(event, self._session.settings.reply)
        if reply.status == "disconnected":
            raise Disconnected(event)
        if reply.status == "closed":
            raise AgentClosed(self.closed or "closed")
        raise SynapseError(f"the server refused {event!r}: {reason_of(reply.response)}")

    async def roster(self) -> Roster:
        """Who is here, on the whole server: the list, and all news of it up to now."""
        self._session.watch(ROSTER, self._loop.time())
        self._flush()
        patience = self._session.settings.reply
        try:
            async with asyncio.timeout(patience):
                while (roster := self._session.roster()) is None:
                    waiter = self._loop.create_future()
                    self._roster_waiters.append(waiter)
                    await waiter
                await self.push("ping", {})  # the news that is on its way comes before the answer
        except TimeoutError:
            raise ReplyTimeout("presence", patience) from None
        return self._session.roster() or roster

    def watch(self, topic: str, payload: dict[str, Any], listener: Listener) -> None:
        """Join one more topic and keep joining it; the listener hears the rest.

        Raises
        ------
        AgentClosed
            If the agent has left.
        ValueError
            If there is a listener already.
        """
        if topic in self._listeners:
            raise ValueError(f"{topic!r} is joined by this agent already")
        self._session.watch(topic, self._loop.time(), payload)
        self._listeners[topic] = listener
        self._flush()

    def unwatch(self, topic: str) -> None:
        """Leave a topic; its listener hears nothing more."""
        if self._listeners.pop(topic, None) is not None:
            self._session.unwatch(topic, self._loop.time())
            self._flush()

    def tell(
        self, topic: str, event: str, payload: Any, answered: Callable[[news.Reply], object], timeout: float
    ) -> None:
        """Send a message to a watched topic, and call back with what became of it."""
        if topic not in self._listeners:
            answered(news.Reply("closed", None, 0.0))
            return
        try:
            number = self._session.push(event, payload, self._loop.time(), topic=topic, timeout=timeout)
        except SynapseError as error:
            log.warning("could not send %s to %s: %s", event, topic, error)
            answered(news.Reply("closed", None, 0.0))
            return
        self._replies[number] = answered
        self._flush()

    def leave(self) -> None:
        """Leave without waiting for anything. May be called again."""
        self._session.leave(self._loop.time())
        self._flush()

    async def close(self) -> None:
        """Leave, and wait until every socket is gone. May be called again."""
        self.leave()
        for link in list(self._links):
            await link.closed()

    # what the link tells

    def link_open(self) -> None:
        self._session.connected(self._loop.time())
        self._flush()

    def link_received(self, data: bytes, binary: bool) -> None:
        self._session.received(data, binary, self._loop.time())
        self._flush()

    def link_lost(self, code: int, reason: str, status: int | None, retry_after: float | None) -> None:
        self._link = None
        self._http_status = status
        self._retry_after = retry_after
        self._session.disconnected(self._loop.time(), code, reason, retry_after or 0.0)
        self._flush()

    # inside

    def _flush(self) -> None:
        """Do what the session wants done, after every input to it."""
        for event in self._session.events():
            if hear := _HEAR.get(type(event)):
                hear(self, event)
        if self._link is not None:
            self._link.send(self._session.data_to_send())
        self._set_alarm()

    def _set_alarm(self) -> None:
        due = self._session.next_deadline
        if self._alarm is not None:
            # An alarm that rings too early costs less than one that is set anew with every message.
            if due is not None and self._alarm.when() <= due:
                return
            self._alarm.cancel()
        self._alarm = None if due is None else self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._session.tick(self._loop.time())
        self._flush()

    # what the session says

    def _thinking(self, event: news.Thinking) -> None:
        self._streams[event.thought.ref].think(event.thought)

    def _ended(self, event: news.Ended) -> None:
        self._streams.pop(event.result.ref).end(event.result)

    def _query_refused(self, event: news.Refused) -> None:
        error = event.error
        retry_after = None if error.retry_after_ms is None else error.retry_after_ms / 1e3
        stream = self._streams.pop(event.ref)
        stream.attempts = event.attempts
        stream.fail(
            QueryRefused(
                error.reason,
                retry_after,
                error.policy,
                error.field,
                error.handlers,
                attempts=event.attempts,
                limit=error.limit,
            )
        )

    def _postponed(self, event: news.Postponed) -> None:
        self._streams[event.ref].attempts = event.attempt

    def _lost(self, event: news.Lost) -> None:
        failure: SynapseError
        if event.cause == "no reply":
            failure = ReplyTimeout("query", event.after or self._session.settings.reply)
        elif event.cause == "closed":
            failure = AgentClosed(event.why)
        else:
            failure = QueryLost(event.ref, event.why)
        self._streams.pop(event.ref).fail(failure)

    def _replied(self, event: news.Replied) -> None:
        self._replies.pop(event.push)(event.reply)

    def _was_joined(self, event: news.Joined) -> None:
        if event.topic == self._session.topic:
            _settle(self._joined, None)
        else:
            self._topic_news(event)

    def _topic_news(self, event: news.Joined | news.JoinRefused | news.Pushed | news.TopicClosed) -> None:
        over = isinstance(event, news.TopicClosed) or (isinstance(event, news.JoinRefused) and event.final)
        listener = self._listeners.pop(event.topic, None) if over else self._listeners.get(event.topic)
        if listener is not None:
            listener(event)

    def _join_refused(self, event: news.JoinRefused) -> None:
        error = join_error(event)
        if event.topic in self._listeners:
            self._topic_news(event)
        elif event.topic == ROSTER:
            self._roster_news(error)
        elif not self._joined.done():
            self._joined.set_exception(error)
        else:
            log.warning("after a reconnection: %s", error)

    def _dropped(self, event: news.Dropped) -> None:
        if not self._joined.done():
            problem = event.reason or f"closed with code {event.code}"
            self._joined.set_exception(ConnectError(self.url, problem, self._http_status, self._retry_after))
        for listener in [*self._listeners.values()]:
            listener(event)

    def _presence_changed(self, event: news.PresenceChanged) -> None:
        if event.topic == ROSTER:
            self._roster_news(None)

    def _roster_news(self, error: SynapseError | None) -> None:
        waiters, self._roster_waiters = self._roster_waiters, []
        for waiter in waiters:
            if error is None:
                _settle(waiter, None)
            elif not waiter.done():
                waiter.set_exception(error)

    def _was_closed(self, event: news.Closed) -> None:
        self._roster_news(AgentClosed(event.reason))
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener(event)
        self._io.forget(self.close)

    def _misunderstood(self, event: news.Misunderstood) -> None:
        log.warning("ignored %s on %s: %s", event.event, event.topic, event.problem)

    def _gap(self, event: news.Gap) -> None:
        log.warning("query %s: thoughts %d to %d were lost in a drop", event.ref, event.seen + 1, event.first - 1)

    def _open_link(self, _event: news.OpenSocket) -> None:
        link = self._link = Link(self._target, self)
        self._links.add(link)
        link.task.add_done_callback(lambda _: self._links.discard(link))

    def _close_link(self, event: news.CloseSocket) -> None:
        if self._link is not None:
            link, self._link = self._link, None
            link.send(self._session.data_to_send())
            link.close(event.code, event.reason)


_HEAR: dict[type[news.Event], Callable[[Connection, Any], None]] = {
    news.Thinking: Connection._thinking,
    news.Ended: Connection._ended,
    news.Refused: Connection._query_refused,
    news.Postponed: Connection._postponed,
    news.Lost: Connection._lost,
    news.Replied: Connection._replied,
    news.Joined: Connection._was_joined,
    news.JoinRefused: Connection._join_refused,
    news.Dropped: Connection._dropped,
    news.Pushed: Connection._topic_news,
    news.TopicClosed: Connection._topic_news,
    news.PresenceChanged: Connection._presence_changed,
    news.Closed: Connection._was_closed,
    news.Misunderstood: Connection._misunderstood,
    news.Gap: Connection._gap,
    news.OpenSocket: Connection._open_link,
    news.CloseSocket: Connection._close_link,
}


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():  # whoever waited may have been cancelled
        future.set_result(value)
