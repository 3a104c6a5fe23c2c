"""Laws of durations: their means and spreads are what they say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synapse.policies import PolicyError
from synapse.simulation.distributions import (
    Deterministic,
    Empirical,
    Erlang,
    Exponential,
    Hyperexponential,
    Lognormal,
    Pareto,
    Uniform,
)

LAWS: list[Any] = [
    Exponential(0.05),
    Deterministic(0.05),
    Deterministic(0.0),
    Uniform(0.01, 0.05),
    Erlang(0.05, 4),
    Hyperexponential(0.05, 3.0),
    Lognormal(0.05, 0.5),
    Lognormal(0.05, 2.0),
    Pareto(0.05, 8.0),
    Empirical((3.0, 1.0, 2.0, 2.0)),
]
U = (np.arange(1_000_000) + 0.5) / 1_000_000  # every part of [0, 1) once: no luck


@pytest.mark.parametrize("law", LAWS, ids=repr)
class TestLaws:
    def test_the_mean_is_the_mean(self, law: Any) -> None:
        assert law.values(U).mean() == pytest.approx(law.mean, rel=1e-3)

    def test_the_spread_is_the_spread(self, law: Any) -> None:
        values = law.values(U)
        scv = values.var() / values.mean() ** 2 if values.mean() else 0.0
        assert scv == pytest.approx(law.scv, rel=0.02, abs=1e-12)

    def test_a_greater_lot_gives_no_shorter_duration(self, law: Any) -> None:
        if not isinstance(law, Hyperexponential):  # which of the two laws it is, is in the lot
            assert (np.diff(law.values(U)) >= 0).all()

    def test_the_least_and_the_greatest_lots_give_finite_durations(self, law: Any) -> None:
        values = law.values(np.array([0.0, 2.0**-53, 1 - 2.0**-53]))
        assert np.isfinite(values).all()
        assert (values >= 0).all()

    def test_a_number_is_the_same_alone_and_among_many(self, law: Any) -> None:
        """Rows are drawn in blocks of different sizes."""
        u = np.random.default_rng(1).random(1003)
        whole = law.values(u)
        assert whole.tolist() == [value for at in range(0, 1003, 8) for value in law.values(u[at : at + 8]).tolist()]


def test_a_heavy_tail_has_no_variance() -> None:
    assert Pareto(1.0, 2.0).scv == math.inf


class TestEmpirical:
    def test_it_reads_a_text_file(self, tmp_path: Path) -> None:
        (tmp_path / "service.txt").write_text("0.5\n1.5\n")
        assert Empirical(file=str(tmp_path / "service.txt")).mean == 1.0

    def test_it_reads_a_column_of_a_parquet_file(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"wait": [0.1, 0.3], "other": [1, 2]}), tmp_path / "trace.parquet")
        assert Empirical(file=str(tmp_path / "trace.parquet"), column="wait").mean == pytest.approx(0.2)

    def test_it_sees_that_a_file_has_changed(self, tmp_path: Path) -> None:
        file = tmp_path / "service.txt"
        law = Empirical(file=str(file))
        file.write_text("1\n")
        assert law.mean == 1.0
        file.write_text("3\n")
        assert law.mean == 3.0

    @pytest.mark.parametrize("text", ["", "one\n", "-1\n", "nan\n", "inf\n"])
    @pytest.mark.filterwarnings("ignore:loadtxt")
    def test_anything_but_durations_is_an_error(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "service.txt"
        file.write_text(text)
        with pytest.raises(PolicyError, match=r"file: '.*service.txt' (cannot be read|must have numbers >= 0)"):
            Empirical(file=str(file)).sorted()

    def test_a_missing_column_or_file_is_an_error(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"wait": [0.1]}), tmp_path / "trace.parquet")
        for file in ("trace.parquet", "none.txt"):
            with pytest.raises(PolicyError, match="cannot be read"):
                Empirical(file=str(tmp_path / file)).sorted()

    def test_it_needs_values_or_a_file(self) -> None:
        for arguments in ({}, {"sample": (1.0,), "file": "x"}):
            with pytest.raises(PolicyError, match="sample: is required, or else `file`"):
                Empirical(**arguments)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Exponential(0), "mean: must be a number > 0 and <= 1e+09, in s; not 0"),
        (lambda: Uniform(3, 2), "low: must be at most `high`, 2 s; not 3"),
        (lambda: Hyperexponential(1, 1), "cv: must be a number > 1 and <= 100; not 1"),
        (lambda: Pareto(1, 1), "alpha: must be a number > 1 and <= 100; not 1"),
        (lambda: Erlang(1, 0), "shape: must be a whole number >= 1 and <= 1000; not 0"),
    ],
)
def test_errors_name_the_field_the_range_and_the_unit(make: Any, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        make()
    assert str(caught.value) == problem
