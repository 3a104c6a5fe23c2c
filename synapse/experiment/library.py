"""The library: where the canonical studies are, each a Python file with a `PAGE`."""

from __future__ import annotations

import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]

import synapse
from synapse.experiment.errors import StudyError
from synapse.experiment.page import Page

NAME = "simulations"


def shelf() -> Path:
    """The folder of those that come with Synapse: in the package, or beside it in a checkout.

    Raises
    ------
    StudyError
        If there is none.
    """
    package = Path(synapse.__file__).parent
    for folder in (package / NAME, package.parent / NAME):
        if folder.is_dir():
            return folder
    raise StudyError("study", f"those that come with Synapse are not installed: there is no {package / NAME}")


def pages() -> dict[str, Page]:
    """All that come with Synapse by name, in their order."""
    loaded = {file.stem: load(file) for file in shelf().glob("*.py")}
    return dict(sorted(loaded.items(), key=lambda item: item[1].number))


def find(name: str) -> tuple[str, Page]:
    """A page and its name: of one that comes with Synapse, or of the file at a path.

    Raises
    ------
    StudyError
        If there is none.
    """
    if name.endswith(".py"):
        return Path(name).stem, load(Path(name))
    file = shelf() / f"{name}.py"
    if file.is_file():
        return name, load(file)
    there = sorted(file.stem for file in shelf().glob("*.py"))
    close = get_close_matches(name, there, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(there)}; or a path that ends with .py"
    raise StudyError("study", f"{name!r} is none. {hint}")


def load(file: Path) -> Page:
    """The `PAGE` of a file.

    Raises
    ------
    StudyError
        If it has none.
    """
    if not file.is_file():
        raise StudyError("study", f"there is no file {file}")
    name = f"synapse_page_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise StudyError("study", f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    cloudpickle.register_pickle_by_value(module)  # workers have no such module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise StudyError("study", f"{file} fails: {type(error).__name__}: {error}") from error
    page = getattr(module, "PAGE", None)
    if not isinstance(page, Page):
        raise StudyError("study", f"{file} has no PAGE that is a synapse.experiment.Page")
    return page
