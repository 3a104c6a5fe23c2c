"""Little's law."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, little
from tests.theory.few import given

amounts = st.floats(1e-3, 1e3)


class TestLittle:
    @given(rate=amounts, time=amounts)
    def test_any_two_give_the_third(self, rate: float, time: float) -> None:
        number = little(rate=rate, time=time)
        assert little(number=number, time=time) == pytest.approx(rate)
        assert little(number=number, rate=rate) == pytest.approx(time)

    @pytest.mark.parametrize("given_", [{}, {"rate": 1}, {"rate": 1, "time": 1, "number": 1}])
    def test_it_needs_two_of_the_three(self, given_: dict[str, float]) -> None:
        with pytest.raises(TheoryError, match="exactly one of number, rate and time"):
            little(**given_)
