"""M/M/c/K: as M/M/c, but whoever finds all K places taken is turned away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synapse.theory import birth_death, numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, level, nonnegative, positive
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class MMcK(Result):
    """The answers for M/M/c/K. Waits and times in the system are those of admitted customers.

    Attributes
    ----------
    lam, mu
        Arrival rate, turned away or not, and service rate of one server, /s.
    c, k
        Servers, and places, servers included.
    utilisation
        Share of the servers that is busy.
    p_block
        Probability to be turned away.
    p_wait
        Probability that an admitted customer waits.
    throughput
        Services completed, /s.
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    mu: Value
    c: Value
    k: Value
    utilisation: Value
    p_block: Value
    p_wait: Value
    throughput: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value

    @elementwise
    def wait_tail(self, t: Numbers) -> Value:
        """P(wait > t) of an admitted customer; `t` in s."""
        t = nonnegative("t", t, "s")
        return birth_death.wait_tail(_seen(_states(self.lam, self.mu, self.c, self.k)), self.c, self.mu, t)

    @elementwise
    def wait_quantile(self, p: Numbers) -> Value:
        """Wait that a share `p` of the admitted customers does not exceed, s."""
        seen = _seen(_states(self.lam, self.mu, self.c, self.k))
        return numerics.quantile(
            lambda t: birth_death.wait_tail(seen, self.c, self.mu, t), level("p", p), 1 / (self.c * self.mu)
        )


@elementwise
def mmck(lam: Numbers, mu: Numbers, c: Numbers, k: Numbers) -> MMcK:
    """M/M/c/K, at any load.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s.
    c
        Servers.
    k
        Places K ≥ c, servers included: a queue of bound q behind c servers has K = c + q. With K = c it is
        Erlang-B.

    Notes
    -----
    A truncated birth-death chain; an admitted customer sees its states given that there is room.

    Examples
    --------
    >>> queue = mmck(9.6, 1, 8, 16)
    >>> round(queue.p_block, 6), round(queue.Wq, 5)
    (0.187507, 0.60044)
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    k = count("k", k, "places", least=c)
    states, n = _states(lam, mu, c, k), np.arange(k + 1)
    waiting = float(states @ np.maximum(n - c, 0))
    busy = float(states @ np.minimum(n, c))
    admitted = lam * float(states[:-1].sum())
    return MMcK(
        lam,
        mu,
        c,
        k,
        min(busy / c, 1.0),
        float(states[-1]),
        min(float(_seen(states)[c:].sum()), 1.0),
        admitted,
        waiting + busy,
        waiting,
        (waiting + busy) / admitted,
        waiting / admitted,
    )


def _states(lam: float, mu: float, c: int, k: int) -> numerics.Array:
    return birth_death.stationary(np.full(k, lam), mu * np.minimum(np.arange(1, k + 1), c))


def _seen(states: numerics.Array) -> numerics.Array:
    # by one who is admitted: the sum, not 1 − p_block, which would be 0 in a long and hopeless queue
    return np.asarray(states[:-1] / states[:-1].sum())
