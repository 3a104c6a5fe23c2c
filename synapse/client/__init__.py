"""How an agent connects: a pure `Session`, and over it an async and a sync face.

`Session` (with `Socket` and `Channel` below it) is a Phoenix client without I/O: bytes, time and chance go
in, bytes and typed events come out. `Connection` and `Link` carry it in the IO thread. `Agent` and
`AsyncAgent` are what users hold. `discovery` finds the server.

This room must not know how a cortex works inside; the one thing it imports from the server's room is
the embedded one, when there is no other.
"""

from synapse.client.agent import AsyncAgent, AsyncQuery, aconnect
from synapse.client.errors import (
    AgentClosed,
    BufferFull,
    ConnectError,
    Disconnected,
    InvalidURL,
    JoinError,
    QueryLost,
    QueryRefused,
    ReplyTimeout,
    ServerError,
    SynapseError,
)
from synapse.client.presence import Roster
from synapse.client.server import AsyncServer, Server
from synapse.client.serving import AsyncWorker, Worker
from synapse.client.sync import Agent, Query, connect
from synapse.client.values import Result, Thought

__all__ = [
    "Agent",
    "AgentClosed",
    "AsyncAgent",
    "AsyncQuery",
    "AsyncServer",
    "AsyncWorker",
    "BufferFull",
    "ConnectError",
    "Disconnected",
    "InvalidURL",
    "JoinError",
    "Query",
    "QueryLost",
    "QueryRefused",
    "ReplyTimeout",
    "Result",
    "Roster",
    "Server",
    "ServerError",
    "SynapseError",
    "Thought",
    "Worker",
    "aconnect",
    "connect",
]
