"""M/M/c with impatient customers: Erlang-A (M/M/c+M), deadlines (M/M/c+D), any law of patience (M/M/c+G).

A customer whose wait exceeds their patience leaves without service; once in service they stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, level, nonnegative, positive
from synapse.theory.erlang import erlang_b
from synapse.theory.errors import TheoryError
from synapse.theory.patience import Deterministic, Exponential, Patience, integrals
from synapse.theory.result import Result, Value

_DIGITS = 45.0  # exp(−45) is beyond what a float keeps of a sum
_STATES = 2**22


@dataclass(frozen=True, slots=True, repr=False)
class Impatient(Result):
    """The answers for M/M/c+M, M/M/c+D and M/M/c+G.

    Attributes
    ----------
    lam, mu
        Arrival rate, and service rate of one server, /s.
    c
        Servers.
    patience
        The law of patience.
    utilisation
        Share of the servers that is busy.
    p_wait
        Probability to wait, be it in vain.
    p_abandon
        Probability to leave before service.
    throughput
        Services completed, /s.
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, of all customers, s; those who leave wait for as long as their
        patience.
    Wq_served
        Mean wait of those who are served, s.
    """

    lam: Value
    mu: Value
    c: Value
    patience: Value
    utilisation: Value
    p_wait: Value
    p_abandon: Value
    throughput: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value
    Wq_served: Value

    @elementwise
    def wait_tail(self, t: Numbers) -> Value:
        """P(wait > t) over all customers, those who leave included; `t` in s."""
        return self._tail(nonnegative("t", t, "s"))

    @elementwise
    def wait_quantile(self, p: Numbers) -> Value:
        """Wait that a share `p` of all customers does not exceed, s."""
        return numerics.quantile(self._tail, level("p", p), 1 / (self.c * self.mu))

    def _tail(self, t: float) -> float:
        # to wait longer than t takes an offered wait and a patience longer than t
        share = integrals(self.lam, self.c * self.mu, self.patience, t).beyond
        return float(self.p_wait * share * self.patience.sf(t))


@elementwise
def erlang_a(lam: Numbers, mu: Numbers, c: Numbers, theta: Numbers) -> Impatient:
    """Erlang-A, M/M/c+M: exponential patience. At any load.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s.
    c
        Servers.
    theta
        Rate θ at which a waiting customer leaves, 1 over the mean patience, /s.

    Notes
    -----
    A birth-death chain with deaths min(n, c)μ + (n − c)⁺θ (Palm 1946; Garnett, Mandelbaum and Reiman 2002);
    a share θLq/λ of the customers leaves.

    Examples
    --------
    Garnett, Mandelbaum and Reiman: 50 agents, 48 calls/min, 1 min of service, 2 min of patience.

    >>> calls = erlang_a(48, 1, 50, 1 / 2)
    >>> round(calls.p_abandon, 5), round(60 * calls.Wq, 3), round(calls.utilisation, 4)
    (0.03091, 3.709, 0.9303)
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    theta = positive("theta", theta, "/s")
    logs = _queue_weights(lam, c * mu, theta)
    queue, exponent = np.arange(len(logs)), float(logs.max())
    weights = np.exp(logs - exponent)
    # the states below c weigh 1/B − 1 of state c, where the weights of the queue begin
    blocked = erlang_b(c, lam / mu)
    norm = (1 / blocked - 1) * math.exp(-exponent) + float(weights.sum()) if blocked else math.inf
    in_queue = float(weights @ queue) / norm
    # whoever finds j waiting is served with probability cμ/(cμ + (j + 1)θ), and then at the sum of the stages
    stages = 1 / (c * mu + theta * (queue + 1))
    served_wait = float(weights @ (c * mu * stages * np.cumsum(stages))) / norm
    return _impatient(
        lam, mu, c, Exponential(theta), float(weights.sum()) / norm, theta * in_queue / lam, in_queue / lam, served_wait
    )


