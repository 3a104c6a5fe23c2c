"""Several limits at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta
from msgspec.structs import force_setattr

from synapse.policies.base import Policy, PolicyError, Running
from synapse.policies.rate.fixed_window import FixedWindow
from synapse.policies.rate.gcra import GCRA
from synapse.policies.rate.limit import RateLimit, rejected
from synapse.policies.rate.sliding_counter import SlidingCounter
from synapse.policies.rate.sliding_log import SlidingLog
from synapse.policies.rate.token_bucket import TokenBucket
from synapse.policies.rate.unlimited import Unlimited
from synapse.policies.verdict import ADMITTED, Verdict

OneRateLimit: TypeAlias = Unlimited | TokenBucket | GCRA | FixedWindow | SlidingLog | SlidingCounter


class All(Policy, frozen=True, tag="all"):
    """Admit who is admitted by every one of several limits. If one refuses, nothing is spent in any.

    For "10 a second, but no more than 1,000 an hour", or an agent's limit under its key's. It hurts nobody by
    itself; who is refused waits for the slowest. Cost: the sum of its members'.
    Source: the dual leaky bucket of ATM, ITU-T I.371: a cell conforms to both rates, or counts in neither.

    Parameters
    ----------
    policies
        The limits, each with its own `per`. Not nested.
    """

    policies: Annotated[tuple[OneRateLimit, ...], Meta(min_length=1, description="The limits.")]

    def __post_init__(self) -> None:
        if isinstance(self.policies, Policy) or not self.policies:
            raise PolicyError("policies", "must be a list of at least 1 rate limit")
        for place, policy in enumerate(self.policies):
            if not hasattr(policy, "per") or not hasattr(policy, "start"):
                raise PolicyError(f"policies[{place}]", f"must be a rate limit; not {policy!r}")
        force_setattr(self, "policies", tuple(self.policies))

    def start(self, now: float, before: object = None) -> AllState:
        """Each one's state; members of the same kind and place carry on."""
        kept = before.states if isinstance(before, AllState) else ()
        return AllState(
            self, [one.start(now, kept[i] if i < len(kept) else None) for i, one in enumerate(self.policies)]
        )


class AllState(Running):
    """The members' states, for one key."""

    __slots__ = ("policy", "states")

    kind = "all"

    def __init__(self, policy: All, states: Sequence[RateLimit]) -> None:
        self.policy = policy
        self.states = states

    def admit(self, now: float, cost: int = 1) -> Verdict:
        return admit_all(self.states, now, cost)

    def wait(self, now: float, cost: int = 1) -> float:
        return max(state.wait(now, cost) for state in self.states)

    def spend(self, now: float, cost: int = 1) -> None:
        for state in self.states:
            state.spend(now, cost)

    def idle(self, now: float) -> bool:
        return all(state.idle(now) for state in self.states)


def admit_all(states: Sequence[RateLimit], now: float, cost: int) -> Verdict:
    """Take `cost` from all, or from none. Each opens again and stays open, so the longest wait is the honest one."""
    longest, slowest = 0.0, ""
    for state in states:
        wait = state.wait(now, cost)
        if wait > longest:
            longest, slowest = wait, state.kind
    if longest:
        return rejected(longest, slowest)
    for state in states:
        state.spend(now, cost)
    return ADMITTED
