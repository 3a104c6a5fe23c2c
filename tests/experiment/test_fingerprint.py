"""Fingerprints: the same in any process, and another after an edit of whatever counts."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from synapse.experiment.fingerprint import fingerprint

BODY = dedent("""
    import math
    from msgspec import field
    from synapse.policies import Policy

    BOUND = {"low": 1, "high": {"a", "b", "c", "d"}}

    def helper(x):
        return math.sqrt(x) + 1

    class State:
        __slots__ = ("policy",)
        step = 0.5
        def admit(self, now):
            return [helper(now * factor) for factor in (1, 2)] in {"one", "two", "three"}

    class Mine(Policy, frozen=True, tag="mine"):
        "What it does."
        family = "queue"
        share: float = 0.25
        names: tuple[str, ...] = ()
        table: dict[str, int] = field(default_factory=dict)

        def start(self, now):
            return State(), BOUND

        @property
        def often(self):
            return Mine(2 * self.share)

        @staticmethod
        def fixed():
            return 7
""")


def defined(source: str = BODY) -> str:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return fingerprint(namespace["Mine"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ 1", "+ 2"),
        ("(1, 2)", "(1, 3)"),
        ("step = 0.5", "step = 1"),
        ('"low": 1', '"low": 1.0'),
        ("share: float", "share: int"),
        ("= 0.25", "= 0.5"),
        ("= field(default_factory=dict)", "= field(default_factory=dict, name='t')"),
        ('tag="mine"', 'tag="its"'),
        ('"queue"', '"retry"'),
        ("return Mine(2 *", "return Mine(3 *"),
        ("return 7", "return 8"),
        ("math.sqrt", "math.cbrt"),
    ],
)
def test_an_edit_makes_another(old: str, new: str) -> None:
    assert BODY.count(old) == 1
    assert defined(BODY.replace(old, new)) != defined()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: "# a comment\n\n" + body, id="a comment"),
        pytest.param(lambda body: body + "\nshare = low = 5\ndef other(): return 3\n", id="what it does not use"),
        pytest.param(lambda body: body.replace("What it does.", "It does."), id="a docstring of the class"),
    ],
)
def test_what_changes_nothing_does_not(edit: Any) -> None:
    assert defined(edit(BODY)) == defined()


def test_it_is_the_same_in_any_process() -> None:
    program = f"from tests.experiment.test_fingerprint import defined\nprint(defined())\n{BODY}\n"
    program += "from synapse.experiment.fingerprint import fingerprint\nprint(fingerprint(Mine))"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert told == [[defined(), defined()]] * 2
