"""The messages between a cortex and its workers, on the topics ``worker:<name>``. Times are milliseconds."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synapse.protocol.errors import InvalidMessage
from synapse.protocol.messages import Milliseconds, Outcome, Ref

MOST_AT_ONCE = 1000
"""Queries that one worker may take at a time, and thoughts in one message."""


class WorkerJoin(msgspec.Struct, frozen=True):
    """The payload of a worker's ``phx_join``, as far as it is not about who it is.

    Parameters
    ----------
    concurrency
        How many queries it works on at once; it is never given more.
    """

    concurrency: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = 1


class WorkerJoined(msgspec.Struct, frozen=True):
    """The response to a worker's join: the largest message that the server reads, in bytes."""

    max_bytes: Annotated[int, Meta(ge=1)] = 2**20


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """``work``, server to worker: a query to answer.

    Parameters
    ----------
    job
        The server's name for it, which every message about it bears.
    agent
        Whose query it is.
    query
        The payload of the agent's ``query`` message, as it came.
    timeout
        What is left of the query's time, in ms, a day at most; absent if it has no end.
    """

    job: Ref
    agent: str
    query: dict[str, Any]
    timeout: Milliseconds | None = None


class Stop(msgspec.Struct, frozen=True):
    """``stop``, server to worker: the query has ended, no one listens any more. The worker still says ``done``."""

    job: Ref
    reason: str


class Thoughts(msgspec.Struct, frozen=True):
    """``thoughts``, worker to server: some steps of a query, in order."""

    job: Ref
    thoughts: Annotated[list[Any], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class Done(msgspec.Struct, frozen=True):
    """``done``, worker to server: the end of the work on a query, which frees its place."""

    job: Ref
    status: Outcome
    data: Any = None

    @property
    def reason(self) -> str | None:
        """Why it is no success."""
        return None if self.status == "success" else str(self.data["reason"])

    def check(self) -> Done:
        """Itself, if its data fit its status.

        Raises
        ------
        InvalidMessage
            If it is no success, and `data` do not say why in a `reason`.
        """
        reason = self.data.get("reason") if isinstance(self.data, dict) else None
        if self.status != "success" and not isinstance(reason, str):
            raise InvalidMessage(f"invalid field: data: of status {self.status} needs a reason", "data")
        return self
