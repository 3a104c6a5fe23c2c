"""M/D/c: deterministic services. The queue is a random walk with a wall, seen every D = 1/μ seconds.

Whoever is in service at t has left by t + D, and whoever arrived since has not, so the number in the system obeys
N(t + D) = (N(t) − c)⁺ + A with A Poisson of mean a = λD (Crommelin 1932). The queue X = (N − c)⁺ then walks in steps
of A − c and is reflected at 0.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, level, nonnegative, positive, stable
from synapse.theory.errors import TheoryError
from synapse.theory.result import Result, Value

_DIGITS = 45.0  # exp(−45) is beyond what a float keeps of a sum
_TERMS = 5000
_GRID = 2**22


@dataclass(frozen=True, slots=True, repr=False)
class MDc(Result):
    """The answers for M/D/c.

    Attributes
    ----------
    lam, mu
        Arrival rate, and service rate of one server, /s.
    c
        Servers.
    utilisation
        Share of the servers that is busy, λ/cμ.
    L, Lq
        Mean number in the system, in the queue.
    W, Wq
        Mean time in the system, in the queue, s.
    """

    lam: Value
    mu: Value
    c: Value
    utilisation: Value
    L: Value
    Lq: Value
    W: Value
    Wq: Value

    @elementwise
    def wait_tail(self, t: Numbers) -> Value:
        """P(wait > t), first come first served (Franx 2001); `t` in s. At 0 the probability to wait."""
        t = nonnegative("t", t, "s")
        return _wait_tail(_queue_tails(self.lam / self.mu, self.c), self.lam, self.mu, self.c, t)

    @elementwise
    def wait_quantile(self, p: Numbers) -> Value:
        """Wait that a share `p` of the customers does not exceed, s."""
        p, tails = level("p", p), _queue_tails(self.lam / self.mu, self.c)
        return numerics.quantile(lambda t: _wait_tail(tails, self.lam, self.mu, self.c, t), p, 1 / self.mu)


@elementwise
def mdc(lam: Numbers, mu: Numbers, c: Numbers) -> MDc:
    """M/D/c.

    Parameters
    ----------
    lam
        Arrival rate λ, /s.
    mu
        Service rate μ of one server, /s: a service takes exactly D = 1/μ.
    c
        Servers.

    Raises
    ------
    TheoryError
        If λ ≥ cμ: there is no steady state. From `MDc.wait_tail`, also if λ is within about 10⁻⁵ of it.

    Notes
    -----
    Lq = Σ_k E[(Poisson(ka) − kc)⁺]/k, a = λ/μ (Pollaczek 1930, Crommelin 1932, Spitzer 1956); near saturation, where
    that sum is long, a/(2(c − a)) − (c − 1 + a)/2 + Σ_k 1/(1 − z_k) over the roots z_k ≠ 1 of z^c = e^(a(z − 1)) in the
    unit disc (Janssen and van Leeuwaarden 2005), which Lambert's W gives in closed form.

    Examples
    --------
    >>> mdc([7.2, 7.6], 1, 8).Wq.round(6)
    array([0.449973, 1.067929])
    """
    lam, mu, c = positive("lam", lam, "/s"), positive("mu", mu, "/s"), count("c", c, "servers")
    stable(lam, c * mu, "c·mu")
    in_queue = _mean_queue(lam / mu, c)
    wait = in_queue / lam
    return MDc(lam, mu, c, lam / (c * mu), in_queue + lam / mu, in_queue, wait + 1 / mu, wait)


def _mean_queue(a: float, c: int) -> float:
    rho = a / c
    decay = c * (rho - 1 - math.log(rho))  # P(Poisson(ka) > kc) falls like exp(−decay·k)
    if decay * _TERMS < _DIGITS:
        z = _roots(rho, np.arange(1, c) / c)
        return float(a / (2 * (c - a)) - (c - 1 + a) / 2 + np.sum(1 / (1 - z)).real)
    k = np.arange(1, math.ceil(_DIGITS / decay) + 2)
    mean, room = k * a, k * c
    over = mean * numerics.poisson_pmf(room, mean) - (room - mean) * numerics.poisson_tail(room, mean)
    return float(np.sum(over / k))


def _roots(rho: float, turns: numerics.Array) -> numerics.ComplexArray:
    """The z in the unit disc with z·exp(−ρz) = exp(−ρ)·exp(2πi·turns)."""
    return -numerics.lambert_w(-rho * np.exp(-rho + 2j * np.pi * turns)) / rho


@functools.lru_cache(maxsize=4)
def _queue_tails(a: float, c: int) -> numerics.Array:
    """P(X > m) for m = 0, 1, …

    By Spitzer's identity X is a compound Poisson variable whose jumps have the rates
    b_j = Σ_k P(Poisson(ka) − kc = j)/k, the coefficients of −log(1 − exp(a(z − 1))·z^(−c)) for z^j, j > 0, in the ring
    1 < |z| < τ. Two Fourier transforms, of that and of its exponential, give the distribution.
    """
    rho = a / c
    decay = math.log(-float(numerics.lambert_w(-rho * math.exp(-rho), -1).real) / rho)  # of P(X > m): log τ
    if not decay * _GRID > 8 * _DIGITS:
        raise TheoryError("lam", a / c, "c·mu", "further from saturation for the distribution of the wait")
    size = 2 ** math.ceil(math.log2(4 * _DIGITS / decay + 2 * c))
    angle = 2 * np.pi * np.arange(size) / size
    on_ring = a * (np.exp(decay / 2 + 1j * angle) - 1) - c * (decay / 2 + 1j * angle)
    jumps = np.fft.fft(-np.log(-np.expm1(on_ring))).real / size * np.exp(-decay / 2 * np.arange(size))
    jumps[0], jumps[size // 2 :] = 0.0, 0.0
    chances = np.fft.fft(np.exp(np.fft.ifft(jumps) * size - jumps.sum())).real / size
    return np.asarray(np.cumsum(np.maximum(chances, 0.0)[::-1])[::-1][1:])


def _wait_tail(tails: numerics.Array, lam: float, mu: float, c: int, t: float) -> float:
    """P(wait > t): with kD the first multiple of D beyond t, kc or more at kD − t later of those now ahead or new."""
    k = math.floor(t * mu) + 1
    mean = lam * max(k / mu - t, 0.0)
    new = np.arange(min(k * c, math.ceil(mean + 40 * math.sqrt(mean) + 100)))  # more do not come
    waiting = k * c - 1 - new
    beyond = np.where(waiting < len(tails), tails[np.minimum(waiting, len(tails) - 1)], 0.0)
    return float(numerics.poisson_tail(k * c - 1, mean) + numerics.poisson_pmf(new, mean) @ beyond)
