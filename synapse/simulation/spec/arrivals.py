"""When agents ask: a pause after the last answer (closed), or by a process that waits for no answers (open)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from synapse.policies.base import Policy, PolicyError
from synapse.policies.fields import Rate, Seconds

Overall = Annotated[Rate, Meta(description="Queries per second, of all agents together.")]


class Closed(Policy, frozen=True, tag="closed"):
    """Each agent thinks, asks, waits for the answer, and thinks again. The load falls when answers are slow."""


class Poisson(Policy, frozen=True, tag="poisson"):
    """Queries come at random, whatever becomes of those before: many agents who know nothing of each other.

    Parameters
    ----------
    rate
        Queries of all agents together, 1/s.
    """

    rate: Overall


class Regular(Policy, frozen=True, tag="regular"):
    """Queries come one by one at even distances: a clock's ticks.

    Parameters
    ----------
    rate
        Queries of all agents together, 1/s.
    """

    rate: Overall


class Bursty(Policy, frozen=True, tag="mmpp"):
    """A Poisson process whose rate jumps: a Markov-modulated Poisson process, each state leading to the next.

    Parameters
    ----------
    rates
        Queries per s in each state. It begins in the first.
    stays
        Mean stay in each state, s; exponential.
    """

    rates: Annotated[
        tuple[Annotated[float, Meta(ge=0, le=1e9, extra={"unit": "1/s"})], ...],
        Meta(min_length=2, max_length=100, description="Queries per second in each state."),
    ]
    stays: Annotated[tuple[Seconds, ...], Meta(min_length=2, max_length=100, description="Mean stay in each state.")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.rates) != len(self.stays):
            raise PolicyError("stays", f"must be as many as `rates`, {len(self.rates)}; not {len(self.stays)}")
        if not any(self.rates):
            raise PolicyError("rates", "must not all be 0")

    @property
    def rate(self) -> float:
        """The mean rate, 1/s."""
        counts = sum(rate * stay for rate, stay in zip(self.rates, self.stays, strict=True))
        return counts / sum(self.stays)


class Diurnal(Policy, frozen=True, tag="diurnal"):
    """A Poisson process whose rate swings like a day: ``rate * (1 + swing * sin(2 pi t / period))``.

    Parameters
    ----------
    rate
        The mean rate, 1/s.
    swing
        How far it goes up and down, as a share of the mean.
    period
        From peak to peak, s.
    """

    rate: Overall
    swing: Annotated[float, Meta(ge=0, le=1, description="How far the rate goes up and down, as a share.")] = 0.5
    period: Annotated[Seconds, Meta(description="From peak to peak.")] = 60.0


class Trace(Policy, frozen=True, tag="trace"):
    """Queries come when they came before. After the last, none come.

    Parameters
    ----------
    file
        A text file with a time a line, or a Parquet file such as a recorder leaves.
    column
        Which column of the Parquet file has the times.
    speed
        How many times as fast it is played.
    """

    file: Annotated[str, Meta(min_length=1, description="A text file with a time a line, or a Parquet file.")]
    column: Annotated[str, Meta(description="Which column of the Parquet file has the times.")] = "submitted"
    speed: Annotated[float, Meta(gt=0, le=1e6, description="How many times as fast it is played.")] = 1.0


Arrivals: TypeAlias = Closed | Poisson | Regular | Bursty | Diurnal | Trace
