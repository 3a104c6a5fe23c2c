"""Priorities without preemption: who is in service stays, then the most urgent class is served, each in order.

Cobham, "Priority assignment in waiting line problems" (Operations Research, 1954).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synapse.theory.arrays import Numbers
from synapse.theory.checks import count, nonnegative, positive
from synapse.theory.erlang import erlang_c
from synapse.theory.errors import TheoryError
from synapse.theory.numerics import Array
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class Priorities(Result):
    """The answers for each class, the most urgent first.

    A class that the servers cannot keep up with has infinite waits, and those above it still have finite ones.

    Attributes
    ----------
    lam
        Arrival rates, /s.
    utilisation
        Share of the servers that each class asks for, λ/(cμ).
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    utilisation: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value


def cobham(lam: Numbers, mu: Numbers, c: int = 1) -> Priorities:
    """M/M/c with priorities; the classes share one exponential law of service.

    Parameters
    ----------
    lam
        Arrival rates, /s, one for each class, the most urgent first.
    mu
        Service rate of one server, /s, the same for all.
    c
        Servers.

    Notes
    -----
    W_k = W₀/((1 − σ_{k−1})(1 − σ_k)) with σ_k the load of class k and all above, and W₀ = C/(cμ) the mean time until a
    server is free, with Erlang-C, or C = 1 if the servers never rest.

    Examples
    --------
    >>> cobham([0.3, 0.5], 1).Wq.round(4)
    array([1.1429, 5.7143])
    """
    lams, mu, c = _each_positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    loads = lams / (c * mu)
    total = float(loads.sum())
    return _priorities(lams, loads, np.full(len(lams), 1 / mu), (erlang_c(c, c * total) if total < 1 else 1) / (c * mu))


def cobham_mg1(lam: Numbers, mu: Numbers, scv: Numbers = 1.0) -> Priorities:
    """M/G/1 with priorities; each class has its own law of service.

    Parameters
    ----------
    lam
        Arrival rates, /s, one for each class, the most urgent first.
    mu
        Service rates 1/E[S], /s: one for each class, or one for all.
    scv
        Squared coefficients of variation of the service times: one for each class, or one for all.

    Notes
    -----
    As `cobham`, with W₀ = Σλ_kE[S_k²]/2 the mean work left in service. If class k gets only a part of what it asks for,
    W₀ counts that part, and none of the classes below.

    Examples
    --------
    Short queries first: half the mean wait of all.

    >>> cobham_mg1([0.4, 0.04], [1, 0.1]).Wq.round(2)
    array([ 7.33, 36.67])
    """
    lams = _each_positive("lam", lam, "/s")
    mus = np.broadcast_to(_each_positive("mu", mu, "/s"), lams.shape)
    scvs = np.broadcast_to([nonnegative("scv", value) for value in np.atleast_1d(scv)], lams.shape)
    loads = lams / mus
    room = np.clip(1 - (np.cumsum(loads) - loads), 0, None)
    left = float(np.sum(np.minimum(loads, room) * (1 + scvs) / (2 * mus)))
    return _priorities(lams, loads, 1 / mus, left)


def _priorities(lams: Array, loads: Array, services: Array, left: float) -> Priorities:
    upto = np.cumsum(loads)
    above = upto - loads
    keeps_up = upto < 1
    room = np.where(keeps_up, (1 - above) * (1 - upto), 1.0)
    waits = np.where(keeps_up, left / room, np.inf)
    return Priorities(lams, loads, lams * (waits + services), lams * waits, waits + services, waits)


def _each_positive(name: str, values: Numbers, unit: str) -> Array:
    given: Sequence[Any] = np.atleast_1d(values).ravel().tolist()
    if not given:
        raise TheoryError(name, [], unit, "one number for each class")
    return np.array([positive(name, value, unit) for value in given])
