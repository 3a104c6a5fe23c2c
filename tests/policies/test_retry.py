"""When a client tries again: ranges, ends, and how well the waits are spread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import Decorrelated, EqualJitter, Exponential, FullJitter, NoRetry, PolicyError, Table

BACKOFFS: list[Any] = [
    kind(base=0.1, cap=5.0, tries=20) for kind in (Exponential, EqualJitter, FullJitter, Decorrelated)
]
lots = st.floats(0, 1, exclude_max=True)


def test_no_retry_gives_up_at_once() -> None:
    assert NoRetry().start(0.0).next_delay(1, 0.0, 0.5) is None


@pytest.mark.parametrize("kind", [Exponential, EqualJitter, FullJitter, Decorrelated, Table])
def test_there_are_as_many_tries_as_it_says(kind: Any) -> None:
    state = kind(tries=4).start(0.0)
    assert [state.next_delay(attempt, 0.0, 0.5) is None for attempt in range(1, 7)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("kind", [Exponential, EqualJitter, FullJitter, Decorrelated, Table])
def test_one_try_is_no_retry(kind: Any) -> None:
    assert kind(tries=1).start(0.0).next_delay(1, 0.0, 0.5) is None


@given(policy=st.sampled_from(BACKOFFS), draws=st.lists(lots, min_size=1, max_size=19))
def test_no_wait_is_longer_than_the_longest(policy: Any, draws: list[float]) -> None:
    state = policy.start(0.0)
    for attempt, u in enumerate(draws, start=1):
        assert 0 <= state.next_delay(attempt, 0.0, u) <= policy.cap


@given(attempt=st.integers(1, 10**6), u=lots, factor=st.floats(1, 100))
def test_the_ranges_are_those_of_the_ceiling_however_many_tries_there_were(
    attempt: int, u: float, factor: float
) -> None:
    fields: dict[str, Any] = {"base": 0.1, "factor": factor, "cap": 10.0, "tries": 10**9}
    ceiling = Exponential(**fields).start(0.0).next_delay(attempt, 0.0, u)
    assert ceiling is not None
    grown = (attempt - 1) * math.log(factor)  # the logarithm, as the power itself may be too large for a float
    assert ceiling == pytest.approx(min(10.0, 0.1 * math.exp(min(grown, 100.0))))
    assert EqualJitter(**fields).start(0.0).next_delay(attempt, 0.0, u) == pytest.approx(ceiling * (1 + u) / 2)
    assert FullJitter(**fields).start(0.0).next_delay(attempt, 0.0, u) == pytest.approx(ceiling * u)


def test_each_ceiling_is_twice_the_one_before() -> None:
    state = Exponential(base=0.1, cap=1.0, tries=9).start(0.0)
    assert [state.next_delay(attempt, 0.0, 0.0) for attempt in range(1, 7)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1])


@given(draws=st.lists(lots, min_size=1, max_size=19))
def test_a_decorrelated_wait_lies_between_the_base_and_three_times_the_last(draws: list[float]) -> None:
    state, last = Decorrelated(base=0.1, cap=5.0, tries=20).start(0.0), 0.1
    for attempt, u in enumerate(draws, start=1):
        wait = state.next_delay(attempt, 0.0, u)
        assert wait is not None
        assert 0.1 <= wait <= min(5.0, 3 * last) + 1e-12
        last = wait


def test_a_decorrelated_wait_forgets_the_last_query() -> None:
    state = Decorrelated(base=0.1, cap=5.0, tries=20).start(0.0)
    for attempt in range(1, 10):
        state.next_delay(attempt, 0.0, 0.99)
    wait = state.next_delay(1, 0.0, 0.99)
    assert wait is not None
    assert wait < 0.3


@pytest.mark.parametrize("kind", [Exponential, EqualJitter, FullJitter, Decorrelated])
def test_a_base_above_the_longest_wait_is_refused(kind: Any) -> None:
    with pytest.raises(PolicyError, match="base: must be at most `cap`, 1 s; not 2"):
        kind(base=2, cap=1)


def test_a_table_is_read_to_its_end_and_then_the_last_entry_holds_for_ever() -> None:
    state = Table((0.5, 1, 2)).start(0.0)
    assert [state.next_delay(attempt, 0.0, 0.9) for attempt in (1, 2, 3, 4, 10**6)] == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_table_is_phoenixs_own_unless_another_is_given() -> None:
    state = Table().start(0.0)
    waits = [state.next_delay(attempt, 0.0, 0.0) for attempt in range(1, 12)]
    assert waits == [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 5.0]


@given(jitter=st.floats(0, 1), u=lots)
def test_a_table_with_jitter_is_spread_evenly_about_its_entries(jitter: float, u: float) -> None:
    wait = Table((4,), jitter).start(0.0).next_delay(1, 0.0, u)
    assert wait == pytest.approx(4 * (1 - jitter) + u * 8 * jitter)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"delays": ()}, "delays: must be a list of at least 1"),
        ({"delays": (1, -1)}, r"delays\[1\]: must be a number >= 0 and <= 1e\+09, in s; not -1"),
        ({"jitter": 1.5}, "jitter: must be a number >= 0"),
        ({"tries": 0}, "tries: must be a whole number >= 1"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        Table(**fields)


def test_jitter_needs_fewer_calls_than_plain_backoff() -> None:
    """Brooker's simulation: clients write to one row; of those that meet, one succeeds. 5 ms base, 2 s at most."""
    calls = {
        kind.__name__: contention(kind, clients=50) for kind in (Exponential, EqualJitter, FullJitter, Decorrelated)
    }
    assert calls["FullJitter"] < calls["EqualJitter"] < calls["Exponential"]
    assert calls["FullJitter"] < 0.7 * calls["Exponential"]
    assert calls["Decorrelated"] < 0.75 * calls["Exponential"]


def contention(kind: Any, clients: int, runs: int = 10) -> float:
    """Calls until all have written, in the mean. A write succeeds if no other did since its read; 10 +- 2 ms a way."""
    total = 0
    for seed in range(runs):
        random = np.random.default_rng(seed)

        def trip(random: Any = random) -> float:
            return max(0.0, random.normal(0.010, 0.002))

        policy = kind(base=0.005, cap=2.0, tries=10**6)
        version = 0
        todo = [(trip(), client, "read", 0, 1, policy.start(0.0)) for client in range(clients)]
        while todo:
            now, client, what, seen, attempt, state = min(todo, key=lambda entry: entry[:2])
            todo.remove((now, client, what, seen, attempt, state))
            if what == "read":
                todo.append((now + trip() + trip(), client, "write", version, attempt, state))
                continue
            total += 1
            if seen == version:
                version += 1
            else:
                delay = state.next_delay(attempt, now, random.random())
                todo.append((now + trip() + delay + trip(), client, "read", 0, attempt + 1, state))
    return total / runs
