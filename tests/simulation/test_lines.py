"""A line of calls after the same delay does what a timer for each would do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation import Environment
from synapse.simulation.lines import FEW, Line


class Item:
    lapsed = False


@given(st.lists(st.tuples(st.floats(0, 3), st.none() | st.floats(0, 3)), max_size=80))
def test_each_is_called_after_the_delay_unless_it_has_lapsed(steps: list[tuple[float, float | None]]) -> None:
    env, seen, due = Environment(), list[tuple[float, Item]](), list[tuple[float, Item]]()
    line = Line(env, 1.5, lambda item: seen.append((env.time(), item)), lambda item: item.lapsed)

    def lapse(item: Item) -> None:
        item.lapsed = True

    def come(lapse_after: float | None) -> None:
        item = Item()
        line.add(item)
        if lapse_after is None or lapse_after > 1.5:
            due.append((env.time() + 1.5, item))
        elif lapse_after < 1.5:
            env.call(lapse_after, lapse, item)

    at = 0.0
    for pause, lapse_after in steps:
        at += pause
        if lapse_after != 1.5:
            env.call(at, come, lapse_after)
    env.run()
    assert [item for _, item in seen] == [item for _, item in due]
    assert all(abs(called - wanted) < 1e-9 for (called, _), (wanted, _) in zip(seen, due, strict=True))
    assert len(line) == 0


def test_the_lapsed_do_not_pile_up_behind_one_that_has_not() -> None:
    env = Environment()
    line = Line(env, 1000.0, lambda item: None, lambda item: item.lapsed)
    line.add(Item())
    for _ in range(5000):
        item = Item()
        line.add(item)
        item.lapsed = True
        assert len(line) <= 2 * 2 + FEW
