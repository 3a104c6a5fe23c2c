"""What a `Session` says: two instructions to its driver, and news for its user. Frozen values. Times are seconds."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from synapse.client.values import Result, Thought
from synapse.protocol import Error


class OpenSocket(msgspec.Struct, frozen=True):
    """Instruction: open a WebSocket, then call `connected`, or `disconnected` if that fails."""


class CloseSocket(msgspec.Struct, frozen=True):
    """Instruction: send what is left, close the WebSocket, and report nothing more of it."""

    code: int
    reason: str


class Joined(msgspec.Struct, frozen=True):
    """The server let us into a topic (for the first time or again)."""

    topic: str
    response: Any


class JoinRefused(msgspec.Struct, frozen=True):
    """The server did not let us in, perhaps by a rule, and for some time. If `final`, the session has given up."""

    topic: str
    reason: str
    final: bool
    policy: str | None = None
    retry_after_ms: int | None = None


class TopicClosed(msgspec.Struct, frozen=True):
    """The server closed a watched topic; it is not joined again."""

    topic: str


class Dropped(msgspec.Struct, frozen=True):
    """A connection ended or could not be opened; the next try is in `retry_in` seconds."""

    code: int
    reason: str
    retry_in: float


class Closed(msgspec.Struct, frozen=True):
    """The session is over. Nothing follows."""

    reason: str


Outcome = Literal["ok", "error", "timeout", "disconnected", "closed"]


class Reply(msgspec.Struct, frozen=True):
    """What became of a push: the server's answer, or why none came. `elapsed` runs from the sending."""

    status: Outcome
    response: Any
    elapsed: float


class Replied(msgspec.Struct, frozen=True):
    """The outcome of `Session.push`, by the number that it returned."""

    push: int
    reply: Reply


class Accepted(msgspec.Struct, frozen=True):
    """The server took a query."""

    ref: str


class Refused(msgspec.Struct, frozen=True):
    """The server did not take a query, in as many attempts. 0: this client's own guard held it back."""

    ref: str
    error: Error
    attempts: int = 1


class Postponed(msgspec.Struct, frozen=True):
    """The server did not take a query for now; the attempt of this number is made in `wait` seconds."""

    ref: str
    error: Error
    attempt: int
    wait: float


class Thinking(msgspec.Struct, frozen=True):
    """A thought of one of our queries."""

    thought: Thought


class Gap(msgspec.Struct, frozen=True):
    """After a drop the server could not send all that was missed: thoughts after `seen` and before `first` are gone."""

    ref: str
    seen: int
    first: int


class Ended(msgspec.Struct, frozen=True):
    """The ending of one of our queries."""

    result: Result


class Lost(msgspec.Struct, frozen=True):
    """One of our queries will get no ending that we can read. `after` is how long a reply was waited for."""

    ref: str
    cause: Literal["no reply", "dropped", "garbled", "closed"]
    why: str
    after: float | None = None


class PresenceChanged(msgspec.Struct, frozen=True):
    """The list of a topic is complete, or has changed."""

    topic: str


class Pushed(msgspec.Struct, frozen=True):
    """Any other message of the server."""

    topic: str
    event: str
    payload: Any


class Misunderstood(msgspec.Struct, frozen=True):
    """A message of the server that is not what its event promises. It is ignored."""

    topic: str
    event: str
    problem: str


Event = (
    OpenSocket
    | CloseSocket
    | Joined
    | JoinRefused
    | Dropped
    | Closed
    | Replied
    | Accepted
    | Refused
    | Postponed
    | Thinking
    | Ended
    | Gap
    | Lost
    | PresenceChanged
    | Pushed
    | TopicClosed
    | Misunderstood
)
