"""Timeouts: by when a query must have ended, counted from its submission; and hedges, when to ask again before it."""

from typing import TypeAlias

from synapse.policies.timeout.adaptive import AdaptiveTimeout
from synapse.policies.timeout.fixed import FixedTimeout, NoTimeout, PerPriority
from synapse.policies.timeout.hedge import FixedHedge, Hedge, NoHedge, QuantileHedge
from synapse.policies.timeout.limit import Timeout
from synapse.policies.timeout.quantile import RecentQuantile

TimeoutPolicy: TypeAlias = NoTimeout | FixedTimeout | PerPriority | AdaptiveTimeout
HedgePolicy: TypeAlias = NoHedge | FixedHedge | QuantileHedge

__all__ = [
    "AdaptiveTimeout",
    "FixedHedge",
    "FixedTimeout",
    "Hedge",
    "HedgePolicy",
    "NoHedge",
    "NoTimeout",
    "PerPriority",
    "QuantileHedge",
    "RecentQuantile",
    "Timeout",
    "TimeoutPolicy",
]
