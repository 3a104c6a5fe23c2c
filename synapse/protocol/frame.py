"""One message on the wire, whatever its serializer."""

from __future__ import annotations

from typing import Any

import msgspec


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A Phoenix message: five fields, in the order of a V2 array.

    Parameters
    ----------
    join_ref
        Which join of the topic this belongs to. Any JSON value is allowed and echoed as it came.
    ref
        The client's number for this message; a reply carries the same. None on server pushes.
    topic, event
        Strings in any sane frame; other JSON values decode too and match no channel.
    payload
        A JSON value, or `bytes` when the frame was binary.
    """

    join_ref: Any
    ref: Any
    topic: Any
    event: Any
    payload: Any


class Encoded(msgspec.Struct, eq=False, gc=False):
    """Bytes of one WebSocket message, ready for any number of sockets.

    Attributes
    ----------
    data : bytes
        The message's payload.
    binary : bool
        Whether it travels as a binary message.
    framed : dict
        The driver's cache: the same message as WebSocket frame bytes, by compression mode, so
        that a broadcast is framed once and not once per socket.
    """

    data: bytes
    binary: bool = False
    framed: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Encoded({self.data!r}, binary={self.binary})"
