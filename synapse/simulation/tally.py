"""What is counted while time passes. Counting draws no chance and decides nothing, so it never changes what happens."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from operator import add, sub

OUTCOMES = ("ok", "error", "timeout", "rejected", "given_up")
"""How a query can end, for its agent."""


@dataclass  # a field of a msgspec.Struct takes five times as long to set
class Counts:
    """Of one kind of agents. A query is what an agent wants to know; it makes one try or more to find out.

    Attributes
    ----------
    sent : int
        Queries.
    ok, error, timeout, rejected, given_up : int
        How they ended: answered; or how the last try failed, when it was the last that the retry policy has; or the
        agent gave up, because its patience or its budget did not allow one more try, or it had no connection.
    in_flight : int
        Those that have not ended.
    tries, tries_ok, tries_error, tries_timeout, tries_rejected, tries_in_flight : int
        The same for tries.
    """

    sent: int = 0
    ok: int = 0
    error: int = 0
    timeout: int = 0
    rejected: int = 0
    given_up: int = 0
    in_flight: int = 0
    tries: int = 0
    tries_ok: int = 0
    tries_error: int = 0
    tries_timeout: int = 0
    tries_rejected: int = 0
    tries_in_flight: int = 0

    @property
    def conserved(self) -> bool:
        """Whether nothing was lost or counted twice."""
        ended = self.ok + self.error + self.timeout + self.rejected + self.given_up
        tried = self.tries_ok + self.tries_error + self.tries_timeout + self.tries_rejected
        return self.sent == ended + self.in_flight and self.tries == tried + self.tries_in_flight

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, astuple(self), astuple(other)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*map(sub, astuple(self), astuple(other)))

    def __reduce__(self) -> tuple[type[Counts], tuple[int, ...]]:
        return Counts, astuple(self)  # the same pickle, compiled or not

    def copy(self) -> Counts:
        """The same, now."""
        return replace(self)
