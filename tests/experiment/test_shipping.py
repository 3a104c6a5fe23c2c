"""Shipping: what a notebook or another package defines is as it was on the other side."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest

from synapse.experiment import shipping
from synapse.experiment.shipping import Parcel, dumps, foreign, loads
from synapse.policies import FAMILIES, All, Fifo, Policy, TokenBucket, decode, register
from synapse.simulation import Scenario


@pytest.fixture(autouse=True)
def families(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    for family in FAMILIES:
        monkeypatch.setitem(FAMILIES, family, dict(FAMILIES[family]))
    monkeypatch.setattr(shipping, "_sent", {})
    monkeypatch.setattr(shipping, "_made", {})


def elsewhere(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What another process makes of it, which has defined nothing."""
    monkeypatch.setattr(shipping, "_sent", {})
    FAMILIES["rate-limit"].pop("mine", None)
    return loads(data)


def mine() -> Any:
    class Mine(Policy, frozen=True, tag="mine", kw_only=True):
        """Of a test."""

        family: ClassVar = "rate-limit"
        per: ClassVar = "global"
        share: float
        names: tuple[str, ...] = ("a",)
        more: dict[str, int] = msgspec.field(default_factory=dict, name="most")

        def start(self, now: float, before: object = None) -> Any:
            return self

        @property
        def twice(self) -> Any:
            return Mine(share=2 * self.share)

        @classmethod
        def whole(cls) -> Any:
            return cls(share=1)

    return Mine


def test_here_a_class_stays_itself() -> None:
    cls = mine()
    assert loads(dumps([cls, cls(share=1)])) == [cls, cls(share=1)]


def test_a_parcel_is_what_was_put_in_here_and_its_like_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    value = register(mine())(share=0.5)
    parcel = Parcel(value)
    assert parcel.open() is value
    there = elsewhere(pickle.dumps(pickle.loads(pickle.dumps(parcel))), monkeypatch).open()
    assert type(there) is not type(value)
    assert there.share == 0.5


def test_elsewhere_it_is_defined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = register(mine())
    data = dumps((cls, cls(share=0.5)))
    other, value = elsewhere(data, monkeypatch)
    assert other is not cls
    assert (other.__doc__, other.__qualname__, other.__module__) == (cls.__doc__, cls.__qualname__, cls.__module__)
    assert msgspec.structs.fields(other) == msgspec.structs.fields(cls)
    assert value == other(share=0.5, names=("a",), more={})
    assert type(value.twice) is type(other.whole()) is other
    assert value.twice == other.whole()
    assert decode("rate-limit", {"kind": "mine", "share": 0.5}) == value
    assert loads(data)[0] is other
    with pytest.raises(TypeError, match="Extra positional"):
        other(0.5)


def test_one_that_is_not_registered_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(dumps(mine()), monkeypatch)
    assert "mine" not in FAMILIES["rate-limit"]


def test_one_of_a_package_is_registered_where_it_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("somebodys")
    exec(
        "from synapse.policies import Policy\n"
        "class Mine(Policy, frozen=True, tag='mine'):\n    family = 'rate-limit'\n    share: float = 1",
        vars(package),
    )
    monkeypatch.setitem(sys.modules, "somebodys", package)
    cls = register(package.Mine)
    value = elsewhere(dumps(cls(0.5)), monkeypatch)
    assert type(value) is cls
    assert decode("rate-limit", {"kind": "mine", "share": 0.5}) == value


def test_foreign_policies_are_found_wherever_a_scenario_has_them() -> None:
    cls = register(mine())
    assert foreign(Scenario(duration=5, warmup=1, node={"queue": Fifo(), "rate_limit": TokenBucket(5, 10)})) == []
    several = All((TokenBucket(5, 10), cls(share=1)))
    assert foreign(Scenario(duration=5, warmup=1, node={"rate_limit": several})) == [cls]
