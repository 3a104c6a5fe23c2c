"""Concurrency limits: how many queries run at once."""

from typing import TypeAlias

from synapse.policies.concurrency.aimd import AIMD
from synapse.policies.concurrency.fixed import Fixed
from synapse.policies.concurrency.gradient2 import Gradient2
from synapse.policies.concurrency.limit import Concurrency
from synapse.policies.concurrency.vegas import Vegas

ConcurrencyPolicy: TypeAlias = Fixed | AIMD | Vegas | Gradient2

__all__ = ["AIMD", "Concurrency", "ConcurrencyPolicy", "Fixed", "Gradient2", "Vegas"]
