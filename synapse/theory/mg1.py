"""M/G/1: one server, any law of service. Only its first two moments matter for the mean wait."""

from __future__ import annotations

from dataclasses import dataclass

from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import nonnegative, positive, stable
from synapse.theory.result import Result, Value


@dataclass(frozen=True, slots=True, repr=False)
class MG1(Result):
    """The answers for M/G/1.

    Attributes
    ----------
    lam, mu
        Arrival rate, and 1 over the mean service time, /s.
    scv
        Squared coefficient of variation of a service time.
    utilisation
        Share of the time that the server is busy, λ/μ; also the probability to wait.
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    mu: Value
    scv: Value
    utilisation: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value


@elementwise
def mg1(lam: Numbers, mu: Numbers, scv: Numbers) -> MG1:
    """M/G/1.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ = 1/E[S], /s.
    scv
        Squared coefficient of variation of a service time, Var[S]/E[S]²: 0 if deterministic, 1/k for Erlang-k,
        1 if exponential, the square of `cv` of a lognormal, 1/(α(α − 2)) for Pareto(α > 2).

    Raises
    ------
    TheoryError
        If λ ≥ μ: there is no steady state.

    Notes
    -----
    Wq = λE[S²]/(2(1 − ρ)) with E[S²] = (1 + scv)/μ² (Pollaczek 1930, Khinchine 1932).

    Examples
    --------
    >>> mg1(0.9, 1, [0, 0.25, 1, 4]).Wq.round(3)
    array([ 4.5  ,  5.625,  9.   , 22.5  ])
    """
    lam, mu, scv = positive("lam", lam, "/s"), positive("mu", mu, "/s"), nonnegative("scv", scv)
    stable(lam, mu, "mu")
    wait = lam * (1 + scv) / (2 * mu * (mu - lam))
    in_queue, in_service = lam * wait, lam / mu
    return MG1(lam, mu, scv, in_service, in_queue + in_service, in_queue, wait + 1 / mu, wait)
