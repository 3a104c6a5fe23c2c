"""Timeouts and retries: when a server that works for clients who have given up recovers, and when it never does.

M/M/1, first come first served. A client gives up on an attempt after the timeout T and tries again, up to R times;
the server does not know and serves them all. Retries are spread enough (backoff and jitter) to look Poisson.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, number, positive, probability
from synapse.theory.errors import TheoryError
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class RetryFixedPoint(Result):
    """The steady states of a server under retries. A state that does not exist is NaN.

    Attributes
    ----------
    lam, mu
        Rate of queries and service rate, /s.
    timeout
        Time after which a client gives up on an attempt, s.
    retries
        Retries after the first attempt; may be infinite.
    region
        ``"stable"``: it recovers from anything. ``"vulnerable"``: a healthy and a collapsed state exist, and a trigger
        may push it from the one into the other, where it stays. ``"doomed"``: only the collapsed one.
    lam_stable
        Rate of queries below which it is stable, μ/(R + 1), /s.
    lam_star
        Rate of queries λ* below which a healthy state exists, /s. An upper bound, not a safe load: chance alone
        brings the collapse long before it.
    healthy, unstable, collapsed
        Rate of attempts in the healthy state, at the tipping point, in the collapsed state, /s.
    p_timeout
        Share of the attempts that time out, in the healthy state.
    amplification
        Attempts per query, in the healthy state.
    """

    lam: Value
    mu: Value
    timeout: Value
    retries: Value
    region: Value
    lam_stable: Value
    lam_star: Value
    healthy: Value
    unstable: Value
    collapsed: Value
    p_timeout: Value
    amplification: Value


@elementwise
def retry_fixed_point(lam: Numbers, mu: Numbers, timeout: Numbers, retries: Numbers) -> RetryFixedPoint:
    """The rates of attempts x that reproduce themselves: x = λ·(1 + p + … + p^R) with p = exp(−(μ − x)T).

    Parameters
    ----------
    lam
        Rate of queries λ, /s.
    mu
        Service rate μ, /s.
    timeout
        Time T from an attempt to its timeout, s.
    retries
        Retries R after the first attempt, 0 or more; may be infinite.

    Notes
    -----
    p is the chance that a time in M/M/1 exceeds T. λ(x) = x/(1 + p + … + p^R) rises to λ* and falls from there to
    μ/(R + 1) at x = μ; beyond, all attempts time out. See Bronson, Aghayev, Charapko and Zhu, "Metastable failures in
    distributed systems" (HotOS 2021).

    Examples
    --------
    >>> point = retry_fixed_point(0.5, 1, timeout=10, retries=3)
    >>> point.region, round(point.lam_star, 4), round(point.healthy, 4), point.collapsed
    ('vulnerable', 0.6937, 0.5035, 2.0)
    """
    lam, mu, timeout = positive("lam", lam, "/s"), positive("mu", mu, "/s"), positive("timeout", timeout, "s")
    retries = _retries(retries)
    peak = _peak(mu, timeout, retries)
    lam_stable, lam_star = mu / (retries + 1), _queries(peak, mu, timeout, retries)
    healthy = unstable = collapsed = math.nan
    if lam < lam_star:
        healthy = numerics.root(lambda x: _queries(x, mu, timeout, retries) - lam, 0.0, peak)
    if lam_stable < lam < lam_star:
        unstable = numerics.root(lambda x: _queries(x, mu, timeout, retries) - lam, peak, mu)
    if lam >= lam_stable:
        collapsed = lam * (retries + 1)
    region = "stable" if lam < lam_stable else "vulnerable" if lam < lam_star else "doomed"
    p_timeout = math.exp(-(mu - healthy) * timeout)
    return RetryFixedPoint(
        lam,
        mu,
        timeout,
        retries,
        region,
        lam_stable,
        lam_star,
        healthy,
        unstable,
        collapsed,
        p_timeout,
        healthy / lam,
    )


@elementwise
def retry_limit(mu: Numbers, timeout: Numbers, retries: Numbers) -> Value:
    """The rate of queries λ* below which a healthy state exists.

    Parameters
    ----------
    mu
        Service rate μ, /s.
    timeout
        Time T from an attempt to its timeout, s.
    retries
        Retries R after the first attempt, 0 or more; may be infinite.

    Returns
    -------
    float or array
        λ* = max x/(1 + p + … + p^R) over 0 < x < μ, p = exp(−(μ − x)T), /s.

    Examples
    --------
    >>> retry_limit(1, 10, [1, 2, 3, float("inf")]).round(4)
    array([0.7047, 0.6947, 0.6937, 0.6936])
    """
    mu, timeout, retries = positive("mu", mu, "/s"), positive("timeout", timeout, "s"), _retries(retries)
    return _queries(_peak(mu, timeout, retries), mu, timeout, retries)


@elementwise
def amplification(p: Numbers, retries: Numbers, layers: Numbers = 1) -> Value:
    """Attempts at the bottom per query, if each fails with probability `p` by itself: (1 − p^(R + 1))/(1 − p).

    Parameters
    ----------
    p
        Probability that an attempt fails.
    retries
        Retries R after the first attempt; may be infinite.
    layers
        Layers that retry, one above the other: each what has failed in all attempts of the layer below. Their
        amplifications multiply, each with its own probability; where all fails, they make (R + 1)^layers.

    Returns
    -------
    float or array
        Attempts that reach the bottom, per query.

    Examples
    --------
    >>> amplification([0.1, 0.2, 0.5], 3).round(3)
    array([1.111, 1.248, 1.875])
    >>> amplification([0.5, 1.0], 3, layers=3)
    array([ 2., 64.])
    """
    p, retries, layers = probability("p", p), _retries(retries), count("layers", layers)
    success, attempts = 1 - p, 1.0
    for _ in range(int(layers)):
        attempts *= _amplification(success, retries)
        success = _ever(success, retries)
    return attempts


@elementwise
def fan_out(p: Numbers, n: Numbers) -> Value:
    """Probability 1 − (1 − p)^n that one in `n` calls or more is slow, if each is with probability `p`.

    Parameters
    ----------
    p
        Probability that one call is slow.
    n
        Calls that a query waits for.

    Examples
    --------
    >>> round(fan_out(0.01, 100), 3)
    0.634
    """
    p, n = probability("p", p), count("n", n, "calls", least=0)
    return -math.expm1(n * math.log1p(-p)) if p < 1 else float(n > 0)


def _retries(value: object) -> float:
    retries = number("retries", value)
    if retries < 0 or (math.isfinite(retries) and retries != int(retries)):
        raise TheoryError("retries", retries, "", "a whole number, 0 or more, or infinite")
    return retries


def _amplification(success: float, retries: float) -> float:
    """(1 − p^(R + 1))/(1 − p), from 1 − p, which may be small."""
    if not success:
        return retries + 1
    if success == 1:
        return 1.0
    return -math.expm1((retries + 1) * math.log1p(-success)) / success


def _ever(success: float, retries: float) -> float:
    """The probability 1 − p^(R + 1) that one of the attempts succeeds, from 1 − p, which may be small."""
    return -math.expm1((retries + 1) * math.log1p(-success)) if 0 < success < 1 else success


def _queries(x: float, mu: float, timeout: float, retries: float) -> float:
    """The rate of queries that makes `x` attempts/s."""
    return x / _amplification(-math.expm1(-(mu - x) * timeout), retries)


def _peak(mu: float, timeout: float, retries: float) -> float:
    """The rate of attempts x at which that of queries is greatest.

    There 1/x = T·E[K], K the retries of a query counted by p^K: the one falls in x and the other rises, so there is one
    such x, or x = μ if the left side is the greater even there.
    """
    if mu * timeout * retries <= 2:  # E[K] = R/2 at p = 1
        return mu
    return numerics.root(lambda x: x * timeout * _mean_retries((mu - x) * timeout, retries) - 1, 0.0, mu)


def _mean_retries(gap: float, retries: float) -> float:
    """The mean of 0 … R weighted by p^k, p = exp(−gap)."""
    if gap == 0:
        return retries / 2
    endless = 1 / math.expm1(gap) if gap < 700 else 0.0
    if math.isinf(retries):
        return endless
    if (retries + 1) * gap < 1e-4:  # the difference of two large numbers: its series
        return retries / 2 - retries * (retries + 2) * gap / 12
    more = (retries + 1) * gap
    return endless - ((retries + 1) / math.expm1(more) if more < 700 else 0.0)
