"""Arrival processes: their rates, their bursts, and that a pulse makes them run faster."""

from __future__ import annotations

from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import pytest

from synapse.policies import PolicyError
from synapse.simulation import Environment
from synapse.simulation.sources import Source, times
from synapse.simulation.spec import Bursty, Closed, Diurnal, Poisson, Regular, Trace
from synapse.simulation.spec.arrivals import Arrivals
from synapse.simulation.variates import Variates


def arrived(process: Arrivals, until: float, share: float = 1.0) -> np.ndarray:
    return np.array(list(takewhile(lambda at: at < until, times(process, Variates(1), share, "x"))))


@pytest.mark.parametrize("share", [1.0, 0.25])
@pytest.mark.parametrize(
    "process",
    [
        Poisson(50),
        Regular(50),
        Bursty(rates=(10, 210), stays=(4, 1)),
        Bursty(rates=(0, 100), stays=(1, 1)),
        Diurnal(50, swing=0.8, period=7),
    ],
    ids=repr,
)
def test_the_mean_rate_is_the_rate(process: Arrivals, share: float) -> None:
    assert len(arrived(process, 2000, share)) / 2000 == pytest.approx(50 * share, rel=0.06)


def dispersion(process: Arrivals, width: float = 1.0) -> float:
    """Variance over mean of counts in windows: 1 for Poisson, 0 for a clock."""
    counts = np.histogram(arrived(process, 2000), np.arange(0, 2000 + width, width))[0]
    return float(counts.var() / counts.mean())


def test_poisson_arrivals_are_as_uneven_as_chance_is() -> None:
    assert dispersion(Poisson(50)) == pytest.approx(1, rel=0.1)


def test_regular_ones_are_even() -> None:
    assert dispersion(Regular(50)) < 0.01


def test_bursts_are_bursts() -> None:
    assert dispersion(Bursty(rates=(10, 210), stays=(4, 1))) > 20


def test_a_day_has_its_peak_in_the_first_half() -> None:
    day = arrived(Diurnal(50, swing=1, period=100), 1000) % 100
    assert (day < 50).sum() > 3 * (day >= 50).sum()


class TestTraces:
    def test_queries_come_when_they_came(self, tmp_path: Path) -> None:
        (tmp_path / "times.txt").write_text("10\n10.5\n13\n")
        assert arrived(Trace(str(tmp_path / "times.txt")), 99).tolist() == [0.0, 0.5, 3.0]
        assert arrived(Trace(str(tmp_path / "times.txt"), speed=2), 99).tolist() == [0.0, 0.25, 1.5]

    def test_a_file_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(PolicyError, match="file: 'none.txt' cannot be read"):
            arrived(Trace("none.txt"), 1)


def test_closed_agents_have_no_process() -> None:
    with pytest.raises(PolicyError, match="agents are closed"):
        times(Closed(), Variates(1), 1.0, "x")


class TestPulse:
    def seen(self, pulses: dict[float, float]) -> list[float]:
        env, seen = Environment(), list[float]()
        source = Source(env, islice(times(Regular(1), Variates(1), 1.0, "x"), 8), lambda: seen.append(env.time()))
        for at, factor in pulses.items():
            env.call(at, source.pulse, factor)
        env.run()
        return seen

    def test_without_one_queries_come_as_the_process_says(self) -> None:
        assert self.seen({}) == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_they_come_sooner_while_it_lasts_and_the_next_one_too(self) -> None:
        assert self.seen({2.5: 2.0, 4.0: 1.0}) == [1, 2, 2.75, 3.25, 3.75, 4.5, 5.5, 6.5]

    def test_and_later_in_a_lull(self) -> None:
        assert self.seen({2.5: 0.5, 4.5: 1.0}) == [1, 2, 3.5, 5.0, 6.0, 7.0, 8.0, 9.0]
