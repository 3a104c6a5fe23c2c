"""The room itself: its examples are true, and it imports nothing of the others."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

from synapse import theory

MODULES = [theory.__name__, *(f"{theory.__name__}.{module.name}" for module in pkgutil.iter_modules(theory.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_its_examples_are_true(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert not failures


def test_every_public_formula_has_an_example() -> None:
    formulas = [getattr(theory, name) for name in theory.__all__ if name[0].islower()]
    assert [formula.__name__ for formula in formulas if ">>>" not in formula.__doc__] == []


@pytest.mark.parametrize("name", MODULES)
def test_it_imports_numpy_and_scipy_and_nothing_else(name: str) -> None:
    source = Path(importlib.import_module(name).__file__ or "").read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    ours = {module for module in imported if module.startswith("synapse")}
    assert all(module.startswith("synapse.theory") for module in ours)
    assert {module.partition(".")[0] for module in imported - ours} <= {"numpy", "scipy", *sys.stdlib_module_names}
