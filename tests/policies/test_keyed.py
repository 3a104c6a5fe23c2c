"""A limit for many keys: each has its own, memory is bounded, and several are all or nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import ADMITTED, All, FixedWindow, Gate, Keyed, Rejected, TokenBucket, Unlimited


def who(agent: str = "a", key: str | None = "k", connection: int = 1) -> Any:
    return SimpleNamespace(agent=agent, key=key, connection=connection)


class TestKeyed:
    def test_each_key_has_a_limit_of_its_own(self) -> None:
        table = Keyed(TokenBucket(rate=1, burst=1), 0.0)
        assert [bool(table.admit(key, 0.0)) for key in "aabbc"] == [True, False, True, False, True]

    def test_it_never_remembers_more_than_it_may(self) -> None:
        table = Keyed(TokenBucket(rate=1, burst=1), 0.0, most=10)
        for key in range(1000):
            table.admit(key, key / 7)
            assert len(table) <= 10

    def test_who_is_idle_is_forgotten_first(self) -> None:
        """A fresh state would answer the same, so nothing is lost."""
        table = Keyed(TokenBucket(rate=1, burst=3), 0.0, most=2)
        table.admit("owes", 0.0, 3)
        table.admit("idle", 0.0, 1)
        table.admit("new", 1.5)
        assert ("owes" in table, "idle" in table, table.forgotten) == (True, False, 0)

    def test_if_all_owe_the_one_that_asked_least_recently_is_forgotten_and_counted(self) -> None:
        table = Keyed(TokenBucket(rate=1, burst=1), 0.0, most=2)
        for key in ("first", "second", "first", "third"):
            table.admit(key, 0.0)
        assert ("first" in table, "second" in table, table.forgotten) == (True, False, 1)

    def test_whoever_was_forgotten_starts_afresh(self) -> None:
        table = Keyed(TokenBucket(rate=1, burst=1), 0.0, most=1)
        assert table.admit("a", 0.0)
        assert table.admit("b", 0.0)
        assert table.admit("a", 0.0)

    @given(asks=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.5)), max_size=100), most=st.integers(6, 8))
    def test_with_room_for_all_it_decides_as_one_state_a_key(self, asks: list[tuple[int, float]], most: int) -> None:
        policy, now = TokenBucket(rate=1, burst=2), 0.0
        table, apart = Keyed(policy, now, most), {key: policy.start(now) for key in range(6)}
        for key, gap in asks:
            now += gap
            assert table.admit(key, now) == apart[key].admit(now)


class TestGate:
    @pytest.mark.parametrize(
        ("per", "expected"),
        [
            ("agent", [True, False, True, False]),
            ("key", [True, True, False, False]),
            ("connection", [True, True, True, False]),
            ("global", [True, False, False, False]),
        ],
    )
    def test_it_is_keyed_as_the_policy_says(self, per: Any, expected: list[bool]) -> None:
        gate = Gate(TokenBucket(rate=1, burst=1, per=per), 0.0)
        asks = [who("a", "k", 1), who("a", "other", 2), who("b", "k", 3), who("b", "other", 3)]
        assert [bool(gate.admit(0.0, ask)) for ask in asks] == expected

    def test_who_has_no_key_shares_one(self) -> None:
        gate = Gate(TokenBucket(rate=1, burst=1, per="key"), 0.0)
        assert gate.admit(0.0, who("a", None))
        assert not gate.admit(0.0, who("b", None))

    def test_several_limits_may_be_keyed_differently_and_a_refusal_spends_in_none(self) -> None:
        gate = Gate(All((TokenBucket(rate=1, burst=5, per="key"), TokenBucket(rate=0.5, burst=1, per="agent"))), 0.0)
        assert gate.admit(0.0, who("a"))
        for _ in range(10):
            assert gate.admit(0.0, who("a")) == Rejected(2.0, "token-bucket")
        for other in "bcde":
            assert gate.admit(0.0, who(other))
        assert gate.admit(0.0, who("f")) == Rejected(1.0, "token-bucket")

    def test_no_limit_keeps_nothing(self) -> None:
        gate = Gate(Unlimited(), 0.0)
        assert gate.admit(0.0, object()) is ADMITTED
        assert gate.tables == ()
        assert Gate(All((Unlimited(), TokenBucket(1, 1))), 0.0).admit(0.0, who()) is ADMITTED

    def test_it_carries_on_where_kind_and_keys_are_the_same(self) -> None:
        old = Gate(All((TokenBucket(rate=1, burst=1), FixedWindow(limit=2, window=10, per="global"))), 0.0)
        assert old.admit(0.0, who("a"))
        tighter = Gate(
            All((FixedWindow(limit=2, window=10, per="global"), TokenBucket(rate=0.1, burst=1))), 0.0, before=old
        )
        assert tighter.admit(0.0, who("a")) == Rejected(10.0, "token-bucket")
        assert tighter.admit(0.0, who("b"))
        assert tighter.admit(0.0, who("c")) == Rejected(10.0, "fixed-window")

    def test_it_begins_afresh_where_they_differ(self) -> None:
        old = Gate(TokenBucket(rate=1, burst=1), 0.0)
        assert old.admit(0.0, who("a"))
        assert Gate(TokenBucket(rate=1, burst=1, per="key"), 0.0, before=old).admit(0.0, who("a"))
