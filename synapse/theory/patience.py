"""Laws of patience: how long a customer waits before leaving, and what that does to the offered wait.

The offered wait V is the wait of a customer of endless patience. Behind n servers its density is proportional to
exp(φ(x)) with φ(x) = λ∫₀ˣP(patience > u)du − nμx (Baccelli and Hebuterne 1981), which is concave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from synapse.theory.checks import nonnegative, positive
from synapse.theory.errors import TheoryError
from synapse.theory.numerics import Array

_DIGITS = 45.0  # exp(−45) is beyond what a float keeps of a sum
_DOUBLINGS = 200
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)


class Patience(Protocol):
    """A law of patience: a frozen distribution of scipy.stats is one. Times in s."""

    def sf(self, x: Any, /) -> Any:
        """P(patience > x), for an array of x ≥ 0."""
        ...

    def cdf(self, x: Any, /) -> Any:
        """P(patience ≤ x), precise where it is small."""
        ...

    def support(self) -> Any:
        """The least and the greatest patience."""
        ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """Patience that ends at the constant rate `theta`, /s."""

    theta: float

    def __post_init__(self) -> None:
        positive("theta", self.theta, "/s")

    def sf(self, x: Any, /) -> Any:
        return np.exp(-self.theta * np.asarray(x))

    def cdf(self, x: Any, /) -> Any:
        return -np.expm1(-self.theta * np.asarray(x))

    def support(self) -> tuple[float, float]:
        return 0.0, math.inf


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Patience of exactly `seconds`: a server that drops a query whose wait exceeds its deadline."""

    seconds: float

    def __post_init__(self) -> None:
        nonnegative("seconds", self.seconds, "s")

    def sf(self, x: Any, /) -> Any:
        return np.where(np.asarray(x) < self.seconds, 1.0, 0.0)

    def cdf(self, x: Any, /) -> Any:
        return np.where(np.asarray(x) < self.seconds, 0.0, 1.0)

    def support(self) -> tuple[float, float]:
        return self.seconds, self.seconds


@dataclass(frozen=True, slots=True)
class Integrals:
    """Integrals over x > 0, all but the last to be multiplied by exp(`exponent`).

    Attributes
    ----------
    exponent
        The greatest φ, so that nothing overflows.
    offered
        J = ∫exp(φ).
    wait
        ∫H·exp(φ), with H(x) = ∫₀ˣP(patience > u)du.
    served
        ∫x·P(patience > x)·exp(φ).
    lost
        ∫P(patience ≤ x)·exp(φ).
    beyond
        The part of J that lies beyond `start`, as a share: P(V > start | V > 0).
    """

    exponent: float
    offered: float
    wait: float
    served: float
    lost: float
    beyond: float


def integrals(lam: float, drain: float, patience: Patience, start: float = 0.0) -> Integrals:
    """The integrals of Zeltyn and Mandelbaum (2005), by Gauss-Legendre panels where exp(φ) has its mass.

    Parameters
    ----------
    lam
        Arrival rate, /s.
    drain
        Rate nμ of all servers, /s.
    patience
        The law of patience.
    start
        Where `Integrals.beyond` begins, s.
    """
    breaks = [float(x) for x in (*patience.support(), start)]
    low, high = _mass(lam, drain, patience, breaks)
    edges = _edges(breaks, np.concatenate((np.linspace(0, low, 65)[:-1], np.linspace(low, high, 257))))
    x, weight, survival, reach = _panels(patience, edges)
    phi = lam * reach - drain * x
    exponent = float(phi.max())
    mass = weight * np.exp(phi - exponent)
    offered = float(mass.sum())
    return Integrals(
        exponent,
        offered,
        float((mass * reach).sum()),
        float((mass * x * survival).sum()),
        float((mass * patience.cdf(x)).sum()),
        float(mass[x > start].sum()) / offered,
    )


def _mass(lam: float, drain: float, patience: Patience, breaks: list[float]) -> tuple[float, float]:
    """Where exp(φ) is: beyond these bounds it is below exp(−45) of its greatest value."""
    high = 64 / drain
    for _ in range(_DOUBLINGS):
        x, _, survival, reach = _panels(patience, _edges(breaks, np.linspace(0, high, 257)))
        phi = (lam * reach - drain * x).ravel()
        if phi[-1] < phi.max() - _DIGITS and lam * survival[-1, -1] < drain:
            before = np.flatnonzero(phi[: phi.argmax() + 1] < phi.max() - _DIGITS)
            return float(x.ravel()[before[-1]]) if before.size else 0.0, high
        high *= 2
    raise TheoryError("patience", patience, "", "short enough that customers leave a saturated queue")


def _edges(breaks: list[float], grid: Array) -> Array:
    # a panel must not cross a jump or a bend of the survival function
    return np.union1d(grid, [x for x in breaks if 0 < x < grid[-1]])


def _panels(patience: Patience, edges: Array) -> tuple[Array, Array, Array, Array]:
    """Points and weights, P(patience > x), and H(x) = ∫₀ˣP(patience > u)du, one row for each panel."""
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half * (1 + _POINTS)
    survival = np.asarray(patience.sf(x), dtype=float)
    whole = np.concatenate(([0.0], np.cumsum(half[:, 0] * (survival @ _WEIGHTS))))[:-1, None]
    return x, half * _WEIGHTS, survival, whole + half * (survival @ _UP_TO_POINT)


def _up_to_point() -> Array:
    """Column i integrates, from −1 to point i, the polynomial through values at all points."""
    legendre = np.polynomial.legendre
    degrees = len(_POINTS)
    primitives = [legendre.legval(_POINTS, legendre.legint(np.eye(degrees)[n], lbnd=-1)) for n in range(degrees)]
    return np.asarray(np.linalg.solve(legendre.legvander(_POINTS, degrees - 1).T, np.asarray(primitives)))


_UP_TO_POINT = _up_to_point()
