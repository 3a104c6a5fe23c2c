"""The queries of a session that have no ending yet: what becomes of each, from asking to its one last event.

Pure, as the session is. It knows the agent's channel and its own messages, not the socket's state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from synapse.client.channel import Channel, Push, error_of
from synapse.client.errors import BufferFull
from synapse.client.events import Accepted, Ended, Event, Gap, Lost, Postponed, Refused, Reply, Thinking
from synapse.client.reading import Resumed, read
from synapse.client.retrying import Retries, Tries
from synapse.client.settings import Settings
from synapse.client.timers import Timer, Timers
from synapse.client.values import Result, Thought
from synapse.protocol import Error
from synapse.protocol import messages as wire


class _Query:
    """A query without an ending yet."""

    __slots__ = (
        "accepted", "asked", "deadline", "limited", "message", "patience", "push", "ref", "seen", "stopping", "tries"
    )  # fmt: skip

    def __init__(self, message: wire.Query, patience: float, asked: float, tries: Tries) -> None:
        self.ref = message.ref
        self.message = message
        self.seen = 0  # the seq of its last thought, where the server numbers them
        self.patience = patience
        self.asked = asked
        self.accepted = False
        self.push: Push | None = None
        self.stopping = False
        # Of its own timeout; without one, only after a drop: until then the server owes us the ending.
        self.deadline: Timer | None = None
        self.limited = message.timeout is not None
        self.tries = tries

    @property
    def away(self) -> bool:
        """Whether it is with the server, as far as we know: sent, and not refused."""
        return self.push is None and self.tries.pause is None


class Queries:
    """The table of them, by ref.

    Parameters
    ----------
    channel
        The agent's; queries and interrupts go through it.
    settings, random, timers
        As of the session.
    say
        Takes the events.
    """

    def __init__(
        self,
        channel: Channel,
        settings: Settings,
        random: Callable[[], float],
        timers: Timers,
        say: Callable[[Event], None],
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._timers = timers
        self._say = say
        self._retries = Retries(settings, random)
        self._table: dict[str, _Query] = {}

    def __len__(self) -> int:
        return len(self._table)

    # what the user wants

    def ask(self, message: wire.Query, now: float) -> None:
        """Ask; see `Session.query`."""
        if message.ref in self._table:
            raise ValueError(f"ref {message.ref!r} is in use by an unfinished query")
        if len(self) >= self._settings.max_pending:
            raise BufferFull(self._settings.max_pending)
        patience = self._settings.patience if message.timeout is None else message.timeout / 1e3
        if held_back := self._retries.held_back(now):
            self._say(Refused(message.ref, held_back, attempts=0))
            return
        query = _Query(message, patience, now, self._retries.start(now + patience, now))
        self._send(query, now, bounded=True)
        self._table[message.ref] = query
        if query.limited:
            query.deadline = self._timers.at(now + patience, lambda then: self._overdue(query, then))

    def interrupt(self, ref: str, reason: str, now: float) -> bool:
        """Stop one; see `Session.interrupt`."""
        query = self._table.get(ref)
        if query is None:
            return False
        query.tries.wanted = False
        if query.tries.pause is not None or (query.push is not None and query.push.sent is None):
            self._end(Result(ref, "interrupted", None, now - query.asked, reason))
        elif not query.stopping:
            self._stop(query, reason, now)
        return True

    def close(self, reason: str) -> None:
        """Lose all: the session is over."""
        for query in list(self._table.values()):
            self._lose(query, "closed", reason)

    # what the server says

    def message(self, event: str, payload: Any, now: float) -> bool:
        """Take a message, if it is one of the cortex protocol's.

        A stream reaches every connection of the agent, so refs that are not ours are normal.

        Raises
        ------
        InvalidMessage
            If it makes no sense.
        """
        if event == "thought":
            thought = read(wire.Thought, payload)
            query = self._table.get(thought.ref)
            if query is not None and (thought.seq is None or thought.seq > query.seen):
                query.seen = thought.seq or 0
                self._accept(query, now)
                self._say(Thinking(Thought.from_wire(thought)))
        elif event == "result":
            result = read(wire.Result, payload)
            self._end(Result(result.ref, result.status, result.data, result.latency_ms / 1e3))
        elif event == "interrupted":
            stopped = read(wire.Interrupted, payload)
            if query := self._table.get(stopped.ref):
                self._end(Result(stopped.ref, "interrupted", None, now - query.asked, stopped.reason))
        else:
            return event == "pong"  # a ping's reply says the same
        return True

    def misunderstood(self, event: str, payload: Any, why: str) -> None:
        """A message made no sense. If it was an ending, its query has ended, whatever it meant to say."""
        ref = payload.get("ref") if isinstance(payload, dict) else None
        if event in ("result", "interrupted") and isinstance(ref, str) and ref in self._table:
            self._lose(self._table[ref], "garbled", f"its {event} message made no sense: {why}")

    def too_big(self, now: float) -> None:
        """The server would not read a message of ours: the largest that it has not answered. Do not send it again."""
        unread = [query for query in self._table.values() if query.push is not None and query.push.sent is not None]
        if unread:
            query = max(unread, key=lambda query: len(query.message.q))
            self._refused(query, wire.Error("payload_too_large", field="q"), now)

    # what the connection does

    def dropped(self, now: float) -> None:
        """The topic fell: the endings of what was accepted may be missed."""
        for query in list(self._table.values()):
            if query.accepted:
                self._expect(query, now)

    def seen(self) -> dict[str, int]:
        """By ref of those that are with the server, the last thought: what the join's ``resume`` says."""
        return {query.ref: query.seen for query in self._table.values() if query.away}

    def resume(self, resumed: Resumed, now: float) -> None:
        """The server goes on with what it knows. What it never received is sent again; the rest is lost.

        Only a server that kept the stream all the while can tell the one from the other: a query that may have
        run is not sent twice.
        """
        for query in [query for query in self._table.values() if query.away]:
            if query.ref in resumed.unknown:
                if query.accepted or not resumed.kept:
                    self._lose(query, "dropped", "the server no longer knew it when the connection was back")
                else:
                    self._send(query, now)
            else:
                self._accept(query, now)
                if query.ref in resumed.gaps:
                    self._say(Gap(query.ref, query.seen, resumed.gaps[query.ref]))
            if query.deadline is not None and not query.limited:  # the server owes the ending again
                query.deadline.cancel()
                query.deadline = None

    # inside

    def _send(self, query: _Query, now: float, *, bounded: bool = False) -> None:
        fields = msgspec.structs.asdict(query.message)
        payload = {name: value for name, value in fields.items() if value is not None}
        done = partial(self._replied, query)
        query.push = self._channel.push("query", payload, done, now, bounded=bounded)

    def _replied(self, query: _Query, reply: Reply, now: float) -> None:
        query.push = None
        if reply.status == "ok":
            self._accept(query, now)
        elif reply.status == "error":
            self._refused(query, error_of(reply.response), now)
        elif reply.status == "timeout":
            self._retries.failed(now)
            after = self._settings.reply
            self._lose(query, "no reply", f"no reply within {after:g} s", after=after)
            if reply.elapsed:  # it was sent and may run, unheard
                self._stop(query, "client gave up", now)
        elif reply.status == "disconnected":
            # It may have been accepted just before the drop; then its stream will be heard after the rejoin.
            self._expect(query, now)
        # "closed": the session closes too, and says why

    def _refused(self, query: _Query, error: Error, now: float) -> None:
        wait = self._retries.wait(query.tries, error, now)
        if wait is None:
            self._refuse(query, error)
        else:
            query.tries.pause = self._timers.at(now + wait, lambda then: self._ask_again(query, error, then))
            self._say(Postponed(query.ref, error, query.tries.made + 1, wait))

    def _ask_again(self, query: _Query, error: Error, now: float) -> None:
        message = query.tries.next(query.message, now)
        if message is None:
            self._refuse(query, error)
        else:
            query.message = message
            self._send(query, now)

    def _refuse(self, query: _Query, error: Error) -> None:
        self._forget(query)
        self._say(Refused(query.ref, error, query.tries.made))

    def _stop(self, query: _Query, reason: str, now: float) -> None:
        def answered(reply: Reply, at: float) -> None:
            query.stopping = False
            if reply.status == "disconnected" and query.ref in self._table:
                self._stop(query, reason, at)  # waits for the rejoin; to interrupt twice does no harm

        query.stopping = True
        payload = {"ref": query.ref, "reason": reason}
        self._channel.push("interrupt", payload, answered, now, bounded=False)

    def _accept(self, query: _Query, now: float) -> None:
        query.tries.stop()
        if query.push is not None:
            self._channel.cancel(query.push)
            query.push = None
        if not query.accepted:
            query.accepted = True
            self._retries.succeeded(now)
            self._say(Accepted(query.ref))

    def _end(self, result: Result) -> None:
        if query := self._table.get(result.ref):
            self._forget(query)
            tries = query.tries.made
            self._say(Ended(result if tries == 1 else msgspec.structs.replace(result, attempts=tries)))

    def _expect(self, query: _Query, now: float) -> None:
        """The connection dropped, and with it perhaps the ending. Its own timeout goes on; others get one now."""
        if query.limited:
            if now >= query.asked + query.patience:
                self._give_up(query, now)
        elif query.deadline is None:
            why = "the connection dropped and the ending did not come after it was back"
            wait = query.patience + self._settings.grace
            query.deadline = self._timers.at(now + wait, lambda _: self._lose(query, "dropped", why))

    def _overdue(self, query: _Query, now: float) -> None:
        """Its own timeout is over. The server's word of that may be on its way, if there is a way."""
        if self._channel.state == "joined":
            query.deadline = self._timers.at(now + self._settings.late, lambda then: self._give_up(query, then))
        else:
            self._give_up(query, now)

    def _give_up(self, query: _Query, now: float) -> None:
        timeout = f"within its timeout of {query.patience:g} s"
        if query.accepted:
            self._lose(query, "dropped", f"no ending came {timeout}")
        else:
            self._retries.failed(now)
            self._lose(query, "no reply", f"no reply {timeout}", after=query.patience)

    def _lose(self, query: _Query, cause: Any, why: str, after: float | None = None) -> None:
        if self._table.get(query.ref) is query:
            self._forget(query)
            self._say(Lost(query.ref, cause, why, after))

    def _forget(self, query: _Query) -> None:
        del self._table[query.ref]
        query.tries.stop()
        if query.push is not None:
            self._channel.cancel(query.push)
        if query.deadline is not None:
            query.deadline.cancel()
