"""The wire: bytes to typed frames and messages, and back.

Phoenix Channels in its two serializers, and the cortex protocol's messages. Pure: this room knows no
socket, no clock and no other room.
"""

from synapse.protocol.errors import InvalidMessage, MalformedFrame, ProtocolError
from synapse.protocol.frame import Encoded, Frame
from synapse.protocol.messages import (
    About,
    Error,
    Interrupt,
    Interrupted,
    Join,
    Outcome,
    Ping,
    Pong,
    Query,
    Result,
    Status,
    Thought,
    parse,
)
from synapse.protocol.serializers import (
    V1_SERIALIZER,
    V2_SERIALIZER,
    Serializer,
    encode_json,
    is_utf8,
    raw,
    serializer_for,
)
from synapse.protocol.topics import LONGEST_AGENT_ID, MONITOR, RESERVED_AGENTS, ROSTER, WORKER, is_agent_id

__all__ = [
    "LONGEST_AGENT_ID",
    "MONITOR",
    "RESERVED_AGENTS",
    "ROSTER",
    "V1_SERIALIZER",
    "V2_SERIALIZER",
    "WORKER",
    "About",
    "Encoded",
    "Error",
    "Frame",
    "Interrupt",
    "Interrupted",
    "InvalidMessage",
    "Join",
    "MalformedFrame",
    "Outcome",
    "Ping",
    "Pong",
    "ProtocolError",
    "Query",
    "Result",
    "Serializer",
    "Status",
    "Thought",
    "encode_json",
    "is_agent_id",
    "is_utf8",
    "parse",
    "raw",
    "serializer_for",
]
