"""The help of each policy, as ``CoDel?`` shows it: whoever chooses one must be able to know what he gets."""

from __future__ import annotations

import inspect
import re

import pytest

from synapse.policies import FAMILIES, Policy
from synapse.policies.fields import annotations_of, expects

POLICIES = [cls for kinds in FAMILIES.values() for cls in kinds.values() if cls.__module__.startswith("synapse.")]
WORDS = {"": "", "s": "in s", "1/s": "per s", "bytes": "bytes"}


@pytest.mark.parametrize("cls", POLICIES, ids=lambda cls: cls.__name__)
class TestHelp:
    def test_it_says_in_a_line_what_it_does_and_then_when_it_hurts_what_it_costs_and_whence_it_comes(
        self, cls: type[Policy]
    ) -> None:
        first, text = (inspect.getdoc(cls) or "").split("\n\n", 1)
        assert first.endswith("."), "what it does"
        for word in (r"\bhurts\b", r"\bCost: \S", r"\bSource: \S"):
            assert re.search(word, text), word

    def test_it_explains_each_field_and_those_that_have_a_unit_with_their_unit(self, cls: type[Policy]) -> None:
        explained: dict[str, str] = {}
        names: list[str] = []
        for line in (inspect.getdoc(cls) or "").partition("Parameters\n----------\n")[2].splitlines():
            if not line.startswith(" "):
                names = line.split(", ")
            explained |= {name: explained.get(name, "") + line for name in names if name}
        assert [*explained] == [*cls.__struct_fields__], "no more and no less"
        for name, annotation in annotations_of(cls).items():
            unit = expects(annotation).partition(", in ")[2].partition(" or ")[0]
            assert WORDS[unit] in explained[name], f"{name}: {unit}"
