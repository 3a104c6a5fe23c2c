"""Who knows more than whom, and who is worth asking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation.presence.clocks import Clocks, Context, dominates, upper_bound

A, B, C = (0, 1), (1, 1), (2, 1)
contexts = st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 4))


def test_a_context_dominates_one_that_knows_no_more() -> None:
    assert dominates({A: 2, B: 1}, {A: 1, B: 1})
    assert not dominates({A: 2, B: 0}, {A: 1, B: 1})


def test_one_that_knows_fewer_replicas_never_dominates() -> None:
    assert not dominates({A: 9}, {A: 1, B: 0})


def test_the_upper_bound_is_the_highest_of_each() -> None:
    assert upper_bound([{A: 2, B: 1}, {B: 3, C: 0}]) == {A: 2, B: 3, C: 0}
    assert upper_bound([]) == {}


class TestClocks:
    def test_one_who_knows_all_is_asked_alone(self) -> None:
        clocks = Clocks()
        clocks.append(A, {A: 1, B: 0})
        clocks.append(B, {A: 0, B: 1})
        assert set(clocks.contexts) == {A, B}
        clocks.append(C, {A: 1, B: 1})
        assert set(clocks.contexts) == {C}

    def test_one_who_knows_nothing_new_is_not_asked(self) -> None:
        clocks = Clocks()
        clocks.append(A, {A: 1, B: 1})
        clocks.append(B, {A: 0, B: 1})
        clocks.append(C, {})
        assert set(clocks.contexts) == {A}

    def test_one_takes_the_place_of_those_it_dominates_only(self) -> None:
        clocks = Clocks()
        clocks.append(A, {A: 1, B: 0, C: 0})
        clocks.append(B, {A: 0, B: 1, C: 0})
        clocks.append(C, {A: 0, B: 2, C: 2})
        assert set(clocks.contexts) == {A, C}

    @given(told=st.lists(st.tuples(st.sampled_from([A, B, C]), contexts)))
    def test_together_those_asked_know_all_that_anyone_does(self, told: list[tuple[tuple[int, int], Context]]) -> None:
        clocks = Clocks()
        latest: dict[tuple[int, int], Context] = {}
        for ref, context in told:
            grown = upper_bound([latest.get(ref, {}), context])
            latest[ref] = grown
            clocks.append(ref, grown)
        known = {ref: number for ref, number in upper_bound(latest.values()).items() if number}
        asked = upper_bound(clocks.contexts.values())
        assert all(asked.get(ref, 0) == number for ref, number in known.items())
