"""The modules that pages get, and that they are all in the package."""

from __future__ import annotations

import re

import pytest

from synapse.widgets import Dashboard, Flow, Gauges, Inspector, Roster
from synapse.widgets.bundle import FOLDER, module
from synapse.widgets.window import Window

VIEWS = [Dashboard, Flow, Gauges, Inspector, Roster]


@pytest.mark.parametrize("view", VIEWS)
def test_a_module_has_all_that_it_needs_each_once_and_one_default_export(view: type[Window]) -> None:
    text = module(view._view)
    parts = re.findall(r"^const \$(\w+) = ", text, re.MULTILINE)
    assert len(parts) == len(set(parts))
    used = set(re.findall(r"= \$(\w+);", text))
    assert used <= set(parts)
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == [
        f"export default $widget.widget(${view._view}.{view._view});"
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_module_needs_comes_before_it(view: type[Window]) -> None:
    text = module(view._view)
    for needed in re.finditer(r"= \$(\w+);", text):
        assert text.index(f"const ${needed[1]} = (") < needed.start()


def test_every_file_belongs_to_some_widget() -> None:
    all_modules = module("dashboard")
    for file in FOLDER.glob("*.js"):
        assert f"const ${file.stem} = (" in all_modules, file.name


def test_no_file_reaches_into_the_network_or_makes_html_of_text() -> None:
    """What agents say is shown as text, whatever it is."""
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8")
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "http://"):
            assert word not in text, (file.name, word)
