"""The tape: the messages of recent queries as they went over the wire, for an observer who wants to see one whole.

It runs only while somebody watches. What joins say is never on it, so no key is; of what agents send, fields
that are named like secrets are blanked before anybody sees them.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NamedTuple

import msgspec

from synapse.channels import Message
from synapse.protocol import encode_json

SECRETS = frozenset({"api_key", "apikey", "authorization", "password", "secret"})
BLANK = "(not shown)"


class Entry(NamedTuple):
    """A message. `at` is in s; `connection` is None for what goes to all connections of the agent."""

    at: float
    agent: str
    ref: str
    direction: Literal["in", "out"]
    event: str
    connection: int | None
    frame: bytes


class Traced(msgspec.Struct, frozen=True):
    """A message as an observer sees it.

    Parameters
    ----------
    at
        When, in s on the node's clock.
    direction
        ``in``: the agent said it; ``out``: the server did.
    event
        The event.
    connection
        The number of the connection; None for what goes to all connections of the agent.
    bytes
        The size of the frame.
    frame
        The frame in V2, ``[join_ref, ref, topic, event, payload]``; the server's have a join_ref of each
        connection, here null.
    """

    at: float
    direction: str
    event: str
    connection: int | None
    bytes: int
    frame: Any


class Tape:
    """The recent messages of all queries.

    Parameters
    ----------
    messages, size
        The bounds, in messages and in bytes of their frames; at a bound the oldest go first.
    """

    def __init__(self, messages: int = 20_000, size: int = 8 * 2**20) -> None:
        self._entries: deque[Entry] = deque()
        self._most, self._most_bytes = messages, size
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """How many bytes of frames it holds."""
        return self._bytes

    def heard(
        self, at: float, agent: str, connection: int, join_ref: Any, ref: Any, topic: str, event: str, payload: Any
    ) -> None:
        """An agent has sent this. What names no query is not kept."""
        query = payload.get("ref") if isinstance(payload, dict) else None
        if isinstance(query, str):
            frame = encode_json((join_ref, ref, topic, event, payload))
            self._keep(Entry(at, agent, query, "in", event, connection, frame))

    def replied(
        self, at: float, agent: str, query: str, connection: int, join_ref: Any, ref: Any, topic: str, answer: Any
    ) -> None:
        """The server has answered this to a query."""
        frame = encode_json((join_ref, ref, topic, "phx_reply", answer))
        self._keep(Entry(at, agent, query, "out", "phx_reply", connection, frame))

    def said(self, at: float, agent: str, query: str, message: Message) -> None:
        """The server has sent this to all connections of an agent."""
        frame = b'[null,null,%s,"%s",%s]' % (encode_json(message.topic), message.event.encode(), message.data)
        self._keep(Entry(at, agent, query, "out", message.event, None, frame))

    def of(self, agent: str, ref: str) -> list[Traced]:
        """The messages of one query, oldest first: those that are still here."""
        return [
            Traced(entry.at, entry.direction, entry.event, entry.connection, len(entry.frame), _shown(entry))
            for entry in self._entries
            if entry.ref == ref and entry.agent == agent
        ]

    def _keep(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.frame)
        while len(self._entries) > self._most or (self._bytes > self._most_bytes and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().frame)


def _shown(entry: Entry) -> Any:
    if entry.direction == "out":
        return msgspec.Raw(entry.frame)
    return _without_secrets(msgspec.json.decode(entry.frame))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: BLANK if name.lower() in SECRETS else _without_secrets(inner) for name, inner in value.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value
