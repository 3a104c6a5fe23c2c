"""The environment: a clock for the core, on which SimPy's processes live as well."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation import Environment
from synapse.simulation.env import FEW

delays = st.floats(0, 100) | st.sampled_from([0.0, 1.0, 2.0])


def ticking(env: simpy.Environment, seen: list[Any], name: str, step: float) -> Generator[simpy.Event]:
    while env.now < 10:
        seen.append((env.now, name))
        yield env.timeout(step)


@pytest.fixture
def env() -> Environment:
    return Environment()


class TestTime:
    def test_it_begins_when_asked_to(self) -> None:
        assert Environment(5).time() == 5.0

    def test_a_run_ends_at_its_time_without_what_happens_then(self, env: Environment) -> None:
        seen: list[float] = []
        for delay in (1, 2, 3):
            env.call_later(delay, lambda: seen.append(env.time()))
        env.run(until=2)
        assert (seen, env.time(), len(env)) == ([1.0], 2.0, 2)

    def test_a_run_goes_on_where_the_last_one_ended(self, env: Environment) -> None:
        seen: list[float] = []
        env.call_later(2, lambda: seen.append(env.time()))
        env.run(until=2)
        env.run()
        assert (seen, env.time()) == ([2.0], 2.0)

    def test_time_does_not_go_back(self, env: Environment) -> None:
        env.run(until=2)
        with pytest.raises(ValueError, match="until must be later than now, 2.0 s; not 1"):
            env.run(until=1)

    @given(st.lists(delays))
    def test_calls_come_in_the_order_of_their_times_then_of_their_making(self, waits: list[float]) -> None:
        env, seen = Environment(), list[tuple[float, int]]()
        for place, wait in enumerate(waits):
            env.call(wait, lambda place: seen.append((env.time(), place)), place)
        env.run()
        assert seen == sorted((wait, place) for place, wait in enumerate(waits))
        assert (env.called, len(env)) == (len(waits), 0)


class TestTimers:
    def test_a_call_for_now_comes_after_this_turn(self, env: Environment) -> None:
        seen: list[str] = []

        def turn() -> None:
            env.call_later(0, lambda: seen.append("next turn"))
            env.call_later(-1, lambda: seen.append("late already"))
            seen.append("this turn")

        env.call_later(1, turn)
        env.run()
        assert (seen, env.time()) == (["this turn", "next turn", "late already"], 1.0)

    def test_a_delay_that_is_no_number_is_an_error(self, env: Environment) -> None:
        with pytest.raises(ValueError, match="delay must be a number"):
            env.call_later(math.nan, env.time)

    def test_a_cancelled_timer_is_not_called(self, env: Environment) -> None:
        seen: list[float] = []
        timer = env.call_later(1, lambda: seen.append(env.time()))
        env.call_later(0.5, timer.cancel)
        env.run()
        assert (seen, timer.callback, env.called) == ([], None, 1)

    def test_cancelling_late_or_twice_does_no_harm(self, env: Environment) -> None:
        timer = env.call_later(1, env.time)
        env.run()
        timer.cancel()
        other = env.call_later(1, env.time)
        other.cancel()
        other.cancel()
        assert len(env) == 0

    @given(st.lists(st.tuples(delays, st.booleans()), max_size=400))
    def test_cancelled_timers_do_not_pile_up(self, timers: list[tuple[float, bool]]) -> None:
        env, kept, seen = Environment(), list[float](), list[float]()
        for delay, cancel in timers:
            timer = env.call_later(delay, lambda: seen.append(env.time()))
            if cancel:
                timer.cancel()
            else:
                kept.append(delay)
            assert len(env) == len(kept)
            assert len(env._entries) <= 2 * len(kept) + FEW
        env.run()
        assert seen == sorted(kept)
        assert env.called == len(kept)

    def test_timers_that_others_cancel_while_time_passes_do_not_pile_up(self, env: Environment) -> None:
        """As the timeouts of queries that are answered in time: thousands are set and cancelled, few are due."""
        longest = 0

        def ask(left: int) -> None:
            nonlocal longest
            timer = env.call_later(30, pytest.fail)
            env.call(0.001, lambda _: timer.cancel(), None)
            longest = max(longest, len(env._entries))
            if left:
                env.call(0.01, ask, left - 1)

        ask(5000)
        env.run()
        assert longest <= FEW + 8


class TestProcesses:
    def test_they_see_what_they_see_in_simpy(self, env: Environment) -> None:
        ours, theirs = list[Any](), list[Any]()
        for each, seen in ((env, ours), (simpy.Environment(), theirs)):
            for name, step in (("a", 1.0), ("b", 1.5), ("c", 1.0)):
                each.process(ticking(each, seen, name, step))
            each.run(until=20)
        assert ours == theirs

    def test_calls_take_their_turn_among_them(self, env: Environment) -> None:
        seen: list[Any] = []
        env.process(ticking(env, seen, "process", 5.0))
        env.call_later(5, lambda: seen.append((env.now, "call")))
        env.run(until=6)
        assert seen == [(0, "process"), (5, "call"), (5, "process")]

    def test_a_run_can_wait_for_an_event(self, env: Environment) -> None:
        done = env.event()
        env.call_later(3, lambda: done.succeed("value"))
        assert env.run(until=done) == "value"
        assert env.run(until=done) == "value"
        assert env.time() == 3.0

    def test_waiting_for_what_never_happens_is_an_error(self, env: Environment) -> None:
        with pytest.raises(RuntimeError, match="nothing is to come any more"):
            env.run(until=env.event())

    def test_those_who_wait_beside_the_run_for_an_event_hear_of_it_when_time_goes_on(self, env: Environment) -> None:
        seen: list[float] = []
        done = env.timeout(2)

        def waiter() -> Generator[simpy.Event]:
            yield done
            seen.append(env.now)

        env.run(until=done)
        env.process(waiter())
        env.run(until=3)
        assert seen == [2]

    def test_an_error_of_a_process_ends_the_run(self, env: Environment) -> None:
        def broken() -> Generator[simpy.Event]:
            yield env.timeout(1)
            raise KeyError("broken")

        env.process(broken())
        with pytest.raises(KeyError, match="broken"):
            env.run()

    def test_an_error_of_a_call_ends_the_run(self, env: Environment) -> None:
        env.call(1, [].pop, 0)
        with pytest.raises(IndexError):
            env.run()

    def test_a_resource_serves_them(self, env: Environment) -> None:
        desk, seen = simpy.Resource(env, 1), list[float]()

        def customer() -> Generator[simpy.Event]:
            with desk.request() as turn:
                yield turn
                yield env.timeout(2)
                seen.append(env.now)

        for _ in range(3):
            env.process(customer())
        env.run()
        assert seen == [2, 4, 6]


class TestSteps:
    def test_one_event_at_a_time(self, env: Environment) -> None:
        seen: list[float] = []
        env.call_later(1, pytest.fail).cancel()
        env.call_later(2, lambda: seen.append(env.time()))
        assert env.peek() == 2.0
        env.step()
        assert (seen, env.peek()) == ([2.0], math.inf)
        with pytest.raises(simpy.core.EmptySchedule):
            env.step()
