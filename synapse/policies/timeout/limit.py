"""What every timeout can be asked."""

from __future__ import annotations

from typing import Protocol

USUAL = 5  # the priority of a query that names none


class Timeout(Protocol):
    """The running state of a timeout."""

    def deadline(self, now: float, asked: float | None, priority: int = USUAL) -> float:
        """When a query submitted `now` must have ended; `asked` is its own timeout in s, if it named one."""

    def observe(self, latency: float) -> None:
        """Be told how long a query took from submission to its ending, in s.

        Those that timed out count too, with the time they had: who only looks at those that made it sees short
        ones only, and would shorten the timeout for ever.
        """
