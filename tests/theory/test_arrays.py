"""Arrays: every formula gives for an array what it gives for its elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synapse import theory
from synapse.theory import TheoryError

FORMULAS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (theory.erlang_b, ([1, 4, 8], 3.0)),
    (theory.erlang_b_load, ([1, 4, 8], 0.01)),
    (theory.erlang_c, (8, [1.0, 4.0, 7.0])),
    (theory.mmc, ([1.0, 4.0, 7.0], 1, 8)),
    (theory.mmck, ([1.0, 4.0, 17.0], 1, 8, [8, 9, 100])),
    (theory.erlang_a, ([1.0, 4.0, 17.0], 1, 8, [0.5, 1, 2])),
    (theory.mmcd, ([1.0, 4.0, 17.0], 1, 8, [0, 1, 2])),
    (theory.mmcg, ([1.0, 4.0, 17.0], 1, 8, theory.Deterministic(1))),
    (theory.mg1, (0.5, 1, [0, 1, 2])),
    (theory.mdc, ([1.0, 4.0, 7.0], 1, 8)),
    (theory.finite_source, ([1, 10, 100], 4, 1.0, 0.1)),
    (theory.token_bucket, ([0.5, 1, 2], 1, [1, 2.5, 10])),
    (theory.gcra, ([0.5, 1, 2], 1, [0, 1, 2])),
    (theory.tick_bucket, ([0.5, 1, 2], 1, [5, 6, 7])),
    (theory.fixed_window, ([0.5, 1, 2], 10, 10)),
    (theory.sliding_log, ([0.5, 1, 2], 10, 10)),
    (theory.power_of_d, (0.9, 1, [1, 2, 3])),
    (theory.retry_fixed_point, ([0.2, 0.4, 0.8], 1, 10, 3)),
    (theory.retry_limit, (1, [2, 5, 10], 3)),
    (theory.amplification, ([0.0, 0.5, 1.0], 3)),
    (theory.fan_out, ([0.0, 0.5, 1.0], 3)),
]


def fields(result: Any) -> dict[str, Any]:
    if not isinstance(result, theory.Result):
        return {"value": result}
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}


class TestElementwise:
    @pytest.mark.parametrize(("formula", "arguments"), FORMULAS, ids=lambda value: getattr(value, "__name__", ""))
    def test_an_array_is_its_elements(self, formula: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        whole = fields(formula(*arguments))
        columns = [value if isinstance(value, list) else [value] * 3 for value in arguments]
        for i, row in enumerate(zip(*columns, strict=True)):
            for name, value in fields(formula(*row)).items():
                np.testing.assert_equal(np.asarray(whole[name]).tolist()[i], value)

    def test_arguments_are_broadcast(self) -> None:
        grid = theory.mmc(np.array([[1.0], [4.0]]), 1, np.array([5, 6, 7]))
        assert np.shape(grid.Wq) == (2, 3)
        assert grid.Wq[1, 2] == theory.mmc(4.0, 1, 7).Wq

    def test_names_do_as_well_as_places(self) -> None:
        assert theory.mmc(c=[1, 2], mu=3, lam=2).Wq.tolist() == theory.mmc(2, 3, [1, 2]).Wq.tolist()

    def test_methods_of_an_array_of_queues_take_arrays(self) -> None:
        queues = theory.mmc([1.0, 7.0], 1, 8)
        tails = queues.wait_tail(np.array([[0.0], [1.0], [2.0]]))
        assert tails.shape == (3, 2)
        assert tails[2, 1] == theory.mmc(7.0, 1, 8).wait_tail(2.0)

    def test_methods_keep_laws_and_regions(self) -> None:
        queues = theory.mmcd(9.6, 1, 8, [0.5, 1])
        assert queues.wait_tail(0).tolist() == [theory.mmcd(9.6, 1, 8, d).wait_tail(0) for d in (0.5, 1)]

    def test_scalars_stay_floats(self) -> None:
        assert type(theory.erlang_b(3, 2.0)) is float
        assert all(type(value) in {int, float} for value in fields(theory.mmck(9.6, 1, 8, 16)).values())
        assert type(theory.mdc(1, 2, 3).wait_tail(0.1)) is float

    def test_a_zero_dimensional_array_is_a_scalar(self) -> None:
        assert theory.erlang_b(np.array(3), np.float64(2.0)) == theory.erlang_b(3, 2.0)

    def test_nothing_gives_nothing(self) -> None:
        with pytest.raises(TheoryError, match="one element long at least"):
            theory.mmc([], 1, 1)

    def test_an_error_names_the_element(self) -> None:
        with pytest.raises(TheoryError, match="lam = 9 /s"):
            theory.mmc([1, 9], 1, 8)

    def test_a_word_is_no_number(self) -> None:
        with pytest.raises(TheoryError, match="lam = 'many' /s: must be a number"):
            theory.mmc("many", 1, 8)  # type: ignore[arg-type]
