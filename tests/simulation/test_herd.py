"""The reconnect herd: 10,000 clients, a backlog of 128, 1,000 accepts a second, and when each tries again."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest

from synapse.policies import Decorrelated, FullJitter, NoRetry, Table
from synapse.simulation.env import Environment
from synapse.simulation.herd import AcceptQueue, Herd


@cache
def herd(policy: Any, clients: int = 10_000, seed: int = 1) -> Herd:
    env, random = Environment(), Random(seed)
    it = Herd(env, AcceptQueue(env), policy, clients, lambda client: random.random())
    env.run(None)
    return it


class TestTheTable:
    """The figures of a prototype of its own, from the same numbers. Capacity alone takes 10 s."""

    @pytest.mark.parametrize(
        ("policy", "tries", "seconds"),
        [
            pytest.param(Table(), 321e3, 285, id="phoenix.js"),
            pytest.param(Table(jitter=1), 86e3, 14.6, id="the same with jitter"),
            pytest.param(FullJitter(base=0.1, cap=5, tries=10**6), 64e3, 11.4, id="full jitter"),
            pytest.param(Table((5.0,), jitter=1), 10e3, 10.0, id="a first try within 10 s"),
        ],
    )
    def test_tries_and_time_are_those_expected(self, policy: Any, tries: float, seconds: float) -> None:
        it = herd(policy)
        assert len(it.connected) == 10_000
        assert len(it.tries) == pytest.approx(tries, rel=0.03)
        assert it.reached(0.99) == pytest.approx(seconds, rel=0.03)

    def test_without_jitter_all_come_back_at_once_and_few_get_in(self) -> None:
        it = herd(Table())
        late = [time for time in it.tries if 100 < time < 105]
        assert max(late) - min(late) <= 0.06
        assert len(late) == sum(time > 100 for time in it.connected) > 5000
        assert it.peak() > 10_000  # the first two waits lie within 100 ms

    def test_a_first_try_spread_over_the_time_it_takes_is_hardly_ever_refused(self) -> None:
        it = herd(Table((5.0,), jitter=1))
        assert len(it.tries) <= 10_100
        assert it.peak() == pytest.approx(125, abs=15)
        assert it.reached(1.0) >= 9.9


class TestHerd:
    def test_a_few_are_all_accepted_at_the_first_try(self) -> None:
        it = herd(Table(), clients=100)
        assert len(it.tries) == 100
        assert it.reached(1.0) <= 0.05 + 0.01 + 0.1

    def test_those_who_do_not_try_again_are_gone(self) -> None:
        it = herd(NoRetry(), clients=100)
        assert (len(it.tries), len(it.connected), it.gave_up) == (0, 0, 100)
        assert it.reached(0.5) is None
        assert it.peak() == 0

    def test_each_is_connected_or_has_given_up(self) -> None:
        it = herd(Table(tries=5), clients=2000)
        assert len(it.connected) + it.gave_up == 2000
        assert it.gave_up > 0

    def test_each_has_a_state_of_its_own(self) -> None:
        it = herd(Decorrelated(base=0.1, cap=5, tries=10**6), clients=2000)
        assert len(it.connected) == 2000

    def test_times_are_counted_from_its_beginning(self) -> None:
        env = Environment(1000.0)
        it = Herd(env, AcceptQueue(env), Table(), 1, lambda client: 0.5)
        env.run(None)
        assert list(it.tries) == [pytest.approx(0.025 + 0.01)]
        assert it.reached(1.0) == pytest.approx(0.036)


class TestAcceptQueue:
    def test_one_after_the_other_is_accepted(self) -> None:
        env, times = Environment(), []
        queue = AcceptQueue(env, rate=10.0, backlog=5)
        assert all(queue.connect(lambda: times.append(env.time())) for _ in range(3))
        env.run(None)
        assert times == pytest.approx([0.1, 0.2, 0.3])

    def test_one_too_many_is_refused_until_there_is_room(self) -> None:
        env, accepted = Environment(), []
        queue = AcceptQueue(env, rate=10.0, backlog=2)
        assert [queue.connect(lambda: accepted.append(1)) for _ in range(3)] == [True, True, False]
        assert (queue.refused, len(queue)) == (1, 2)
        env.run(0.15)
        assert queue.connect(lambda: accepted.append(1))
        env.run(None)
        assert len(accepted) == 3

    @pytest.mark.parametrize(
        ("fields", "words"),
        [({"rate": 0}, "rate must be above 0, in 1/s; not 0"), ({"backlog": 0}, "backlog must be at least 1; not 0")],
    )
    def test_one_that_makes_no_sense_is_refused(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            AcceptQueue(Environment(), **fields)
