"""What the sync and the async face of an agent and of a query have in common. Neither waits here."""

from __future__ import annotations

import secrets
import weakref
from itertools import count

from synapse.client import html
from synapse.client.about import About
from synapse.client.errors import AgentClosed, SynapseError
from synapse.client.io import IOThread
from synapse.client.opening import Opened
from synapse.client.reading import read
from synapse.client.stream import Stream
from synapse.client.values import Thought
from synapse.protocol import InvalidMessage, parse
from synapse.protocol import messages as wire

SHOWN = 8  # thoughts in a query's HTML: a notebook keeps its outputs


class AgentFace:
    """An agent, joined to a cortex."""

    def __init__(self, opened: Opened, io: IOThread, handler: str | None) -> None:
        connection = opened.connection
        self._connection = connection
        self._rules = opened.rules
        self._io = io
        self._handler = handler
        self._run = secrets.token_hex(3)  # an agent's connections share its refs, so they must differ
        self._numbers = count(1)
        self._asked = 0
        # An agent that nobody holds any more, as after running a notebook's cell again, leaves.
        self._finalizer = weakref.finalize(self, io.soon, connection.leave)
        self._finalizer.atexit = False

    @property
    def id(self) -> str:
        """The agent's id; its topic is ``cortex:<id>``."""
        return self._connection.agent

    @property
    def url(self) -> str:
        """The cortex's WebSocket, without secrets."""
        return self._connection.url

    @property
    def status(self) -> str:
        """``"joined"`` when all is well; ``"connecting"``, ``"joining"``, ``"disconnected"`` or ``"closed"``."""
        return self._connection.status if self._io.usable else "closed"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r} {self.status} at {self.url}>"

    def _repr_html_(self) -> str:
        fields = [("cortex", self.url), ("queries", self._asked)]
        if self._handler:
            fields.append(("handler", self._handler))
        return html.card(f"{type(self).__name__} {self.id}", self.status, fields)

    def _status_payload(self, status: str | None, load: float | None) -> dict[str, object]:
        """The message of ``set_status``, checked here so that what is wrong fails in the caller's hands."""
        self._check_open()
        payload: dict[str, object] = {
            name: value for name, value in (("status", status), ("load", load)) if value is not None
        }
        parse(wire.Status, payload)
        return payload

    def _about(self, response: object) -> About:
        """The answer to ``about``, whatever the server put into it."""
        try:
            known = read(wire.About, response)
        except InvalidMessage as error:
            raise SynapseError(f"the answer to 'about' makes no sense: {error.reason}") from None
        return About(self.url, known)

    def _ask(self, q: str, priority: int, timeout: float | None, handler: str | None) -> Stream:
        """Send a query: what every face's ``query`` does first."""
        self._check_open()
        if timeout is not None and not timeout > 0:
            raise InvalidMessage(f"invalid field: timeout: must be more than 0 s, not {timeout!r}", "timeout")
        ref = f"{self._run}-{next(self._numbers)}"
        payload = {
            "q": q,
            "ref": ref,
            "priority": priority,
            "timeout": None if timeout is None else max(1, round(timeout * 1e3)),
            "handler": handler or self._handler,
        }
        message = parse(wire.Query, payload)
        stream = Stream(ref)
        self._asked += 1
        self._io.soon(self._connection.query, stream, message)
        return stream

    def _check_open(self) -> None:
        if not self._io.usable:
            raise AgentClosed("its process ended or was forked; a forked process must connect by itself")
        if reason := self._connection.closed:
            raise AgentClosed(reason)


class QueryFace:
    """A question on its way."""

    def __init__(self, agent: AgentFace, q: str, stream: Stream) -> None:
        self._agent = agent  # keeps it from leaving while somebody waits here
        self._stream = stream
        self.q = q

    @property
    def ref(self) -> str:
        """The query's name on the wire and in traces."""
        return self._stream.ref

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """The thoughts that have come so far."""
        return tuple(self._stream.thoughts)

    @property
    def status(self) -> str:
        """How it stands.

        ``"waiting"`` (for a first thought, or to be asked again), ``"thinking"``; then ``"success"``, ``"error"``,
        ``"timeout"``, ``"interrupted"``; or ``"refused"`` or ``"lost"``, and then its result raises.
        """
        stream = self._stream
        if stream.result is not None:
            return stream.result.status
        if stream.failure is not None:
            return "refused" if type(stream.failure).__name__ == "QueryRefused" else "lost"
        return "thinking" if stream.thoughts else "waiting"

    @property
    def attempts(self) -> int:
        """How often the server was asked; while it waits to be asked again, with that next time."""
        return self._stream.attempts

    def interrupt(self, reason: str = "user requested") -> None:
        """Ask the server to stop this query; does not wait. It ends with status ``"interrupted"``.

        A query that has ended, or ends first, stays as it is. One that waits to be asked again ends at once.
        """
        if not self._stream.over:
            self._agent._io.soon(self._agent._connection.interrupt, self.ref, reason)

    def __repr__(self) -> str:
        seen = len(self._stream.thoughts)
        thoughts = f"{seen} thought{'' if seen == 1 else 's'}"
        tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
        return f"<{type(self).__name__} {html.short(self.q, 40)!r} {self.status}, {thoughts}{tries}>"

    def _repr_html_(self) -> str:
        thoughts = self.thoughts
        last = [html.short(thought.content) for thought in thoughts[-SHOWN:]]
        return self._card(html.steps(last, hidden=len(thoughts) - len(last)))

    def _card(self, body: str) -> str:
        """The query in HTML, around its thoughts."""
        stream = self._stream
        fields: list[tuple[str, object]] = [("ref", self.ref)]
        if self.attempts > 1:
            fields.append(("attempts", self.attempts))
        if stream.failure is not None:
            fields.append(("failure", str(stream.failure)))
        elif (result := stream.result) is not None:
            about = ("reason", result.reason) if result.reason is not None else ("data", result.data)
            fields += [about, ("latency", html.milliseconds(result.latency))]
        return html.card(f"Query {html.short(self.q, 80)}", self.status, fields, body=body)
