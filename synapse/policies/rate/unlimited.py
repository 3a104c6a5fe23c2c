"""No limit."""

from __future__ import annotations

from synapse.policies.base import Policy
from synapse.policies.fields import Per
from synapse.policies.verdict import ADMITTED, Verdict


class Unlimited(Policy, frozen=True, tag="unlimited"):
    """Admit everyone.

    For closed rooms and for measuring what the rest can bear. It hurts with the first client that loops.
    Cost: O(1), no memory.
    Source: none; it is the want of a rule.

    Parameters
    ----------
    per
        Of no effect, so that a limit can be switched off in place.
    """

    per: Per = "agent"

    @property
    def kind(self) -> str:
        """Its name."""
        return "unlimited"

    def start(self, now: float, before: object = None) -> Unlimited:  # noqa: ARG002
        """It is its own state."""
        return self

    def admit(self, now: float, cost: int = 1) -> Verdict:  # noqa: ARG002
        """Yes."""
        return ADMITTED

    def wait(self, now: float, cost: int = 1) -> float:  # noqa: ARG002
        """Never."""
        return 0.0

    def spend(self, now: float, cost: int = 1) -> None:
        """Nothing to take."""

    def idle(self, now: float) -> bool:  # noqa: ARG002
        """Always."""
        return True
