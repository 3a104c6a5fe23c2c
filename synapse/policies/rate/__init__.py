"""Rate limits: how often someone may ask."""

from typing import TypeAlias

from synapse.policies.rate.fixed_window import FixedWindow
from synapse.policies.rate.gcra import GCRA
from synapse.policies.rate.keyed import Gate, Keyed
from synapse.policies.rate.limit import RateLimit
from synapse.policies.rate.several import All, OneRateLimit
from synapse.policies.rate.sliding_counter import SlidingCounter
from synapse.policies.rate.sliding_log import SlidingLog
from synapse.policies.rate.token_bucket import TokenBucket
from synapse.policies.rate.unlimited import Unlimited

RateLimitPolicy: TypeAlias = OneRateLimit | All

__all__ = [
    "GCRA",
    "All",
    "FixedWindow",
    "Gate",
    "Keyed",
    "OneRateLimit",
    "RateLimit",
    "RateLimitPolicy",
    "SlidingCounter",
    "SlidingLog",
    "TokenBucket",
    "Unlimited",
]
