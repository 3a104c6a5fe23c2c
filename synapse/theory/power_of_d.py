"""The power of d choices: join the shortest of d queues picked at random, in a large cluster."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, positive, stable
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class PowerOfD(Result):
    """The answers for the power of d choices, in the limit of many servers.

    Attributes
    ----------
    lam, mu
        Arrival rate per server, and service rate, /s.
    d
        Servers asked.
    utilisation
        Share of the servers that is busy, λ/μ.
    L, Lq
        Mean number at a server, and in its queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    mu: Value
    d: Value
    utilisation: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value

    @elementwise
    def queue_tail(self, length: Numbers) -> Value:
        """Share of the servers with `length` customers or more."""
        return float(self.utilisation ** _exponent(count("length", length, "customers", least=0), self.d))


@elementwise
def power_of_d(lam: Numbers, mu: Numbers, d: Numbers) -> PowerOfD:
    """Join the shortest of `d` queues of M/M/1 servers, picked at random; the limit of many servers.

    Parameters
    ----------
    lam
        Arrival rate per server λ, /s.
    mu
        Service rate μ of a server, /s.
    d
        Servers asked: 1 is random routing, 2 the power of two choices.

    Raises
    ------
    TheoryError
        If λ ≥ μ: there is no steady state.

    Notes
    -----
    A share ρ^((d^k − 1)/(d − 1)) of the servers has k customers or more (Vvedenskaya, Dobrushin and
    Karpelevich 1996; Mitzenmacher 1996), and E[T] = Σ ρ^((d^k − d)/(d − 1))/μ.

    Examples
    --------
    >>> power_of_d(0.99, 1, [1, 2, 3, 5]).W.round(4)
    array([100.    ,   5.432 ,   3.8578,   2.9017])
    """
    lam, mu, d = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("d", d, "servers")
    stable(lam, mu, "mu")
    rho = lam / mu
    waiting = _mean_queue(rho, d)
    return PowerOfD(lam, mu, d, rho, rho + waiting, waiting, (rho + waiting) / lam, waiting / lam)


def _exponent(length: int, d: int) -> int:
    return length if d == 1 else (d**length - 1) // (d - 1)


def _mean_queue(rho: float, d: int) -> float:
    if d == 1:
        return rho**2 / (1 - rho)
    shares = (float(rho ** _exponent(length, d)) for length in itertools.count(2))
    return sum(itertools.takewhile(lambda share: share > 0, shares))  # few: the exponents grow like d^length