@elementwise
def mmcd(lam: Numbers, mu: Numbers, c: Numbers, deadline: Numbers) -> Impatient:
    """M/M/c+D: a query whose wait reaches the deadline is dropped. At any load.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s.
    c
        Servers.
    deadline
        Longest wait D, s, 0 or more. The wait counts, not the service.

    Notes
    -----
    Baccelli and Hebuterne 1981: with s = cμ − λ, the integrals of `mmcg` are J = (1 − e^(−sD))/s + e^(−sD)/(cμ)
    and so on; written here so that neither s = 0 nor a large −sD harms them.

    Examples
    --------
    >>> queue = mmcd(9.6, 1, 8, [0.5, 1, 2])
    >>> queue.p_abandon.round(6)
    array([0.212242, 0.184465, 0.169978])
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    deadline = nonnegative("deadline", deadline, "s")
    drain, depth = c * mu, (c * mu - lam) * deadline
    flat = deadline * numerics.mean_exp(-abs(depth))
    slope = deadline**2 * numerics.mean_u_exp(abs(depth))
    if depth >= 0:  # everything relative to exp(φ(0)) = 1 …
        exponent, queued, beyond = 0.0, slope, math.exp(-depth) / drain
    else:  # … or to exp(φ(D)), seen from there
        exponent, queued, beyond = -depth, deadline * flat - slope, 1 / drain
    norm = _empty(c, lam / mu, exponent) + lam * (flat + beyond)
    return _impatient(
        lam,
        mu,
        c,
        Deterministic(deadline),
        lam * (flat + beyond) / norm,
        lam * beyond / norm,
        lam * (queued + deadline * beyond) / norm,
        lam * queued / norm,
    )


@elementwise
def mmcg(lam: Numbers, mu: Numbers, c: Numbers, patience: Patience) -> Impatient:
    """M/M/c+G: any law of patience. At any load, if patience ends.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s.
    c
        Servers.
    patience
        The law of patience, s: a frozen distribution of scipy.stats, or any object with its methods `sf`, `cdf`
        and `support`.

    Raises
    ------
    TheoryError
        If so many customers never leave that there is no steady state.

    Notes
    -----
    Baccelli and Hebuterne 1981, Zeltyn and Mandelbaum 2005: with H(x) = ∫₀ˣP(patience > u)du,
    φ(x) = λH(x) − cμx, J = ∫exp(φ) and E = 1/B(c − 1, λ/μ), P(wait) = λJ/(E + λJ),
    P(leave) = λ∫P(patience ≤ x)exp(φ)dx/(E + λJ), E[wait] = λ∫H·exp(φ)dx/(E + λJ). Integrated to about ten digits.

    Examples
    --------
    >>> from scipy import stats
    >>> queue = mmcg(9.6, 1, 8, stats.lognorm(s=1.0, scale=1.0))
    >>> round(queue.p_abandon, 6), round(queue.Wq, 6)
    (0.20528, 0.365627)
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    if not all(callable(getattr(patience, name, None)) for name in ("sf", "cdf", "support")):
        raise TheoryError("patience", patience, "", "a law with sf, cdf and support, as those of scipy.stats")
    over = integrals(lam, c * mu, patience)
    norm = _empty(c, lam / mu, over.exponent) + lam * over.offered
    shares = [lam * part / norm for part in (over.offered, over.lost, over.wait, over.served)]
    return _impatient(lam, mu, c, patience, *shares)


def _queue_weights(lam: float, drain: float, theta: float) -> numerics.Array:
    """Logarithms of π(c + j)/π(c) for j = 0, 1, …, until nothing more is to come."""
    length = 256
    while length <= _STATES and lam < drain + theta * _STATES:  # the weights rise to where deaths match births
        ratios = lam / (drain + theta * np.arange(1, length + 1))
        logs = np.concatenate(([0.0], np.cumsum(np.log(ratios))))
        left = ratios[-1]
        if left < 1 and logs[-1] - math.log1p(-left) < logs.max() - _DIGITS:
            return logs
        length *= 4
    raise TheoryError("theta", theta, "/s", "larger: the queue is too long to be added up state by state")


def _empty(c: int, a: float, exponent: float) -> float:
    """E·exp(−exponent): what the states with a free server weigh."""
    blocked = erlang_b(c - 1, a)
    return math.exp(-exponent) / blocked if blocked else math.inf


def _impatient(
    lam: float, mu: float, c: int, patience: Patience, p_wait: float, p_abandon: float, wait: float, served_wait: float
) -> Impatient:
    served = 1 - p_abandon
    return Impatient(
        lam,
        mu,
        c,
        patience,
        min(lam * served / (c * mu), 1.0),
        p_wait,
        p_abandon,
        lam * served,
        lam * (wait + served / mu),
        lam * wait,
        wait + served / mu,
        wait,
        served_wait / served,
    )
