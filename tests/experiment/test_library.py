"""Where pages are found, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.experiment import Lab, StudyError
from synapse.experiment.library import find, load, pages, shelf
from tests.support.pool import pool_is_put_away  # noqa: F401

ROOT = Path(__file__).parents[2]
GOOD = """
from synapse.experiment import Page, near

OURS = 40

def add(point, seed, rep):
    return point + OURS + 0 * (seed + rep)

PAGE = Page(
    number=1, title="", question="", sources=(), differs="", finding="", advice="",
    measure=lambda lab: lab.repeat(add, [1, 2], 3),
    draw=lambda found, figure: None,
    claims=lambda found: [near("Forty more.", found[1][2], 42)],
)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my_study.py"


def test_all_in_the_checkout_are_there_in_their_order() -> None:
    assert shelf() == ROOT / "simulations"
    found = pages()
    assert set(found) == {file.stem for file in (ROOT / "simulations").glob("*.py")}
    numbers = [page.number for page in found.values()]
    assert numbers == sorted(set(numbers))


def test_one_is_found_by_its_name() -> None:
    name, page = find("priorities")
    assert (name, page.title) == ("priorities", "Priorities")


def test_one_is_found_at_a_path_and_its_functions_run_in_other_processes(file: Path) -> None:
    file.write_text(GOOD)
    name, page = find(str(file))
    assert name == "my_study"
    assert page.run(Lab()).failed == ()


def test_a_name_like_another_is_told_which() -> None:
    with pytest.raises(StudyError, match="'prioritys' is none. Did you mean 'priorities'?"):
        find("prioritys")


def test_a_name_like_no_other_is_told_what_there_is() -> None:
    with pytest.raises(StudyError, match=r"'xyzzy' is none. There are .*priorities.*; or a path that ends with .py"):
        find("xyzzy")


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(StudyError, match=r"there is no file .*my_study.py"):
        find(str(file))


@pytest.mark.parametrize("text", ["", "PAGE = 3", "page = None"])
def test_a_file_without_a_page_is_none(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(StudyError, match=r"my_study.py has no PAGE that is a synapse.experiment.Page"):
        load(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "my_study.py fails: ZeroDivisionError: division by zero"),
        ("def", "my_study.py fails: SyntaxError: invalid syntax"),
        ("import no_such_module", "my_study.py fails: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_file_that_fails_is_told_how(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(StudyError, match=words):
        load(file)
