"""M/M/c: Poisson arrivals, exponential services, c servers, room for all to wait, first come first served."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, level, nonnegative, positive, stable
from synapse.theory.erlang import erlang_c
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class MMc(Result):
    """The answers for M/M/c.

    Attributes
    ----------
    lam, mu
        Arrival rate, and service rate of one server, /s.
    c
        Servers.
    utilisation
        Share of the servers that is busy, λ/cμ.
    p_wait
        Probability to wait (Erlang-C).
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    mu: Value
    c: Value
    utilisation: Value
    p_wait: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value

    @elementwise
    def wait_tail(self, t: Numbers) -> Value:
        """P(wait > t) = C·exp(−(cμ − λ)t); `t` in s."""
        t = nonnegative("t", t, "s")
        return self.p_wait * math.exp(-(self.c * self.mu - self.lam) * t)

    @elementwise
    def wait_quantile(self, p: Numbers) -> Value:
        """Wait that a share `p` of the customers does not exceed, s; 0 if that many do not wait."""
        p = level("p", p)
        if self.p_wait <= 1 - p:
            return 0.0
        return math.log(self.p_wait / (1 - p)) / (self.c * self.mu - self.lam)

    @elementwise
    def sojourn_tail(self, t: Numbers) -> Value:
        """P(wait + service > t); `t` in s."""
        t = nonnegative("t", t, "s")
        slack = self.c * self.mu - self.lam
        # exp(−μt) + Cμ·(exp(−slack·t) − exp(−μt))/(μ − slack), which must not divide by 0 where the two meet
        slow, apart = min(self.mu, slack), abs(self.mu - slack)
        both = self.p_wait * self.mu * t * math.exp(-slow * t) * numerics.mean_exp(-apart * t)
        return math.exp(-self.mu * t) + both

    @elementwise
    def sojourn_quantile(self, p: Numbers) -> Value:
        """Time in the system that a share `p` of the customers does not exceed, s."""
        return numerics.quantile(self.sojourn_tail, level("p", p), self.W)


@elementwise
def mmc(lam: Numbers, mu: Numbers, c: Numbers) -> MMc:
    """M/M/c.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s.
    c
        Servers.

    Raises
    ------
    TheoryError
        If λ ≥ cμ: there is no steady state.

    Notes
    -----
    Wq = C/(cμ − λ) with Erlang-C (Erlang 1917), the others by Little's law.

    Examples
    --------
    The County Hospital of Hillier and Lieberman, rates per hour:

    >>> hospital = mmc(2, 3, [1, 2])
    >>> hospital.Wq.round(5)
    array([0.66667, 0.04167])
    >>> hospital.wait_tail(0.5).round(4)
    array([0.4044, 0.0226])
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    stable(lam, c * mu, "c·mu")
    p_wait = erlang_c(c, lam / mu)
    wait = p_wait / (c * mu - lam)
    in_queue = lam * wait
    return MMc(lam, mu, c, lam / (c * mu), p_wait, in_queue + lam / mu, in_queue, wait + 1 / mu, wait)
