"""Reads what a server says into typed messages; what makes no sense is an `InvalidMessage`."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from synapse.protocol import InvalidMessage

M = TypeVar("M", bound=msgspec.Struct)


class Resumed(msgspec.Struct, frozen=True):
    """What a cortex answers to a join with ``resume``.

    Parameters
    ----------
    kept
        Whether it kept the stream all the while: then what is unknown to it was never received.
    unknown
        Refs it knows nothing of.
    gaps
        By ref, the first thought it could still send.
    """

    kept: bool = False
    unknown: list[str] = []
    gaps: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}


class _Joined(msgspec.Struct, frozen=True):
    resume: Resumed | None = None


def read(kind: type[M], payload: Any) -> M:
    """A payload as a message of this kind."""
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        raise InvalidMessage(str(error)) from None


def read_resumed(response: Any) -> Resumed | None:
    """What the join's response says of resuming; None from a server that knows nothing of it."""
    try:
        return read(_Joined, response).resume
    except InvalidMessage:
        return None
