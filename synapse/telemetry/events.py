"""What the core announces, as typed events.

All times are seconds on the clock of the core that announced them; `node` names that core. Listeners get
events in the order in which things happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True, tag=True, tag_field="event", gc=False):
    """Something that happened on `node` at time `at` (s)."""

    at: float
    node: str


class Connected(Event, frozen=True, gc=False):
    """A connection was made."""

    connection: int


class Disconnected(Event, frozen=True, gc=False):
    """A connection has ended: ``closed`` by a handshake, ``lost`` without one, or cut off by the server."""

    connection: int
    reason: str


class Joined(Event, frozen=True, gc=False):
    """A connection joined an agent's topic."""

    agent: str
    connection: int


class Left(Event, frozen=True, gc=False):
    """A connection left an agent's topic, by leaving, crashing or going away."""

    agent: str
    connection: int
    reason: str


class Submitted(Event, frozen=True, gc=False):
    """An agent asked."""

    agent: str
    ref: str
    priority: int
    handler: str


class Rejected(Event, frozen=True, gc=False):
    """A query was refused at once. It is not accepted and gets no ending. `retry_after` is in s."""

    agent: str
    ref: str
    priority: int
    attempt: int
    reason: str
    policy: str
    retry_after: float | None
    handler: str = ""


class Refused(Event, frozen=True, gc=False):
    """Something other than a query was refused. `what` is ``connection``, ``join`` or ``message``.

    `policy` is empty where it was no rule that refused but a want of credentials. `retry_after` is in s.
    """

    what: str
    topic: str
    reason: str
    policy: str
    retry_after: float | None


class Admitted(Event, frozen=True, gc=False):
    """A query was accepted: it runs or waits now, and will have exactly one ending."""

    agent: str
    ref: str
    priority: int


class Started(Event, frozen=True, gc=False):
    """A query got its slot after waiting `waited` seconds."""

    agent: str
    ref: str
    waited: float
    handler: str = ""


class Thought(Event, frozen=True, gc=False):
    """A running query had its `seq`-th thought, counted from 1."""

    agent: str
    ref: str
    seq: int


class Finished(Event, frozen=True, gc=False):
    """The ending of an accepted query, with its whole record.

    `status` is ``success``, ``error``, ``timeout`` or ``interrupted``. `started` and `first_thought` are
    None where it did not come to that.
    """

    agent: str
    ref: str
    priority: int
    attempt: int
    submitted: float
    admitted: float
    started: float | None
    first_thought: float | None
    status: str
    reason: str | None
    thoughts: int


class Dropped(Event, frozen=True, gc=False):
    """A connection's mailbox lost messages, or the connection was cut off for its slowness, with what waited for it."""

    connection: int
    messages: int
    bytes: int
    policy: str


class PresenceChanged(Event, frozen=True, gc=False):
    """Metas joined and left a topic's presence."""

    topic: str
    joins: int
    leaves: int


Listener = Callable[[Any], None]


class Bus:
    """Hands events to listeners. A listener that raises is logged, never the core's trouble.

    Attributes
    ----------
    listeners : list
        Who listens now. It is the same list as long as the bus lives.
    """

    __slots__ = ("listeners",)

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on. Returns the function that ends this."""
        self.listeners.append(listener)

        def stop() -> None:
            self.listeners[:] = [one for one in self.listeners if one is not listener]

        return stop

    def emit(self, event: Event) -> None:
        """Announce an event. The core asks `listeners` first, to build no event that no one hears."""
        for listener in tuple(self.listeners):  # who hears of it may begin or cease to listen
            try:
                listener(event)
            except Exception:
                log.exception("telemetry listener %r failed on %r", listener, event)
