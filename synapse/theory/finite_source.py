"""M/M/c//N: N agents who each think, ask, wait and think again. The machine-repair model.

It is the exact answer for closed agents with timeouts, retries and limits off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synapse.theory import birth_death, numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, level, nonnegative, positive
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class FiniteSource(Result):
    """The answers for M/M/c//N.

    Attributes
    ----------
    n, c
        Sources (agents), and servers.
    think, service
        Mean think time, mean service time, s.
    utilisation
        Share of the servers that is busy.
    p_wait
        Probability that a query waits.
    throughput
        Queries answered, /s.
    L, Lq
        Mean number of agents in the system (not thinking), in the queue.
    W, Wq
        Mean response time (wait and service), mean wait, s.
    """

    n: Value
    c: Value
    think: Value
    service: Value
    utilisation: Value
    p_wait: Value
    throughput: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value

    @elementwise
    def wait_tail(self, t: Numbers) -> Value:
        """P(wait > t) of a query; `t` in s."""
        return self._tail(nonnegative("t", t, "s"))

    @elementwise
    def wait_quantile(self, p: Numbers) -> Value:
        """Wait that a share `p` of the queries does not exceed, s."""
        return numerics.quantile(self._tail, level("p", p), self.service / self.c)

    def _tail(self, t: float) -> float:
        seen = _states(self.n - 1, self.c, self.think, self.service)
        return birth_death.wait_tail(seen, self.c, 1 / self.service, t)


@elementwise
def finite_source(n: Numbers, c: Numbers, think: Numbers, service: Numbers) -> FiniteSource:
    """M/M/c//N, the closed system of N agents.

    Parameters
    ----------
    n
        Sources N: agents.
    c
        Servers.
    think
        Mean think time Z, s. Its law does not matter (Baskett, Chandy, Muntz and Palacios 1975).
    service
        Mean of the exponential service time, s.

    Notes
    -----
    A birth-death chain with births (N − n)/Z (Palm 1947). W = L/X = N/X − Z by Little's law. A query finds the
    states of a system with one agent less (Lavenberg and Reiser 1980).

    Examples
    --------
    >>> agents = finite_source(2000, 12, think=10, service=0.05)
    >>> round(agents.throughput, 5), round(agents.W, 5)
    (198.80158, 0.06028)
    """
    n, c = count("n", n, "sources"), count("c", c, "servers")
    think, service = positive("think", think, "s"), positive("service", service, "s")
    states, inside = _states(n, c, think, service), np.arange(n + 1)
    waiting = float(states @ np.maximum(inside - c, 0))
    busy = float(states @ np.minimum(inside, c))
    throughput = busy / service
    return FiniteSource(
        n,
        c,
        think,
        service,
        min(busy / c, 1.0),
        min(float(_states(n - 1, c, think, service)[c:].sum()), 1.0),
        throughput,
        waiting + busy,
        waiting,
        (waiting + busy) / throughput,
        waiting / throughput,
    )


def _states(n: int, c: int, think: float, service: float) -> numerics.Array:
    return birth_death.stationary(np.arange(n, 0, -1) / think, np.minimum(np.arange(1, n + 1), c) / service)
