"""``synapse study``: pages in; tables, figures, and an exit code out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synapse.cli import main
from synapse.experiment.library import pages

STUDY = """
from synapse.experiment import Interval, Page, above, near

def draw(found, figure):
    figure.add_subplot().plot([0, found])

PAGE = Page(
    number=3, title="Halves", question="How much is a half?", sources=("Euclid",), differs="In nothing.",
    finding="It is a half.", advice="Take it.",
    measure=lambda lab: lab.size * lab.seed,
    draw=draw,
    claims=lambda found: [
        near("It is a half.", Interval(found, found - 0.125, found + 0.125, 9), 0.5),
        above("It is something.", found, 0.0),
    ],
)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "halves.py"
    path.write_text(STUDY)
    return path


def study(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["study", *map(str, arguments)], env={"COLUMNS": "120"})


def test_it_lists_what_there_is() -> None:
    listed = study("--list")
    assert listed.exit_code == 0
    for name, page in pages().items():
        assert name in listed.output
        assert page.question[:20] in listed.output


def test_it_shows_what_is_claimed_and_found_and_advised(file: Path, tmp_path: Path) -> None:
    shown = study(file, "--size", "0.5", "--check", "--out", tmp_path)
    assert shown.exit_code == 0, shown.output
    for words in ("How much is a half?", "0.5 ± 0.12", "It is something.", "Take it.", "Euclid", "In nothing."):
        assert words in shown.output
    assert "✗" not in shown.output


def test_it_keeps_the_figure_and_what_came_out(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "some" / "where"
    assert study(file, "--size", "0.25", "--seed", "2", "--out", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["halves.json", "halves.png"]
    assert (out / "halves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "halves.json").read_text()) == {
        "name": "halves",
        "number": 3,
        "title": "Halves",
        "question": "How much is a half?",
        "finding": "It is a half.",
        "advice": "Take it.",
        "differs": "In nothing.",
        "sources": ["Euclid"],
        "size": 0.25,
        "seed": 2,
        "claims": [
            {"text": "It is a half.", "holds": True, "found": "0.5 ± 0.12", "must_be": "0.5"},
            {"text": "It is something.", "holds": True, "found": "0.5", "must_be": "> 0"},
        ],
    }


def test_a_claim_that_does_not_hold_is_named_with_how_far_it_is_missed(file: Path, tmp_path: Path) -> None:
    checked = study(file, "--size", "0.25", "--check", "--out", tmp_path)
    assert checked.exit_code == 1
    assert "halves: does not hold: It is a half. (missed by 0.125)" in checked.stderr
    assert "It is something" not in checked.stderr
    assert json.loads((tmp_path / "halves.json").read_text())["claims"][0]["holds"] is False
    assert checked.stderr == study(file, "--size", "0.25", "--out", tmp_path).stderr


def test_without_check_it_is_told_but_is_no_failure(file: Path, tmp_path: Path) -> None:
    told = study(file, "--size", "0.25", "--out", tmp_path)
    assert told.exit_code == 0
    assert "does not hold" in told.stderr


def test_one_that_comes_with_synapse_is_run_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, number in (("late", 9), ("early", 2)):
        (shelf / f"{name}.py").write_text(STUDY.replace("number=3", f"number={number}").replace("Halves", name.title()))
    monkeypatch.setattr("synapse.experiment.library.shelf", lambda: shelf)
    assert "Late" in study("late", "--out", tmp_path).output
    both = study("--all", "--size", "0.5", "--check", "--out", tmp_path)
    assert both.exit_code == 0, both.output
    assert both.output.index("Early") < both.output.index("Late")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prioritys"], "study: 'prioritys' is none. Did you mean 'priorities'?"),
        (["./none.py"], "study: there is no file none.py"),
        ([], "name a study, or say --all; --list shows which there are"),
        (["priorities", "--size", "0"], "0.0 is not in the range x>0"),
    ],
)
def test_what_cannot_be_run_is_said(arguments: list[str], words: str) -> None:
    said = study(*arguments)
    assert said.exit_code in (1, 2)
    assert words in said.output
