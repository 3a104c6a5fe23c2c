"""What `scripts/validate` runs beside the cases of `test_exact`: it tells right from wrong, and shows both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from synapse.experiment import Lab, Page, above
from validation import __main__ as command
from validation.cases import Exact, battery
from validation.checks import Check, chance
from validation.metastable import Pulse, recovered


@pytest.mark.parametrize(
    ("load", "aware", "comes_back"),
    [(0.2, False, True), (0.26, False, False), (0.26, True, True)],
    ids=["below a quarter", "above", "above, the server knowing"],
)
def test_a_server_stays_down_after_a_pulse_unless_it_knows_who_has_left(
    load: float, aware: bool, comes_back: bool
) -> None:
    assert recovered(Pulse(load, 100, aware, 0), 1, 0) is comes_back


def test_too_few_inside_are_implausible_and_a_few_outside_are_not() -> None:
    inside, outside = (Check(battery()[0], "Wq", Exact(1.0), mean, 0.1, 10) for mean in (1.0, 2.0))
    assert chance([inside] * 94 + [outside] * 6) > 0.3
    assert chance([inside] * 80 + [outside] * 20) < 1e-6


def test_it_prints_each_number_beside_the_exact_one() -> None:
    options = ["--only", "M/M/c/K c=1 K=1 λ=0.8", "--replications", "4", "--arrivals", "2000", "--jobs", "1"]
    command = [sys.executable, "-m", "validation", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "0.444444" in done.stdout
    assert "of 2 inside their 95 % CI" in done.stdout


def test_a_study_whose_claim_does_not_hold_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(
        number=1, title="", question="", sources=(), differs="", finding="", advice="",
        measure=lambda lab: lab.size,
        draw=lambda found, figure: None,
        claims=lambda found: [above("It is above a half.", found, 0.5), above("It is above 1.", found, 1.0)],
    )  # fmt: skip
    monkeypatch.setattr(command, "pages", lambda: {"sizes": page})
    console = Console(quiet=True)
    assert command.check_studies(console, Lab(2)) == []
    assert command.check_studies(console, Lab(0.75)) == ["sizes: does not hold: It is above 1. (missed by 0.25)"]
