"""A bucket of tokens that fills at a steady rate."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Per, Rate
from synapse.policies.rate.limit import SLACK, rejected, settled
from synapse.policies.verdict import ADMITTED, Verdict


class TokenBucket(Policy, frozen=True, tag="token-bucket"):
    """Admit at `rate` in the long run, and up to `burst` at once after a rest.

    The limit to reach for first: it never admits more than ``burst + rate * w`` in any `w` seconds. It hurts when a
    burst is what breaks the thing behind it: then lower `burst`, or limit concurrency. The same decisions as `GCRA`;
    under Poisson arrivals an M/D/1/burst loss system. Cost: O(1), two numbers a key.
    Source: Turner, New directions in communications (1986).

    Parameters
    ----------
    rate
        Tokens that flow in, per s.
    burst
        Tokens that the bucket holds. It starts full. An ask that costs more is never admitted.
    per
        Whom it limits: each connection, agent or API key by itself, or all together.
    """

    rate: Annotated[Rate, Meta(description="Tokens that flow in, per second.")]
    burst: Annotated[Count, Meta(description="Tokens that the bucket holds.")]
    per: Per = "agent"

    def start(self, now: float, before: object = None) -> TokenBucketState:
        """A full bucket, or what was left in the one `before`."""
        state = TokenBucketState(self, now)
        if isinstance(before, TokenBucketState):
            state.fill(before.tokens(now), max(now, before.at))
        return state


class TokenBucketState(Running):
    """How many tokens there were at the last admission. Refusals write nothing, so they cannot add rounding errors."""

    __slots__ = ("_burst", "_rate", "_tokens", "at", "policy")

    kind = "token-bucket"

    def __init__(self, policy: TokenBucket, now: float) -> None:
        self.policy = policy
        self._rate = policy.rate
        self._burst = float(policy.burst)
        self._tokens = self._burst
        self.at = now

    def tokens(self, now: float) -> float:
        """How many tokens there are."""
        elapsed = now - self.at
        if elapsed <= 0.0:
            return self._tokens
        tokens = self._tokens + elapsed * self._rate
        return min(self._burst, tokens)

    def fill(self, tokens: float, at: float) -> None:
        """Set how many tokens there are, at most as many as the bucket holds."""
        self._tokens, self.at = min(tokens, self._burst), at

    def admit(self, now: float, cost: int = 1) -> Verdict:
        tokens = self._tokens
        elapsed = now - self.at
        if elapsed > 0.0:  # as in `tokens` and `spend`, without the calls
            tokens += elapsed * self._rate
            if tokens > self._burst:
                tokens = self._burst
        if tokens >= cost - SLACK:
            self._tokens = tokens - cost
            if elapsed > 0.0:
                self.at = now
            return ADMITTED
        return rejected(self._until(now, tokens, cost), self.kind)

    def wait(self, now: float, cost: int = 1) -> float:
        tokens = self.tokens(now)
        return 0.0 if tokens >= cost - SLACK else self._until(now, tokens, cost)

    def spend(self, now: float, cost: int = 1) -> None:
        self._tokens = self.tokens(now) - cost
        self.at = max(now, self.at)

    def _until(self, now: float, tokens: float, cost: int) -> float:
        """How long it takes from `tokens` to `cost`."""
        if cost > self._burst:
            return math.inf
        wait = (cost - tokens) / self._rate
        if now < self.at:
            wait += self.at - now
        if self.tokens(now + wait) >= cost - SLACK:
            return wait
        return settled(now, wait, lambda at: self.tokens(at) >= cost - SLACK)

    def idle(self, now: float) -> bool:
        return self.tokens(now) >= self._burst
