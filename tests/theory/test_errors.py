"""The one error of the room."""

from __future__ import annotations

import pickle

import pytest

from synapse.theory import TheoryError, mmc


class TestTheoryError:
    def test_it_says_what_was_given_and_what_is_allowed(self) -> None:
        with pytest.raises(TheoryError) as refused:
            mmc(12, 1, 10)
        error = refused.value
        assert (error.argument, error.value, error.unit) == ("lam", 12, "/s")
        assert str(error) == "lam = 12 /s: must be below c·mu = 10 /s, or the queue grows without bound"

    def test_it_is_a_value_error(self) -> None:
        assert issubclass(TheoryError, ValueError)

    def test_it_survives_the_way_back_from_another_process(self) -> None:
        error = TheoryError("c", -1, "servers", "positive")
        assert str(pickle.loads(pickle.dumps(error))) == str(error) == "c = -1 servers: must be positive"
