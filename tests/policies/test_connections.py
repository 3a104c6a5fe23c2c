"""Bounds on connections: who may come, who may not, and that places are given back."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import ADMITTED, Connections, Rejected


def test_there_are_so_many_places_in_total() -> None:
    state = Connections(total=2).start(0.0)
    assert [bool(state.admit(0.0)) for _ in range(3)] == [True, True, False]
    assert state.admit(0.0) == Rejected(None, "connections.total")
    state.release()
    assert state.admit(0.0) is ADMITTED


def test_and_so_many_with_one_key() -> None:
    state = Connections(per_key=1).start(0.0)
    assert state.admit(0.0, "k")
    assert state.admit(0.0, "k") == Rejected(None, "connections.per_key")
    assert state.admit(0.0, "other")
    state.release("k")
    assert state.admit(0.0, "k")


def test_who_has_no_key_is_counted_in_total_only() -> None:
    state = Connections(per_key=1, total=3).start(0.0)
    assert [bool(state.admit(0.0)) for _ in range(4)] == [True, True, True, False]


def test_and_so_many_of_one_agent() -> None:
    state = Connections(per_agent=1).start(0.0)
    assert state.admit_agent("a")
    assert state.admit_agent("a") == Rejected(None, "connections.per_agent")
    assert state.admit_agent("b")
    state.release_agent("a")
    assert state.admit_agent("a")


def test_a_socket_may_join_so_many_channels() -> None:
    state = Connections(channels=2).start(0.0)
    assert state.admit_channel(1)
    assert state.admit_channel(2) == Rejected(None, "connections.channels")


def test_they_may_come_so_fast_and_are_told_when_to_come_again() -> None:
    state = Connections(accept_rate=10, accept_burst=2).start(0.0)
    assert [bool(state.admit(0.0)) for _ in range(3)] == [True, True, False]
    assert state.admit(0.0) == Rejected(0.1, "connections.accept_rate")
    assert state.admit(0.1)


@given(times=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]) | st.floats(0, 2), max_size=60))
def test_time_that_goes_back_lets_no_more_of_them_in_and_a_refusal_is_honest(times: list[float]) -> None:
    state, came = Connections(accept_rate=2, accept_burst=3).start(0.0), 0
    for now in times:
        verdict = state.admit(now)
        came += bool(verdict)
        if not verdict:
            assert copy.deepcopy(state).admit(now + (verdict.retry_after or 0))
    assert came <= 3 + 2 * max(times, default=0.0)


def test_who_is_refused_for_want_of_a_place_uses_up_no_rate() -> None:
    state = Connections(total=1, accept_rate=1, accept_burst=2).start(0.0)
    assert state.admit(0.0)
    for _ in range(5):
        assert not state.admit(0.0)
    state.release()
    assert state.admit(0.0)


def test_a_tighter_bound_cuts_no_one_off_and_lets_no_one_in() -> None:
    state: Any = Connections(accept_rate=1, accept_burst=5).start(0.0)
    for _ in range(3):
        assert state.admit(0.0, "k")
    assert state.admit_agent("a")
    state = Connections(total=2, per_agent=1, accept_rate=1, accept_burst=5).start(0.0, state)
    assert state.open == 3
    assert not state.admit(0.0)
    assert not state.admit_agent("a")
    state.release("k")
    state.release("k")
    assert [bool(state.admit(0.0)) for _ in range(3)] == [True, False, False]


@given(
    script=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["k1", "k2", None]), st.booleans()), max_size=100)
)
def test_places_are_conserved_and_nothing_is_remembered_of_who_has_gone(script: list[Any]) -> None:
    state = Connections(total=8, per_key=5, per_agent=2).start(0.0)
    here: list[tuple[str, str | None]] = []
    for agent, key, come in script:
        if come:
            if not state.admit(0.0, key):
                continue
            if state.admit_agent(agent):
                here.append((agent, key))
            else:
                state.release(key)
        elif (agent, key) in here:
            here.remove((agent, key))
            state.release(key)
            state.release_agent(agent)
        assert state.open == len(here) <= 8
        assert all([key for _, key in here].count(name) <= 5 for name in ("k1", "k2"))
        assert all([agent for agent, _ in here].count(name) <= 2 for name in "abc")
    for agent, key in here:
        state.release(key)
        state.release_agent(agent)
    assert (state.open, state._keys, state._agents) == (0, {}, {})
