"""CoDel, as RFC 8289 tells it."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.policies import CoDel
from tests.policies.items import Item

POLICY = CoDel(bound=100_000, target=5.0, interval=100.0)  # of ms, say: times in the tests are whole numbers


class Line:
    """A queue that is kept filled, and asked each ms."""

    def __init__(self, wait: int = 20) -> None:
        self.queue: Any = POLICY.start(0)
        self.now = 0
        self.drops: list[int] = []
        for _ in range(wait):
            self.tick(take=False)

    def tick(self, take: bool = True) -> None:
        self.queue.offer(Item(), self.now)
        if take:
            _, evicted = self.queue.take(self.now)
            for item in evicted:
                self.drops.append(self.now)
                self.queue.offer(item, self.now)  # keeps the wait about what it is
        self.now += 1

    def run(self, ticks: int) -> list[int]:
        for _ in range(ticks):
            self.tick()
        return self.drops


def test_a_short_wait_is_no_reason_to_drop() -> None:
    assert Line(wait=4).run(1000) == []


def test_a_burst_that_is_gone_within_the_interval_is_no_reason_either() -> None:
    line = Line(wait=50)
    for _ in range(48):
        line.queue.take(line.now)
        line.tick()
    assert line.run(1000) == []


def test_a_wait_that_stays_above_the_target_for_an_interval_is() -> None:
    line = Line(wait=20)
    above_since = line.now
    line.run(101)
    assert line.drops == [above_since + 100]


def test_then_it_drops_ever_more_often() -> None:
    """The n-th drop follows the one before it after the interval by the square root of n."""
    drops = Line(wait=200).run(900)
    at, expected = drops[0], [drops[0]]
    due: float = at
    for count in range(1, len(drops)):
        due += 100 / count**0.5
        expected.append(-int(-due // 1))  # asked each whole ms
    assert drops == expected
    assert len(drops) > 20


def test_it_stops_as_soon_as_a_wait_is_short() -> None:
    line = Line(wait=20)
    line.run(300)
    assert line.queue.dropping
    while len(line.queue):
        line.queue.take(line.now)
    line.drops.clear()
    line.run(100)
    assert not line.queue.dropping
    assert line.drops == []


def test_dropping_again_soon_begins_about_where_it_left_off() -> None:
    """By as many as it had dropped in the last spell."""
    line = Line(wait=200)
    line.run(600)
    count, lastcount = line.queue.count, line.queue.lastcount
    while len(line.queue):
        line.queue.take(line.now)
    for _ in range(20):
        line.tick(take=False)
    line.drops.clear()
    line.run(101)
    assert line.queue.count == count - lastcount > 5
    assert line.queue.drop_next == line.drops[0] + 100 / line.queue.count**0.5


def test_dropping_again_after_a_long_rest_begins_anew() -> None:
    line = Line(wait=200)
    line.run(600)
    while len(line.queue):
        line.queue.take(line.now)
    line.now += 16 * 100 + 100
    for _ in range(20):
        line.tick(take=False)
    line.drops.clear()
    line.run(130)
    assert line.queue.count == 1
    assert len(line.drops) == 1


def test_the_last_who_waits_is_never_dropped() -> None:
    queue: Any = POLICY.start(0)
    for now in range(0, 10_000, 50):
        queue.offer(Item(), now)
        item, evicted = queue.take(now + 40)
        assert item is not None
        assert list(evicted) == []


@pytest.mark.parametrize("load", [0.5, 1.5])
def test_it_holds_the_wait_near_the_target_where_senders_slow_down(load: float) -> None:
    """One is served each ms. Whoever is dropped sends less for a while, as TCP would."""
    queue: Any = CoDel(bound=100_000, target=5.0, interval=100.0).start(0)
    rate, credit, waits = load, 0.0, []
    for now in range(20_000):
        rate = min(load, rate + 0.0005)
        credit += rate
        while credit >= 1:
            credit -= 1
            item = Item(deadline=now)
            queue.offer(item, now)
        item, evicted = queue.take(now)
        if evicted:
            rate *= 0.7
        if item is not None and now > 5_000:
            waits.append(now - item.deadline)
    assert sorted(waits)[len(waits) // 2] <= (0 if load < 1 else 30)
