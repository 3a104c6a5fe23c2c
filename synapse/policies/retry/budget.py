"""So many retries for so many queries."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count
from synapse.policies.rate.limit import SLACK
from synapse.policies.verdict import ADMITTED, Rejected, Verdict


class RetryBudget(Policy, frozen=True, tag="retry-budget"):
    """Each first try saves up a part of a retry; each retry spends a whole one.

    However much fails, all tries together are at most ``1 + ratio`` times the queries (and `burst` more): 1.1 for a
    tenth, where three tries each would be 3. It hurts those who fail when all do: they are given up at once.
    Cost: O(1). Source: Beyer et al., Site reliability engineering (2016), ch. 21; Brooker (2022).

    Parameters
    ----------
    ratio
        Retries a query.
    burst
        Retries that can be saved up; there are as many at the start.
    """

    ratio: Annotated[float, Meta(ge=0, le=100, description="Retries a query.")] = 0.1
    burst: Annotated[Count, Meta(description="Retries that can be saved up.")] = 10

    def start(self, now: float, before: object = None) -> RetryBudgetState:  # noqa: ARG002
        """A full budget, or what was left of the one `before`."""
        state = RetryBudgetState(self)
        if isinstance(before, RetryBudgetState):
            state.balance = min(state.balance, before.balance)
        return state


class RetryBudgetState(Running):
    """How many retries are saved up."""

    __slots__ = ("balance", "policy")

    def __init__(self, policy: RetryBudget) -> None:
        self.policy = policy
        self.balance = float(policy.burst)

    def admit(self, now: float, u: float = 0.0, attempt: int = 1) -> Verdict:  # noqa: ARG002
        if attempt <= 1:
            self.balance = min(float(self.policy.burst), self.balance + self.policy.ratio)
            return ADMITTED
        if self.balance >= 1.0 - SLACK:
            self.balance -= 1.0
            return ADMITTED
        return Rejected(None, "retry-budget")

    def on_success(self, now: float) -> None:
        """It does not matter here."""

    def on_failure(self, now: float) -> None:
        """It does not matter here."""
