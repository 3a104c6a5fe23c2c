"""The admission queue: who is served first, who is turned away, and that no one is forgotten."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from synapse.policies import Priority
from synapse.policies.queue import PriorityQueue


class Item:
    """Something that waits."""

    def __init__(self, priority: int = 5, name: str = "") -> None:
        self.priority = priority
        self.name = name

    def __repr__(self) -> str:
        return f"{self.name}@{self.priority}"


def queue_of(bound: int, *items: Item) -> PriorityQueue[Item]:
    queue: PriorityQueue[Item] = Priority(bound=bound).start(0.0)
    for item in items:
        assert list(queue.offer(item, 0.0)) == []
    return queue


def drained(queue: PriorityQueue[Item]) -> list[Item]:
    served = []
    while (item := queue.take(0.0)[0]) is not None:
        served.append(item)
    return served


class TestPriority:
    def test_an_empty_queue_serves_no_one(self) -> None:
        assert queue_of(3).take(0.0) == (None, ())

    def test_lower_numbers_are_served_first(self) -> None:
        last, first, middle = Item(9), Item(0), Item(5)
        assert drained(queue_of(3, last, first, middle)) == [first, middle, last]

    def test_within_a_class_first_come_is_first_served(self) -> None:
        items = [Item() for _ in range(20)]
        assert drained(queue_of(20, *items)) == items

    def test_at_the_bound_a_newcomer_of_the_worst_class_is_turned_away(self) -> None:
        queue = queue_of(2, Item(5), Item(9))
        newcomer = Item(9)
        assert list(queue.offer(newcomer, 0.0)) == [newcomer]
        assert len(queue) == 2

    def test_at_the_bound_a_better_newcomer_takes_the_place_of_the_youngest_of_the_worst_class(self) -> None:
        old, young, better = Item(9, "old"), Item(9, "young"), Item(8)
        queue = queue_of(2, old, young)
        assert list(queue.offer(better, 0.0)) == [young]
        assert drained(queue) == [better, old]

    def test_with_a_bound_of_zero_no_one_may_wait(self) -> None:
        newcomer = Item(0)
        assert list(queue_of(0).offer(newcomer, 0.0)) == [newcomer]

    def test_whoever_is_removed_is_not_served(self) -> None:
        stays, goes = Item(), Item(0)
        queue = queue_of(2, stays, goes)
        assert queue.remove(goes)
        assert drained(queue) == [stays]

    def test_whoever_does_not_wait_cannot_be_removed(self) -> None:
        served = Item()
        queue = queue_of(2, served)
        queue.take(0.0)
        assert not queue.remove(served)
        assert not queue.remove(Item())

    def test_a_removed_item_leaves_its_place_to_another(self) -> None:
        first = Item()
        queue = queue_of(1, first)
        queue.remove(first)
        assert list(queue.offer(Item(), 0.0)) == []

    def test_whoever_comes_again_stands_at_the_end(self) -> None:
        again, other = Item(), Item()
        queue = queue_of(2, again, other)
        queue.remove(again)
        queue.offer(again, 0.0)
        assert drained(queue) == [other, again]

    def test_a_long_run_of_comings_and_goings_keeps_no_memory_of_them(self) -> None:
        """Interrupts and evictions leave nothing behind."""
        queue = queue_of(10, Item(0))
        for _ in range(1000):
            removed, served = Item(3), Item(0)
            queue.offer(removed, 0.0)
            queue.offer(served, 0.0)
            queue.remove(removed)
            queue.take(0.0)
        assert len(queue._lines) <= 1
        assert sum(map(len, queue._lines.values())) == len(queue)

    def test_evictions_alone_keep_no_memory_either(self) -> None:
        queue = queue_of(1, Item(9))
        for priority in [8, 7, 6, 5, 4, 3, 2, 1, 0] * 50:
            queue.remove(queue.offer(Item(priority), 0.0)[0])
        assert len(queue._lines) <= 1
        assert sum(map(len, queue._lines.values())) == len(queue)

    @pytest.mark.parametrize("bound", [-1, "many", None])
    def test_a_bound_that_is_none_is_refused(self, bound: object) -> None:
        with pytest.raises(msgspec.ValidationError, match="bound"):
            msgspec.convert({"kind": "priority", "bound": bound}, Priority)

    def test_it_reads_the_same_in_json(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(Priority(bound=7)), type=Priority) == Priority(bound=7)


class QueueAgainstModel(RuleBasedStateMachine):
    """The queue beside a sorted list. Every item comes out once: served, evicted, removed, or it still waits."""

    bound = 4

    def __init__(self) -> None:
        super().__init__()
        self.queue: PriorityQueue[Item] = Priority(bound=self.bound).start(0.0)
        self.waiting: list[Item] = []  # in order of coming
        self.offered = 0
        self.out: list[Item] = []

    @rule(priority=st.integers(0, 9))
    def offer(self, priority: int) -> None:
        item = Item(priority, str(self.offered))
        self.offered += 1
        evicted = list(self.queue.offer(item, 0.0))
        self.waiting.append(item)
        expected = []
        if len(self.waiting) > self.bound:
            expected = [max(reversed(self.waiting), key=lambda waiting: waiting.priority)]  # the youngest of the worst
            self.waiting.remove(expected[0])
        assert evicted == expected
        self.out += evicted

    @rule()
    def take(self) -> None:
        expected = min(self.waiting, key=lambda waiting: waiting.priority, default=None)
        assert self.queue.take(0.0) == (expected, ())
        if expected is not None:
            self.waiting.remove(expected)
            self.out.append(expected)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        assert self.queue.remove(item)
        self.waiting.remove(item)
        self.out.append(item)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def remove_one_who_is_out(self, data: st.DataObject) -> None:
        assert not self.queue.remove(data.draw(st.sampled_from(self.out)))

    @invariant()
    def no_one_is_forgotten(self) -> None:
        assert len(self.queue) == len(self.waiting) <= self.bound
        assert self.offered == len(self.waiting) + len(self.out)
        assert len(set(map(id, self.out))) == len(self.out)

    @invariant()
    def holes_do_not_pile_up(self) -> None:
        assert sum(map(len, self.queue._lines.values())) == len(self.queue)
        assert all(self.queue._lines.values())

    def teardown(self) -> None:
        assert drained(self.queue) == sorted(self.waiting, key=lambda item: item.priority)


QueueAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestQueueAgainstModel = QueueAgainstModel.TestCase
