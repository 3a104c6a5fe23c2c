"""The few functions of scipy that the formulas stand on, with their types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy import optimize, special  # type: ignore[import-untyped]

Array = np.ndarray[Any, np.dtype[np.float64]]
ComplexArray = np.ndarray[Any, np.dtype[np.complex128]]


def poisson_pmf(k: Any, mean: Any) -> Array:
    """P(N = k) for Poisson N, without overflow; `mean` may be 0."""
    k = np.asarray(k, dtype=float)
    return cast("Array", np.exp(special.xlogy(k, mean) - mean - special.gammaln(k + 1)))


def poisson_cdf(k: Any, mean: Any) -> Array:
    """P(N ≤ k) for Poisson N."""
    return cast("Array", special.pdtr(k, mean))


def poisson_tail(k: Any, mean: Any) -> Array:
    """P(N > k) for Poisson N, precise where it is small."""
    return cast("Array", special.pdtrc(k, mean))


def lambert_w(z: Any, branch: int = 0) -> ComplexArray:
    """The W with W·exp(W) = z."""
    return cast("ComplexArray", special.lambertw(z, branch))


def mean_exp(x: float) -> float:
    """The mean of exp(xu) over 0 < u < 1, which is (exp(x) − 1)/x."""
    return float(special.exprel(x))


def mean_u_exp(x: float) -> float:
    """The mean of u·exp(−xu) over 0 < u < 1, x ≥ 0."""
    return float(special.gammainc(2, x)) / x**2 if x > 1e-8 else 0.5 - x / 3


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where `function` changes its sign between `low` and `high` (Brent 1973), as precisely as floats can say."""
    return float(optimize.brentq(function, low, high, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=500))


def quantile(tail: Callable[[float], float], p: float, scale: float) -> float:
    """The least t ≥ 0 with tail(t) ≤ 1 − p, for a `tail` P(X > t) that falls within multiples of `scale`."""
    if tail(0.0) <= 1 - p:
        return 0.0
    high = scale
    while tail(high) > 1 - p:
        high *= 2
        if math.isinf(high):
            return math.inf
    return root(lambda t: tail(t) - (1 - p), 0.0, high)
