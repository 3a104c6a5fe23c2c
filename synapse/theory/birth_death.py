"""The birth-death chain: what M/M/c/K, the finite source and Erlang-A have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from synapse.theory.numerics import Array, poisson_cdf


def stationary(births: Any, deaths: Any) -> Array:
    """The stationary distribution: π(n+1)/π(n) = births[n]/deaths[n], multiplied up in logarithms.

    Parameters
    ----------
    births
        The rates from state n to n + 1, for n = 0, 1, ….
    deaths
        The rates back, from n + 1 to n.
    """
    logs = np.concatenate(([0.0], np.cumsum(np.log(births) - np.log(deaths))))
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def wait_tail(seen: Array, c: int, mu: float, t: float) -> float:
    """P(wait > t), first come first served, of one who finds n others with probability ``seen[n]``.

    With n ≥ c others the wait lasts n − c + 1 services at rate cμ: an Erlang time, longer than t if fewer
    services than that fall into t.
    """
    ahead = np.arange(len(seen) - c)
    return float(seen[c:] @ poisson_cdf(ahead, c * mu * t)) if len(ahead) else 0.0
