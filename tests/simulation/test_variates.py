"""Streams: the same for the same seed, and each agent's own."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation.distributions import Deterministic, Exponential, Lognormal
from synapse.simulation.variates import BLOCK, CHUNK, Rows, Variates

COUNT = 5


def fresh(count: int = COUNT, seed: int = 1) -> Rows:
    return Variates(seed).rows("think", count, Exponential(2.0))


def row(rows: Rows, of: int, length: int = 3 * BLOCK) -> list[float]:
    return [rows.draw(of) for _ in range(length)]


class TestRows:
    @given(st.lists(st.integers(0, COUNT - 1), max_size=100))
    def test_a_row_does_not_depend_on_who_else_draws_or_when(self, order: list[int]) -> None:
        rows, alone = fresh(), [row(fresh(), each, 100) for each in range(COUNT)]
        seen: list[list[float]] = [[] for _ in range(COUNT)]
        for each in order:
            seen[each].append(rows.draw(each))
        assert all(drawn == alone[each][: len(drawn)] for each, drawn in enumerate(seen))

    def test_a_row_does_not_depend_on_how_many_there_are(self) -> None:
        assert row(fresh(COUNT), 3) == row(fresh(1000), 3)

    def test_rows_names_seeds_and_replications_differ(self) -> None:
        streams = [
            row(fresh(), 0),
            row(fresh(), 1),
            row(fresh(seed=2), 0),
            row(Variates(1).rows("service", COUNT, Exponential(2.0)), 0),
            row(Variates(1, replication=1).rows("think", COUNT, Exponential(2.0)), 0),
        ]
        drawn = [number for stream in streams for number in stream]
        assert len(set(drawn)) == len(drawn)

    def test_no_number_comes_twice_in_later_blocks(self) -> None:
        rows = Variates(1).rows("retry", 50)
        drawn = [number for each in range(50) for number in row(rows, each, 10 * BLOCK)]
        assert len(set(drawn)) == len(drawn)
        assert 0.49 < sum(drawn) / len(drawn) < 0.51

    def test_a_longer_mean_stretches_the_same_lots(self) -> None:
        short, long = row(fresh(), 2), row(Variates(1).rows("think", COUNT, Exponential(4.0)), 2)
        assert long == pytest.approx([2 * each for each in short])


class TestStreams:
    def test_the_same_name_gives_the_same_numbers(self) -> None:
        variates = Variates(7)
        first, second = (list(islice(variates.stream("arrival", Lognormal(1.0)), CHUNK + 10)) for _ in range(2))
        assert first == second

    def test_numbers_are_plain_floats(self) -> None:
        """Not numpy's, which are slower, and would end up in traces."""
        assert {type(next(Variates(1).stream("x", Deterministic(1.0)))), type(fresh().draw(0))} == {float}

    def test_another_process_draws_the_same_bytes(self) -> None:
        program = (
            "from synapse.simulation.distributions import Lognormal\n"
            "from synapse.simulation.variates import Variates\n"
            "rows = Variates(3).rows('service', 100, Lognormal(0.05))\n"
            "print([rows.draw(i % 100).hex() for i in range(3000)])"
        )
        seen = {
            subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout for _ in range(2)
        }
        assert len(seen) == 1
        assert len(seen.pop()) > 3000
