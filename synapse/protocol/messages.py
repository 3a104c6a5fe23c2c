"""The cortex protocol's messages: what stands in the payload of each event.

Times on the wire are milliseconds. Unknown fields are allowed and ignored, as in Phoenix.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from synapse.protocol.errors import InvalidMessage

Ref = Annotated[str, Meta(min_length=1, max_length=255)]
Priority = Annotated[int, Meta(ge=0, le=9)]
LONGEST = 86_400_000  # ms, a day: no message names a longer timeout, though the server's rule may be longer, or none
Milliseconds = Annotated[int, Meta(ge=1, le=LONGEST)]
Outcome = Literal["success", "error", "timeout"]


class Query(msgspec.Struct, frozen=True):
    """``query``, client to server: something to think about.

    Parameters
    ----------
    q
        The question, or whatever text the handler understands.
    ref
        The agent's own name for the query; unique among the agent's unfinished ones.
    priority
        0 (first) to 9 (last).
    timeout
        Milliseconds from submission to the latest ending; the server's policy when absent (30 000 unless it was set).
    handler
        Which handler should answer; the agent's default when absent.
    attempt
        Which try of the client's this is, from 1; for the record only.
    """

    q: str
    ref: Ref
    priority: Priority = 5
    timeout: Milliseconds | None = None
    handler: str | None = None
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class Join(msgspec.Struct, frozen=True):
    """The payload of an agent's ``phx_join``, as far as it is not about who it is.

    Parameters
    ----------
    resume
        By ref of a query, the `seq` of the last thought that the agent has seen (0 for none). Its presence,
        even empty, asks for a stream that can be resumed: thoughts then carry `seq`.
    """

    resume: Annotated[dict[Ref, Annotated[int, Meta(ge=0)]], Meta(max_length=10_000)] | None = None


class Status(msgspec.Struct, frozen=True):
    """``status``, client to server: what the agent is up to, and how busy it is (0 to 1)."""

    status: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    load: Annotated[float, Meta(ge=0, le=1)] | None = None


class Interrupt(msgspec.Struct, frozen=True):
    """``interrupt``, client to server: stop a running query of this agent."""

    ref: Ref
    reason: Annotated[str, Meta(max_length=1000)] = "user requested"


class Thought(msgspec.Struct, frozen=True, omit_defaults=True):
    """``thought``, server to client: one step of a query. `timestamp` is Unix time in ms."""

    thought: Any
    ref: str
    timestamp: int
    seq: int | None = None


class Result(msgspec.Struct, frozen=True):
    """``result``, server to client: the ending of a query. `latency_ms` runs from its submission."""

    ref: str
    status: Outcome
    data: Any
    latency_ms: float


class Interrupted(msgspec.Struct, frozen=True):
    """``interrupted``, server to client: the ending of an interrupted query; no result follows."""

    ref: str
    reason: str


class Ping(msgspec.Struct, frozen=True):
    """``ping``, client to server."""


class Pong(msgspec.Struct, frozen=True):
    """``pong``, server to client: Unix time in ms."""

    timestamp: int


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response to ``about``: what an agent may know of its server.

    Parameters
    ----------
    version, node
        Of the server, and its own name.
    agents, queries
        How many agents are connected, and how many queries are unfinished.
    handlers
        What this agent may use, by name or pattern; the first name is its default.
    policies
        The rules in force, for who is trusted.
    """

    version: str
    node: str
    agents: int
    queries: int
    handlers: list[str]
    policies: dict[str, Any] | None = None


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of a ``phx_reply`` whose status is ``error``.

    Parameters
    ----------
    reason
        What was wrong, for programs first (``"overloaded"``), then for people.
    field
        The offending field of the payload.
    retry_after_ms
        When asking again makes sense, in ms.
    policy
        The policy that refused.
    handlers
        The handlers that the agent may use, if it named another.
    limit
        The largest message that is read, in bytes, if this one was larger.
    """

    reason: str
    field: str | None = None
    retry_after_ms: int | None = None
    policy: str | None = None
    handlers: list[str] | None = None
    limit: int | None = None


M = TypeVar("M", bound=msgspec.Struct)
_PATH = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")


def parse(kind: type[M], payload: object) -> M:
    """Validate a payload as a message.

    Raises
    ------
    InvalidMessage
        With a reason that names the field. A payload that lacks a required field, or is no object
        at all, is answered with the list of all required ones, as the specification's server does.
    """
    required = _required(kind)
    if not isinstance(payload, dict) or any(name not in payload for name in required):
        raise InvalidMessage(
            f"missing required fields: {', '.join(required)}" if required else "payload must be an object"
        )
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        field = path[1] if path else None
        problem = _PATH.sub("", str(error))
        raise InvalidMessage(f"invalid field: {field}: {problem}", field) from None


@cache
def _required(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if field.required]
