"""Claims, and pages that make them: what holds, by how much what does not is missed, and how it is shown."""

from __future__ import annotations

import math
from typing import Any

import pytest

from synapse.experiment import Claim, Interval, Lab, Page, above, below, between, near
from synapse.experiment.page import number, shown
from tests.support.inline import Inline


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 10)


class TestNear:
    """The truth may be what is expected."""

    @pytest.mark.parametrize(
        ("found", "holds"),
        [((0.9, 1.2), True), ((1.05, 1.2), True), ((1.1, 1.2), True), ((1.11, 1.2), False), ((0.5, 0.89), False)],
    )
    def test_it_holds_if_the_interval_touches_what_is_allowed(self, found: tuple[float, float], holds: bool) -> None:
        assert near("", interval(*found), 1.0, 0.1).holds is holds

    def test_without_leeway_the_interval_must_have_the_number_itself(self) -> None:
        assert near("", interval(0.9, 1.1), 1.0).holds
        assert not near("", interval(1.01, 1.1), 1.0).holds

    def test_a_number_without_an_interval_must_be_there_itself(self) -> None:
        assert near("", 1.1, 1.0, 0.25).holds
        assert not near("", 1.5, 1.0, 0.25).holds

    def test_the_miss_is_how_far_the_nearer_end_is_off(self) -> None:
        assert near("", interval(1.25, 1.75), 1.0, 0.125).miss == 0.125
        assert near("", interval(0.25, 0.5), 1.0, 0.125).miss == 0.375
        assert near("", 3.0, 1.0).miss == 2.0

    @pytest.mark.parametrize("expected", [1.0, -1.0])
    def test_an_interval_that_is_too_wide_to_tell_does_not_hold(self, expected: float) -> None:
        wide, wider = interval(expected - 0.375, expected + 0.375), interval(expected - 0.5, expected + 0.5)
        assert near("", wide, expected, 0.125).holds  # a quarter of what is expected, and the leeway
        assert not near("", wider, expected, 0.125).holds
        assert near("", wider, expected, 0.125).miss == 0.125

    def test_of_nothing_an_interval_may_be_as_wide_as_the_leeway(self) -> None:
        assert near("", interval(-0.25, 0.25), 0.0, 0.25).holds
        assert not near("", interval(-0.5, 0.25), 0.0, 0.25).holds


class TestBounds:
    """All of the interval is there: it is sure."""

    def test_below_is_all_of_it(self) -> None:
        assert below("", interval(0.5, 1.0), 1.0).holds
        assert not below("", interval(0.5, 1.25), 1.0).holds
        assert below("", interval(0.5, 1.25), 1.0).miss == 0.25

    def test_above_is_all_of_it(self) -> None:
        assert above("", interval(1.0, 2.0), 1.0).holds
        assert not above("", interval(0.75, 2.0), 1.0).holds
        assert above("", interval(0.75, 2.0), 1.0).miss == 0.25

    def test_between_is_all_of_it(self) -> None:
        assert between("", interval(1.0, 2.0), 1.0, 2.0).holds
        assert between("", interval(0.5, 1.5), 1.0, 2.0).miss == 0.5
        assert between("", interval(1.5, 2.25), 1.0, 2.0).miss == 0.25
        assert between("", interval(0.5, 2.75), 1.0, 2.0).miss == 0.75  # the worse of both

    def test_a_number_without_an_interval_is_its_own_ends(self) -> None:
        assert below("", 0.5, 1.0).holds
        assert not above("", 0.5, 1.0).holds


@pytest.mark.parametrize("claim", [near("", math.nan, 1.0, 9.0), below("", math.nan, 1.0), above("", math.nan, 1.0)])
def test_what_could_not_be_measured_holds_nothing(claim: Claim) -> None:
    assert not claim.holds
    assert claim.miss == math.inf


def test_infinity_is_found_where_it_belongs() -> None:
    assert above("", math.inf, 5.0).holds
    assert not near("", math.inf, 5.0).holds


def test_numbers_are_shown_with_their_interval_and_without_powers_of_ten() -> None:
    assert shown(interval(0.5, 0.75)) == "0.625 ± 0.12"
    assert shown(Interval(3.0, math.nan, math.nan, 1)) == "3"
    assert shown(interval(322_000, 325_000)) == "323,500 ± 1,500"
    assert number(1e-7) == "1e-07"
    assert number(math.inf) == "inf"


def draw(found: Any, figure: Any) -> None:
    figure.add_subplot().plot([0, found])


PAGE = Page(
    number=1,
    title="Less < more",
    question="Which is less?",
    sources=(),
    differs="",
    finding="One is.",
    advice="Take two.",
    measure=lambda lab: float(lab.scaled(8)),
    draw=draw,
    claims=lambda found: [below("It is less.", found, 5.0), above("It is more.", found, 1.0)],
)


class TestPage:
    def test_what_is_measured_is_held_against_the_claims(self) -> None:
        outcome = PAGE.run(Lab(0.5, executor=Inline()))
        assert outcome.found == 4.0
        assert [claim.holds for claim in outcome.claims] == [True, True]
        assert outcome.failed == ()

    def test_without_a_lab_it_is_measured_at_full_size(self) -> None:
        outcome = PAGE.run()
        assert outcome.found == 8.0
        assert [claim.text for claim in outcome.failed] == ["It is less."]

    def test_its_figure_is_drawn_of_what_was_found(self) -> None:
        (axes,) = PAGE.run(Lab(0.5)).plot().axes
        assert list(axes.lines[0].get_ydata()) == [0, 4.0]

    def test_a_notebook_shows_the_claims_and_the_text_as_text(self) -> None:
        shown = PAGE.run()._repr_html_()
        assert "Less &lt; more" in shown
        assert shown.index("✗") < shown.index("It is less.") < shown.index("✓") < shown.index("It is more.")
        assert "<b>Take two.</b>" in shown
