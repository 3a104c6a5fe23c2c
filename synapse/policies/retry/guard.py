"""What stands between a client and the tries it would like to make."""

from __future__ import annotations

from typing import Protocol

from synapse.policies.verdict import Verdict


class Guard(Protocol):
    """The running state of a guard. One is shared by all queries of a client; several may be asked in turn."""

    def admit(self, now: float, u: float = 0.0, attempt: int = 1) -> Verdict:
        """Whether a try may be made.

        Parameters
        ----------
        now
            When, in s.
        u
            A random number from [0, 1), drawn by the caller.
        attempt
            Which try of its query it would be, from 1.
        """

    def on_success(self, now: float) -> None:
        """Note that the other side took a try up."""

    def on_failure(self, now: float) -> None:
        """Note that the other side refused a try, or did not answer it."""
