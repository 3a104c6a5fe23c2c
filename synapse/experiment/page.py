"""A page: a question, how it is measured, what is claimed of the answer, and a figure; and whether the claims hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from synapse.experiment.interval import Interval
from synapse.experiment.lab import Lab

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synapse.telemetry.figure import TraceFigure


VAGUE = 0.25  # of what is expected: half an interval that is wider, but for the leeway, tells nothing of it


class Claim(msgspec.Struct, frozen=True):
    """What a page says of what it found.

    Attributes
    ----------
    text : str
        The claim, as a sentence.
    found : Interval
        What was measured, with its 95 % interval (NaN: a number that has none, as it is exact).
    low, high : float
        Where the truth must be, for the claim to hold.
    surely : bool
        Whether all of the interval must be there, rather than a part of it.
    widest : float
        The most that half of the interval may have: a wider one cannot tell, and the claim does not hold.
    """

    text: str
    found: Interval
    low: float = -math.inf
    high: float = math.inf
    surely: bool = True
    widest: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return bool(self.miss <= 0)  # a numpy number makes one of its own

    @property
    def miss(self) -> float:
        """By how much what was found is off where it must be, or too wide; not more than 0 if the claim holds."""
        low, high = self._ends
        half = (high - low) / 2
        if self.surely:
            low, high = high, low
        miss = max(self.low - high, low - self.high)
        return math.inf if math.isnan(miss) else max(miss, half - self.widest)

    @property
    def _ends(self) -> tuple[float, float]:
        """Of what was found: the interval's, or the number itself where it has none."""
        found = self.found
        return (found.mean, found.mean) if math.isnan(found.low) else (found.low, found.high)


def near(text: str, found: Interval | float, expected: float, within: float = 0.0) -> Claim:
    """The truth is what is expected, give or take `within`: they agree as far as the interval can tell.

    It must be able to tell: half of it is not more than `within` and a quarter of what is expected, at any size.
    """
    widest = VAGUE * abs(expected) + within
    return Claim(text, _interval(found), expected - within, expected + within, surely=False, widest=widest)


def below(text: str, found: Interval | float, bound: float) -> Claim:
    """All of the interval is below the bound."""
    return Claim(text, _interval(found), high=bound)


def above(text: str, found: Interval | float, bound: float) -> Claim:
    """All of the interval is above the bound."""
    return Claim(text, _interval(found), low=bound)


def between(text: str, found: Interval | float, low: float, high: float) -> Claim:
    """All of the interval is between the two."""
    return Claim(text, _interval(found), low, high)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A canonical study.

    Attributes
    ----------
    number : int
        Its place among the others.
    title, question : str
        What it is about.
    sources : sequence of str
        Who has shown it before.
    differs : str
        Where our model differs from the sources'.
    finding : str
        What the figure shows, in one sentence.
    advice : str
        What follows for whoever runs a live server, in one sentence.
    measure : callable
        From a `Lab`, all that the figure and the claims need.
    draw : callable
        From what was measured and an empty figure, the picture.
    claims : callable
        From what was measured, the claims.
    """

    number: int
    title: str
    question: str
    sources: Sequence[str]
    differs: str
    finding: str
    advice: str
    measure: Callable[[Lab], Any]
    draw: Callable[[Any, Figure], None]
    claims: Callable[[Any], Iterable[Claim]]

    def run(self, lab: Lab | None = None) -> Outcome:
        """Measure, and see which claims hold."""
        found = self.measure(Lab() if lab is None else lab)
        return Outcome(self, found, tuple(self.claims(found)))


class Outcome(msgspec.Struct, frozen=True):
    """What came out of a page.

    Attributes
    ----------
    page : Page
        Which.
    found : object
        What was measured.
    claims : tuple of Claim
        What is said of it.
    """

    page: Page
    found: Any
    claims: tuple[Claim, ...]

    @property
    def failed(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(claim for claim in self.claims if not claim.holds)

    def plot(self) -> TraceFigure:
        """The figure."""
        from synapse.telemetry.figure import TraceFigure

        figure = TraceFigure(figsize=(8, 4.5), dpi=110, layout="constrained")
        self.page.draw(self.found, figure)
        return figure

    def _repr_html_(self) -> str:
        import html

        cells = "".join(
            f"<tr><td>{'✓' if claim.holds else '✗'}</td><td style='text-align:left'>{html.escape(claim.text)}</td>"
            f"<td>{shown(claim.found)}</td></tr>"
            for claim in self.claims
        )
        page = self.page
        return (
            f"<h4>{html.escape(page.title)}</h4><p>{html.escape(page.question)}</p><table>{cells}</table>"
            f"<p>{html.escape(page.finding)} <b>{html.escape(page.advice)}</b></p>"
        )


def shown(found: Interval) -> str:
    """A number, with half its interval's width where it has one."""
    return number(found.mean) if math.isnan(found.low) else f"{number(found.mean)} ± {number(found.half, 2)}"


def number(value: float, digits: int = 4) -> str:
    """A number to so many digits; large ones with commas rather than a power of ten."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def _interval(found: Interval | float) -> Interval:
    return found if isinstance(found, Interval) else Interval(float(found), math.nan, math.nan, 1)
