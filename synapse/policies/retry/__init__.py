"""Retries: when a client tries again, and what keeps its tries within bounds."""

from typing import TypeAlias

from synapse.policies.retry.backoff import EqualJitter, Exponential, FullJitter, NoRetry, Retry
from synapse.policies.retry.breaker import CircuitBreaker
from synapse.policies.retry.budget import RetryBudget
from synapse.policies.retry.decorrelated import Decorrelated
from synapse.policies.retry.guard import Guard
from synapse.policies.retry.table import Table
from synapse.policies.retry.throttle import AdaptiveThrottle

RetryPolicy: TypeAlias = NoRetry | Exponential | EqualJitter | FullJitter | Decorrelated | Table
GuardPolicy: TypeAlias = RetryBudget | AdaptiveThrottle | CircuitBreaker

__all__ = [
    "AdaptiveThrottle",
    "CircuitBreaker",
    "Decorrelated",
    "EqualJitter",
    "Exponential",
    "FullJitter",
    "Guard",
    "GuardPolicy",
    "NoRetry",
    "Retry",
    "RetryBudget",
    "RetryPolicy",
    "Table",
]
