"""Rate limiters under Poisson arrivals: which fraction they admit.

A refused request does not come back, and costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, nonnegative, number, positive
from synapse.theory.erlang import erlang_b
from synapse.theory.errors import TheoryError
from synapse.theory.result import Result, Value

_HUGE = 1e200
_TICK_STATES = 4096  # its equations are solved densely


@dataclass(frozen=True, slots=True, repr=False)
class Admission(Result):
    """What a rate limiter does to Poisson arrivals.

    Attributes
    ----------
    load
        Asked rate over granted rate.
    admitted, refused
        Fraction of the requests that is admitted, refused.
    goodput
        Rate of admitted requests, /s.
    """

    load: Value
    admitted: Value
    refused: Value
    goodput: Value


@elementwise
def token_bucket(lam: Numbers, rate: Numbers, burst: Numbers) -> Admission:
    """Token bucket, filled continuously: the loss of M/D/1/b.

    Parameters
    ----------
    lam
        Rate of requests λ, /s.
    rate
        Tokens r that arrive, /s.
    burst
        Tokens b that the bucket holds, 1 or more; need not be whole.

    Notes
    -----
    The missing tokens, as work (b − tokens)/r, are those of a queue M/D/1 with service time 1/r that admits whoever
    finds work of (b − 1)/r or less: for whole b, fewer than b in the system. So the fraction admitted is 1/(π₀ + ρ)
    from the departures of M/D/1/b; or F/(1 + ρF), with F the distribution of the work in M/D/1 at (b − 1)/r over that
    at 0 (Takács 1962), which also holds for other b.

    Examples
    --------
    >>> token_bucket(0.9, 1, [1, 2, 5, 10]).admitted.round(6)
    array([0.526316, 0.765363, 0.935638, 0.983368])
    """
    lam, rate, burst = positive("lam", lam, "/s"), positive("rate", rate, "/s"), number("burst", burst, "tokens")
    if not 1 <= burst < math.inf:
        raise TheoryError("burst", burst, "tokens", "1 or more, and finite")
    load = lam / rate
    empty, work = _work_at(load, burst - 1)
    return _admission(lam, load, 1 - work / (empty + load * work))


@elementwise
def gcra(lam: Numbers, interval: Numbers, tolerance: Numbers) -> Admission:
    """Generic cell rate algorithm: the token bucket of rate 1/T and burst 1 + τ/T.

    Parameters
    ----------
    lam
        Rate of requests λ, /s.
    interval
        Emission interval T, s.
    tolerance
        Tolerance τ, s, 0 or more.

    Notes
    -----
    A request is admitted if the theoretical arrival time is at most τ ahead (ITU-T I.371), that is, if the work of
    `token_bucket` is at most τ.

    Examples
    --------
    >>> round(gcra(0.9, interval=1, tolerance=4).admitted, 6)
    0.935638
    """
    lam, interval = positive("lam", lam, "/s"), positive("interval", interval, "s")
    return token_bucket(lam, 1 / interval, 1 + nonnegative("tolerance", tolerance, "s") / interval)


@elementwise
def tick_bucket(lam: Numbers, rate: Numbers, burst: Numbers, refill: Numbers = 1) -> Admission:
    """Token bucket that is filled at ticks: `refill` tokens at once, every ``refill / rate`` seconds.

    Parameters
    ----------
    lam
        Rate of requests λ, /s.
    rate
        Tokens that arrive, /s.
    burst
        Tokens b that the bucket holds, at most 4096 more than `refill`.
    refill
        Tokens at a tick, from 1 to `burst`. With all of them at once it is a `fixed_window`.

    Notes
    -----
    The tokens missing after a tick are a Markov chain, D' = (min(b, D + A) − refill)⁺ with A the Poisson number of
    requests between ticks.

    Examples
    --------
    It is a little more lenient than a steady flow: a token comes back at the next tick, not 1/r after it was taken.

    >>> round(tick_bucket(0.9, 1, 5).admitted, 6), round(token_bucket(0.9, 1, 5).admitted, 6)
    (0.944954, 0.935638)
    """
    lam, rate, burst = positive("lam", lam, "/s"), positive("rate", rate, "/s"), count("burst", burst, "tokens")
    refill = count("refill", refill, "tokens")
    if not burst - _TICK_STATES <= refill <= burst:
        raise TheoryError("refill", refill, "tokens", f"at most burst = {burst}, and at most {_TICK_STATES} below it")
    mean = lam * refill / rate
    missing = _missing_after_tick(mean, burst, refill)
    over = _mean_over(burst - np.arange(len(missing)), mean)
    return _admission(lam, lam / rate, float(missing @ over) / mean)


@elementwise
def fixed_window(lam: Numbers, limit: Numbers, window: Numbers) -> Admission:
    """Fixed window: the first `limit` requests of each window, E[min(L, Poisson(λW))]/(λW).

    Parameters
    ----------
    lam
        Rate of requests λ, /s.
    limit
        Requests L per window.
    window
        Window W, s.

    Examples
    --------
    >>> round(fixed_window(0.9, limit=10, window=10).admitted, 6)
    0.914088
    """
    lam, limit, window = positive("lam", lam, "/s"), count("limit", limit, "requests"), positive("window", window, "s")
    mean = lam * window
    return _admission(lam, mean / limit, float(_mean_over(limit, mean)) / mean)


@elementwise
def sliding_log(lam: Numbers, limit: Numbers, window: Numbers) -> Admission:
    """Sliding-window log: at most `limit` requests in the last `window` seconds.

    Parameters
    ----------
    lam
        Rate of requests λ, /s.
    limit
        Requests L per window.
    window
        Window W, s.

    Notes
    -----
    An admitted request occupies one of L places for W: M/D/L/L, that is, Erlang-B(L, λW).

    Examples
    --------
    >>> round(sliding_log(0.9, limit=10, window=10).admitted, 6)
    0.832037
    """
    lam, limit, window = positive("lam", lam, "/s"), count("limit", limit, "requests"), positive("window", window, "s")
    return _admission(lam, lam * window / limit, erlang_b(limit, lam * window))


def _admission(lam: float, load: float, refused: float) -> Admission:
    refused = max(refused, 0.0)  # rounding may bring it just below
    return Admission(load, 1 - refused, refused, lam * (1 - refused))


def _work_at(load: float, x: float) -> tuple[float, float]:
    """The distribution of the work in M/D/1, in service times, at 0 and at `x`, up to a common factor.

    At any load: above 1 it has no total, but its shape is that of the queue with limited work.
    """
    services = math.floor(x) + 1
    if load * min(x, 1.0) > 50:
        return 0.0, 1.0  # work is scarcely ever so little: what is admitted is the rate, to all digits
    if services == 1:
        return 1.0, math.exp(load * x)
    queues, empty = _queues(load, services)
    # what is there at `services` later: all that was ahead and has come since (Franx 2001, for one server)
    new = numerics.poisson_pmf(np.arange(services), load * (services - x))
    return empty, float(new @ np.cumsum(queues)[::-1])


def _queues(load: float, length: int) -> tuple[numerics.Array, float]:
    """The chances of 0, 1, … waiting in M/D/1, and that of an empty system, up to a common factor."""
    rises = numerics.poisson_tail(np.arange(1, length), load)
    rises = rises[: np.count_nonzero(rises)][::-1]
    queues, empty, growth = np.zeros(length), 1.0, math.exp(load)
    queues[0] = growth
    for m in range(1, length):
        # in a service time the walk falls from m to m − 1 as often as it rises to m or beyond
        reach = min(m, len(rises))
        queues[m] = growth * (queues[m - reach : m] @ rises[len(rises) - reach :])
        if queues[m] > _HUGE:
            queues[: m + 1] /= _HUGE
            empty /= _HUGE
    return queues, empty


def _mean_over(room: object, mean: float) -> numerics.Array:
    """E[(A − room)⁺] for Poisson A."""
    room = np.asarray(room, dtype=float)
    over = mean * numerics.poisson_tail(room - 1, mean) - room * numerics.poisson_tail(room, mean)
    return np.asarray(np.maximum(over, 0.0))


def _missing_after_tick(mean: float, burst: int, refill: int) -> numerics.Array:
    """The stationary distribution of D' = (min(burst, D + A) − refill)⁺."""
    most = burst - refill
    now, then = np.arange(most + 1)[:, None], np.arange(most + 1)[None, :]
    asked = then + refill - now  # so many requests lead from `now` to `then`
    chain = np.where(asked >= 0, numerics.poisson_pmf(np.maximum(asked, 0), mean), 0.0)
    chain[:, 0] = np.where(asked[:, 0] >= 0, numerics.poisson_cdf(np.maximum(asked[:, 0], 0), mean), 0.0)
    chain[:, most] = 1.0 - chain[:, :most].sum(axis=1)
    equations = (np.eye(most + 1) - chain).T
    equations[0] = 1.0
    return np.asarray(np.linalg.solve(equations, np.eye(most + 1)[0]))
