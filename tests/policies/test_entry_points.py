"""Policies of other packages."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta

from synapse.policies import (
    FAMILIES,
    Fifo,
    Policies,
    Policy,
    PolicyError,
    Unlimited,
    decode,
    encode,
    register,
)
from tests.support.curfew import install_curfew
from tests.support.node import Node


class Mine(Policy, frozen=True, tag="mine"):
    """A rate limit of someone else's."""

    family: ClassVar = "rate-limit"
    share: Annotated[float, Meta(ge=0, le=1, extra={"unit": "of all"})] = 0.5
    per: str = "agent"

    def start(self, now: float, before: object = None) -> Unlimited:
        return Unlimited()


class Elsewhere(Policy, frozen=True, tag="mine"):
    family: ClassVar = "queue"


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names what entry points there are; what was registered is forgotten afterwards."""
    for family in FAMILIES:
        monkeypatch.setitem(FAMILIES, family, dict(FAMILIES[family]))

    def install(*values: str) -> None:
        points = [importlib.metadata.EntryPoint("mine", value, "synapse.policies") for value in values]
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda group, name: [point for point in points if (point.group, point.name) == (group, name)],
        )

    return install


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves of a package that brings a policy: its module, and its metadata beside it."""
    for family in FAMILIES:
        monkeypatch.setitem(FAMILIES, family, dict(FAMILIES[family]))
    install_curfew(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "curfew_policy", raising=False)


@pytest.mark.usefixtures("distribution")
class TestAnInstalledPackage:
    def test_its_policy_is_imported_when_it_is_first_asked_for(self) -> None:
        assert "curfew_policy" not in sys.modules
        policy = decode("rate-limit", {"kind": "curfew", "until": 10.0})
        assert type(policy).__module__ == "curfew_policy"
        assert encode(policy) == {"kind": "curfew", "until": 10.0, "per": "global"}

    def test_it_guards_a_node_like_ours(self) -> None:
        policies = Policies.decode({"rate_limit": {"kind": "curfew", "until": 10.0}})
        node = Node(policies=policies)
        agent = node.agent("a")
        agent.query("q1")
        node.clock.advance(10.0)
        assert agent.refused("q2") == {"reason": "rate_limited", "policy": "curfew"}


class TestEntryPoints:
    def test_a_policy_of_another_package_is_found_by_its_kind(self, entry_point: Any) -> None:
        entry_point(f"{__name__}:Elsewhere", f"{__name__}:Mine")
        assert decode("rate-limit", {"kind": "mine", "share": 0.25}) == Mine(0.25)
        assert decode("queue", "mine") == Elsewhere()

    def test_its_errors_read_like_ours(self, entry_point: Any) -> None:
        entry_point(f"{__name__}:Mine")
        with pytest.raises(PolicyError, match="^share: must be a number >= 0 and <= 1, in of all; not 2$"):
            decode("rate-limit", {"kind": "mine", "share": 2})

    def test_it_may_be_one_of_several(self, entry_point: Any) -> None:
        entry_point(f"{__name__}:Mine")
        value = decode("rate-limit", {"kind": "all", "policies": [{"kind": "mine"}, {"kind": "unlimited"}]})
        assert value.policies == (Mine(), Unlimited())
        assert decode("rate-limit", encode(value)) == value
        assert value.start(0.0).admit(0.0)

    def test_one_that_cannot_be_loaded_is_named(self, entry_point: Any) -> None:
        entry_point("no_such_package:Mine")
        with pytest.raises(PolicyError, match=r"'mine' \(no_such_package:Mine\) cannot be loaded: No module named"):
            decode("rate-limit", "mine")

    def test_our_own_kinds_never_look_for_any(self, entry_point: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.metadata, "entry_points", None)
        assert decode("queue", "fifo") == Fifo()

    def test_one_can_be_registered_by_hand(self, entry_point: Any) -> None:
        assert register(Mine) is Mine
        assert register(Mine) is Mine
        assert decode("rate-limit", "mine") == Mine()

    def test_one_that_is_defined_again_takes_the_place_of_the_old_one(self, entry_point: Any) -> None:
        old = Mine(0.25)
        register(Mine)
        new = type(Policy)("Mine", (Policy,), {"__module__": __name__, "family": "rate-limit"}, frozen=True, tag="mine")
        assert register(new) is new
        assert type(decode("rate-limit", "mine")) is new
        assert decode("rate-limit", old) is old  # of a scenario that was there before

    def test_a_programs_own_takes_the_place_of_the_one_that_a_spawned_process_has_made_of_it(
        self, entry_point: Any
    ) -> None:
        made = [
            type(Policy)("Its", (Policy,), {"__module__": module, "family": "queue"}, frozen=True, tag="its")
            for module in ("__mp_main__", "__main__")
        ]
        for cls in made:
            register(cls)
        assert type(decode("queue", "its")) is made[1]

    def test_what_cannot_be_registered_is_told_why(self, entry_point: Any) -> None:
        class Thawed(Policy, frozen=False, tag="thawed"):
            family: ClassVar = "queue"

        class Homeless(Policy, frozen=True, tag="homeless"):
            pass

        class Taken(Policy, frozen=True, tag="fifo"):
            family: ClassVar = "queue"

        for cls, message in (
            (Thawed, "not frozen"),
            (Homeless, "family must be one of rate-limit"),
            (Taken, "there is a queue policy of the kind 'fifo' already"),
            (dict, "is no Policy"),
        ):
            with pytest.raises(TypeError, match=message):
                register(cls)  # type: ignore[type-var]
