"""How results show themselves."""

from __future__ import annotations

import dataclasses
import re

import pytest

from synapse import theory
from synapse.theory.result import VOCABULARY, Result


class TestResult:
    def test_it_reads_like_the_call_with_the_answers(self) -> None:
        assert repr(theory.mg1(0.5, 1, 0.25)) == (
            "MG1(lam=0.5, mu=1, scv=0.25, utilisation=0.5, L=0.8125, Lq=0.3125, W=1.625, Wq=0.625)"
        )

    def test_arrays_are_shown_in_short(self) -> None:
        assert "..." in repr(theory.mmc([i / 200 for i in range(1, 200)], 1, 1))

    def test_a_notebook_shows_units_and_meanings(self) -> None:
        page = theory.mmc(7.2, 1, 8)._repr_html_()
        assert "mean wait in the queue" in page
        assert re.search(r"Wq</th><td[^>]*>0.876916</td><td>s</td>", page)

    def test_a_notebook_shows_arrays_a_row_each(self) -> None:
        page = theory.mmc([[1.0], [2.0]], 1, [3, 4])._repr_html_()
        assert page.count("<tr>") == 1 + 4
        assert "<th>Wq (s)</th>" in page

    def test_a_notebook_shows_the_first_of_many(self) -> None:
        page = theory.mmc([i / 200 for i in range(1, 200)], 1, 1)._repr_html_()
        assert "187 more" in page

    def test_classes_are_rows(self) -> None:
        assert theory.cobham([0.1, 0.2], 1)._repr_html_().count("<tr>") == 3

    def test_laws_are_escaped(self) -> None:
        class Odd(theory.Exponential):
            __slots__ = ()

            def __repr__(self) -> str:
                return "<script>"

        assert "<script>" not in theory.mmcg(1, 1, 1, Odd(1.0))._repr_html_()

    def test_it_does_not_change(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            theory.mmc(1, 2, 1).Wq = 0  # type: ignore[misc]

    @pytest.mark.parametrize("kind", Result.__subclasses__(), ids=lambda kind: kind.__name__)
    def test_every_field_has_a_unit_and_a_meaning(self, kind: type[Result]) -> None:
        names = {field.name for field in dataclasses.fields(kind)}
        assert names <= VOCABULARY.keys()
        documented = " ".join(re.findall(r"^    (\w.*)$", kind.__doc__ or "", re.MULTILINE))
        assert all(re.search(rf"\b{name}\b", documented) for name in names)
