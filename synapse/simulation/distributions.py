"""How long things take: laws of durations, as frozen values that read the same in Python and in TOML.

Each law turns a uniform random number into a duration by inversion, and grows with it. So the same uniform numbers give
comparable durations under another mean or another law: common random numbers at no cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import special  # type: ignore[import-untyped]

from synapse.policies.base import Policy, PolicyError
from synapse.policies.fields import Delay, Seconds

Array: TypeAlias = npt.NDArray[np.float64]
Mean = Annotated[Seconds, Meta(description="The mean.")]


class Law(Protocol):
    """What every distribution can be asked."""

    @property
    def mean(self) -> float:
        """The mean, s."""

    @property
    def scv(self) -> float:
        """The squared coefficient of variation; infinity if there is no variance."""

    def values(self, u: Array) -> Array:
        """Durations, s, for uniform numbers from [0, 1)."""


class Exponential(Policy, frozen=True, tag="exponential"):
    """Memoryless: the law of what may end at any moment.

    Parameters
    ----------
    mean
        In s.
    """

    mean: Mean

    @property
    def scv(self) -> float:
        """1."""
        return 1.0

    def values(self, u: Array) -> Array:
        """Durations, s."""
        return np.log1p(-u) * -self.mean


class Deterministic(Policy, frozen=True, tag="deterministic"):
    """Always the same.

    Parameters
    ----------
    value
        In s, 0 or more.
    """

    value: Annotated[Delay, Meta(description="The duration.")]

    @property
    def mean(self) -> float:
        """The value, s."""
        return self.value

    @property
    def scv(self) -> float:
        """0."""
        return 0.0

    def values(self, u: Array) -> Array:
        """Durations, s."""
        return np.full_like(u, self.value)


class Uniform(Policy, frozen=True, tag="uniform"):
    """Anything from `low` to `high`, each as likely.

    Parameters
    ----------
    low, high
        In s.
    """

    low: Annotated[Delay, Meta(description="The shortest.")]
    high: Annotated[Seconds, Meta(description="The longest.")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise PolicyError("low", f"must be at most `high`, {self.high:g} s; not {self.low:g}")

    @property
    def mean(self) -> float:
        """The middle, s."""
        return (self.low + self.high) / 2

    @property
    def scv(self) -> float:
        """Squared coefficient of variation."""
        return float(((self.high - self.low) / self.mean) ** 2 / 12)

    def values(self, u: Array) -> Array:
        """Durations, s."""
        return self.low + (self.high - self.low) * u


class Erlang(Policy, frozen=True, tag="erlang"):
    """`shape` exponential stages, one after the other: more even than one.

    Parameters
    ----------
    mean
        Of the whole, in s.
    shape
        Stages.
    """

    mean: Mean
    shape: Annotated[int, Meta(ge=1, le=1000, description="Stages.")] = 2

    @property
    def scv(self) -> float:
        """1 / shape."""
        return 1.0 / self.shape

    def values(self, u: Array) -> Array:
        """Durations, s."""
        stages: Array = special.gammaincinv(self.shape, u)
        return stages * (self.mean / self.shape)


class Hyperexponential(Policy, frozen=True, tag="hyperexponential"):
    """One of two exponential laws, by lot: less even than one. Each bears half of the mean (balanced means).

    Parameters
    ----------
    mean
        In s.
    cv
        Coefficient of variation, above 1.
    """

    mean: Mean
    cv: Annotated[float, Meta(gt=1, le=100, description="Coefficient of variation.")] = 2.0

    @property
    def scv(self) -> float:
        """Cv squared."""
        return self.cv**2

    def values(self, u: Array) -> Array:
        """Durations, s. The lot is in the number, too: below the share of the short law it is stretched to [0, 1)."""
        short = (1 + math.sqrt((self.scv - 1) / (self.scv + 1))) / 2  # the share of the short law
        is_short = u < short
        stretched = np.where(is_short, u / short, (u - short) / (1 - short))
        mean = np.where(is_short, self.mean / (2 * short), self.mean / (2 * (1 - short)))
        return np.log1p(-np.minimum(stretched, np.nextafter(1.0, 0.0))) * -mean


class Lognormal(Policy, frozen=True, tag="lognormal"):
    """Many factors multiplied: the usual law of answers' times, by the mean and the spread one measures.

    Parameters
    ----------
    mean
        In s.
    cv
        Coefficient of variation: standard deviation over mean.
    """

    mean: Mean
    cv: Annotated[float, Meta(gt=0, le=100, description="Coefficient of variation.")] = 1.0

    @property
    def scv(self) -> float:
        """Cv squared."""
        return self.cv**2

    def values(self, u: Array) -> Array:
        """Durations, s."""
        variance = math.log1p(self.scv)
        normal: Array = special.ndtri(_inside(u))
        return np.exp(math.sqrt(variance) * normal + (math.log(self.mean) - variance / 2))


class Pareto(Policy, frozen=True, tag="pareto"):
    """A heavy tail: P(longer than t) falls as ``t ** -alpha``. Without variance when `alpha` is 2 or less.

    Parameters
    ----------
    mean
        In s.
    alpha
        Tail exponent, above 1.
    """

    mean: Mean
    alpha: Annotated[float, Meta(gt=1, le=100, description="Tail exponent.")] = 2.5

    @property
    def scv(self) -> float:
        """Squared coefficient of variation."""
        return 1.0 / (self.alpha * (self.alpha - 2)) if self.alpha > 2 else math.inf

    def values(self, u: Array) -> Array:
        """Durations, s."""
        shortest = self.mean * (self.alpha - 1) / self.alpha
        return shortest * (1 - u) ** (-1 / self.alpha)


class Empirical(Policy, frozen=True, tag="empirical"):
    """What was measured: each value as likely as it was seen.

    Parameters
    ----------
    sample
        The values, in s. Or else
    file
        where they stand: a text file with one a line, or a Parquet file.
    column
        Which column of the Parquet file.
    """

    sample: Annotated[tuple[Delay, ...], Meta(max_length=1_000_000, description="The values.")] = ()
    file: Annotated[str, Meta(description="A text file with a value a line, or a Parquet file.")] = ""
    column: Annotated[str, Meta(description="Which column of the Parquet file.")] = "service"

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.sample) == bool(self.file):
            raise PolicyError("sample", "is required, or else `file`, not both: the values, or where they stand, in s")

    @property
    def mean(self) -> float:
        """The mean of the values, s."""
        return float(self.sorted().mean())

    @property
    def scv(self) -> float:
        """Squared coefficient of variation of the values."""
        values = self.sorted()
        mean = float(values.mean())
        return float(values.var()) / mean**2 if mean else 0.0

    def sorted(self) -> Array:
        """The values in order.

        Raises
        ------
        PolicyError
            If the file cannot be read, or has anything else in it than durations.
        """
        if not self.file:
            return np.sort(np.array(self.sample, dtype=float))
        return np.sort(read_column(self.file, self.column, "file"))

    def values(self, u: Array) -> Array:
        """Durations, s."""
        return inversion(self)(u)


Distribution: TypeAlias = (
    Exponential | Deterministic | Uniform | Erlang | Hyperexponential | Lognormal | Pareto | Empirical
)


def inversion(law: Law) -> Callable[[Array], Array]:
    """The function `values` of a law, made ready to be called often."""
    if not isinstance(law, Empirical):
        return law.values
    known = law.sorted()
    return lambda u: known[(u * len(known)).astype(np.intp)]


def read_column(file: str, column: str, field: str) -> Array:
    """The finite numbers, 0 or more, of a text file with one a line, or of a column of a Parquet file.

    Raises
    ------
    PolicyError
        Naming `field`, if there are none or something else.
    """
    try:
        stamp = Path(file).stat().st_mtime_ns
        values = _read(file, column, stamp)
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(field, f"{file!r} cannot be read: {error}") from None
    if values.ndim > 1:
        raise PolicyError(field, f"{file!r} must have one number a line, not {values.shape[1]}")
    if not len(values) or not np.isfinite(values).all() or values.min() < 0:
        raise PolicyError(field, f"{file!r} must have numbers >= 0 and nothing else, in s")
    return values


@cache
def _read(file: str, column: str, stamp: int) -> Array:  # noqa: ARG001  the stamp tells a changed file from the same
    if file.endswith(".parquet"):
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        return np.asarray(pq.read_table(file, columns=[column])[column].to_numpy(), dtype=float)
    return np.loadtxt(file, dtype=float, ndmin=1)


def _inside(u: Array) -> Array:
    """Off 0, where a normal variable is minus infinity: half of the least that is drawn."""
    return np.maximum(u, 2.0**-54)
