"""The page of all studies: it shows what they left, and the one in the repository is of the figures beside it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from PIL import Image

from synapse.experiment.library import pages
from validation.gallery import HERE, Claimed, Told, main, page, shrink, told

FIGURES = HERE / "figures"
MOST = 80_000  # bytes of a picture


def made(name: str, number: int, *holds: bool) -> Told:
    claims = tuple(Claimed(f"Claim {place}.", each) for place, each in enumerate(holds))
    return Told(name, number, name.title(), f"Why {name}?", f"{name} found.", f"Do {name}.", "A bit.", ("One", "Two"),
                0.5, 3, claims)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    figures = tmp_path / "pictures"
    figures.mkdir()
    for study in (made("late", 12, True, False, False), made("early", 3, True, True)):
        (figures / f"{study.name}.json").write_bytes(msgspec.json.encode(study))
        Image.effect_noise((300, 200), 90).convert("RGBA").save(figures / f"{study.name}.png")
    return figures


def test_each_study_is_shown_in_its_order(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--figures", str(folder), "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert "2 studies, 5 claims" in done.output
    shown = (tmp_path / "page.md").read_text()
    assert shown.index("## 3. Early") < shown.index("## 12. Late")
    for words in (
        "Why early?",
        "![Early](pictures/early.png)",
        "early found.",
        "**Do early.**",
        "[Late](#late)",
        "- Two",
    ):
        assert words in shown


def test_claims_are_counted_and_those_that_do_not_hold_are_not_hidden(folder: Path) -> None:
    shown = page(told(folder), "pictures")
    assert "[`early.py`](early.py): 2 claims checked, all hold (size 0.5, seed 3). A bit." in shown
    assert "[`late.py`](late.py): 3 claims checked, **2 do not hold** (size 0.5, seed 3)." in shown


def test_it_begins_with_how_to_run_and_says_who_made_it() -> None:
    shown = page([], "figures")
    assert shown.splitlines()[2].strip().startswith("synapse study")
    assert "`scripts/gallery` has made this page" in shown


def test_pictures_are_made_small_once(folder: Path) -> None:
    picture = folder / "late.png"
    before = picture.stat().st_size
    shrink(picture)
    assert picture.stat().st_size < before
    os.utime(picture, (1, 1))
    shrink(picture)
    assert picture.stat().st_mtime == 1


def test_small_pictures_keep_their_colours(tmp_path: Path) -> None:
    picture, line = tmp_path / "line.png", (213, 94, 0)
    image = Image.effect_noise((300, 200), 90).convert("RGBA")
    image.putpixel((7, 7), (*line, 255))
    image.save(picture)
    shrink(picture)
    with Image.open(picture) as small:
        shown = small.convert("RGB").getpixel((7, 7))
    assert isinstance(shown, tuple)
    assert max(abs(one - other) for one, other in zip(shown, line, strict=True)) <= 2


def test_the_page_in_the_repository_is_of_its_figures() -> None:
    assert (HERE / "README.md").read_text() == page(told(FIGURES), "figures"), "run scripts/gallery"


def test_the_figures_in_the_repository_are_small_and_of_studies_that_say_the_same() -> None:
    studies, shown = pages(), told(FIGURES)
    assert {study.name for study in shown} == set(studies)
    for study in shown:
        assert (FIGURES / f"{study.name}.png").stat().st_size <= MOST
        now = studies[study.name]
        for field in ("number", "title", "question", "finding", "advice", "differs", "sources"):
            assert getattr(study, field) == getattr(now, field), f"run scripts/gallery {study.name}"
