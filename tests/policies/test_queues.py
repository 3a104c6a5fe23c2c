"""All admission queues: everyone who was offered comes out exactly once, and each serves in its own order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.policies import AdaptiveLifo, CoDel, Deadline, FairShare, Fifo, Lifo, Priority, move
from tests.policies.items import Item

KINDS: list[Any] = [
    Fifo(4),
    Fifo(4, at_bound="evict-oldest"),
    Fifo(0, at_bound="evict-oldest"),
    Lifo(4),
    Lifo(4, at_bound="refuse-newcomer"),
    AdaptiveLifo(4),
    AdaptiveLifo(4, interval=0.5, target=0.2),
    Priority(4),
    CoDel(4),
    CoDel(4, target=0.1, interval=0.2, at_bound="evict-oldest"),
    Deadline(4, service=0.2),
    Deadline(4),
    FairShare(4),
    FairShare(4, per="key", weights={"k0": 3, "k1": 0.3}),
]


def queue_of(policy: Any, *items: Item) -> Any:
    queue = policy.start(0.0)
    for item in items:
        assert list(queue.offer(item, 0.0)) == []
    return queue


def drained(queue: Any, now: float = 0.0) -> list[Item]:
    served = []
    while (item := queue.take(now)[0]) is not None:
        served.append(item)
    return served


def named(names: str, **same: Any) -> list[Item]:
    return [Item(name=name, **same) for name in names]


class Conservation(RuleBasedStateMachine):
    """Each item is served, evicted or removed once, or it still waits."""

    @initialize(policy=st.sampled_from(KINDS))
    def start(self, policy: Any) -> None:
        self.policy = policy
        self.now = 10.0
        self.queue = policy.start(self.now)
        self.waiting: list[Item] = []  # in order of arrival
        self.out: list[Item] = []

    def leave(self, items: Any) -> None:
        for item in items:
            assert any(item is other for other in self.waiting), "it does not wait"
            self.waiting.remove(item)
            self.out.append(item)

    @rule(
        priority=st.integers(0, 3),
        whose=st.integers(0, 2),
        patience=st.none() | st.floats(-0.1, 1.0),
    )
    def offer(self, priority: int, whose: int, patience: float | None) -> None:
        deadline = None if patience is None else self.now + patience
        item = Item(priority, f"i{len(self.out) + len(self.waiting)}", f"a{whose}", f"k{whose}", deadline)
        evicted = list(self.queue.offer(item, self.now))
        self.waiting.append(item)
        assert item not in evicted or evicted == [item]  # who is turned away goes alone
        self.leave(evicted)

    @rule()
    def take(self) -> None:
        item, evicted = self.queue.take(self.now)
        assert item is not None or not len(self.queue)
        self.leave([*evicted, *([] if item is None else [item])])

    @rule(gap=st.floats(0, 0.4))
    def time_passes(self, gap: float) -> None:
        self.now += gap

    @rule(gap=st.floats(0, 0.4))
    def time_goes_back(self, gap: float) -> None:
        self.now -= gap

    @rule(service=st.floats(0, 0.3))
    def observe(self, service: float) -> None:
        self.queue.observe(service)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        assert self.queue.remove(item)
        self.leave([item])

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def remove_one_who_is_out(self, data: st.DataObject) -> None:
        assert not self.queue.remove(data.draw(st.sampled_from(self.out)))

    @precondition(lambda self: self.waiting)
    @rule(policy=st.sampled_from(KINDS))
    def move_to_another_queue(self, policy: Any) -> None:
        old, self.queue, self.policy = self.queue, policy.start(self.now), policy
        evicted = move(old, self.queue, self.now)
        assert not len(old)
        self.leave(evicted)

    @invariant()
    def no_one_is_forgotten(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.waiting) <= self.policy.bound
            assert list(self.queue) == self.waiting
            assert len(set(map(id, self.out))) == len(self.out)


Conservation.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestConservation = Conservation.TestCase


@pytest.mark.parametrize("policy", KINDS)
def test_an_empty_queue_serves_no_one(policy: Any) -> None:
    item, evicted = policy.start(0.0).take(0.0)
    assert (item, list(evicted)) == (None, [])


@pytest.mark.parametrize("policy", KINDS)
def test_a_queue_shows_how_many_wait(policy: Any) -> None:
    assert f"0/{policy.bound} waiting" in repr(policy.start(0.0))


class TestFifo:
    def test_first_come_is_first_served(self) -> None:
        a, b, c = items = named("abc")
        assert drained(queue_of(Fifo(3), *items)) == [a, b, c]

    def test_at_the_bound_the_newcomer_is_turned_away(self) -> None:
        newcomer = Item()
        assert list(queue_of(Fifo(1), Item()).offer(newcomer, 0.0)) == [newcomer]

    def test_or_the_one_who_has_waited_longest_goes(self) -> None:
        a, b, c = named("abc")
        queue = queue_of(Fifo(2, at_bound="evict-oldest"), a, b)
        assert list(queue.offer(c, 0.0)) == [a]
        assert drained(queue) == [b, c]


class TestLifo:
    def test_last_come_is_first_served(self) -> None:
        a, b, c = items = named("abc")
        assert drained(queue_of(Lifo(3), *items)) == [c, b, a]

    def test_at_the_bound_the_one_who_has_waited_longest_goes(self) -> None:
        a, b, c = named("abc")
        queue = queue_of(Lifo(2), a, b)
        assert list(queue.offer(c, 0.0)) == [a]
        assert drained(queue) == [c, b]


class TestAdaptiveLifo:
    def test_it_is_fair_while_it_is_often_empty(self) -> None:
        a, b, c = items = named("abc")
        assert drained(queue_of(AdaptiveLifo(3, interval=0.1), *items), now=0.1) == [a, b, c]

    def test_once_it_has_not_been_empty_for_the_interval_the_last_is_served_first(self) -> None:
        a, b, c = items = named("abc")
        assert drained(queue_of(AdaptiveLifo(3, interval=0.1), *items), now=0.11) == [c, b, a]

    def test_an_empty_moment_ends_the_overload(self) -> None:
        a, b, c = named("abc")
        queue = queue_of(AdaptiveLifo(3, interval=0.1), a)
        assert queue.overloaded(5.0)
        queue.take(5.0)
        queue.offer(b, 5.0)
        queue.offer(c, 5.05)
        assert drained(queue, now=5.1) == [b, c]

    def test_with_a_target_overload_evicts_who_has_waited_for_too_long(self) -> None:
        old, young = named("oy")
        queue = queue_of(AdaptiveLifo(3, interval=0.1, target=0.005), old)
        queue.offer(young, 0.2)
        assert queue.take(0.205) == (young, [])
        assert queue.take(0.205) == (None, [old])


class TestDeadline:
    def test_who_must_be_answered_soonest_is_served_first_and_who_can_wait_for_ever_last(self) -> None:
        ever, late, soon, later = Item(), Item(deadline=5), Item(deadline=2), Item(deadline=5)
        assert drained(queue_of(Deadline(9), ever, late, soon, later)) == [soon, late, later, ever]

    def test_who_can_no_longer_be_answered_in_time_is_evicted(self) -> None:
        hopeless, last_moment = Item(deadline=2.9), Item(deadline=3.0)
        queue = queue_of(Deadline(9, service=1.0), hopeless, last_moment)
        assert queue.take(2.0) == (last_moment, [hopeless])

    def test_who_comes_hopeless_is_turned_away(self) -> None:
        item = Item(deadline=0.5)
        assert list(Deadline(9, service=1.0).start(0.0).offer(item, 0.0)) == [item]

    def test_at_the_bound_the_hopeless_make_room(self) -> None:
        hopeless, fine, newcomer = Item(deadline=1), Item(deadline=9), Item(deadline=9)
        queue = queue_of(Deadline(2, service=0.0), hopeless, fine)
        assert list(queue.offer(newcomer, 2.0)) == [hopeless]
        late = Item(deadline=3)
        assert list(queue.offer(late, 2.0)) == [late]

    def test_it_learns_how_long_an_answer_takes(self) -> None:
        queue = queue_of(Deadline(9), Item(deadline=4))
        assert queue.service == 0.0
        queue.observe(2.0)
        queue.observe(4.0)
        assert queue.service == 3.0
        assert queue.take(1.5)[0] is None

    def test_what_it_has_learnt_follows_a_change(self) -> None:
        queue = Deadline().start(0.0)
        for _ in range(100):
            queue.observe(1.0)
        for _ in range(100):
            queue.observe(3.0)
        assert queue.service == pytest.approx(3.0, abs=0.02)

    def test_it_does_not_learn_what_it_was_told(self) -> None:
        queue = Deadline(service=1.0).start(0.0)
        queue.observe(50.0)
        assert queue.service == 1.0

    def test_whoever_comes_again_stands_at_the_end(self) -> None:
        again, other = Item(deadline=5), Item(deadline=5)
        queue = queue_of(Deadline(9), again, other)
        queue.remove(again)
        queue.offer(again, 0.0)
        assert drained(queue) == [other, again]

    def test_a_long_run_of_comings_and_goings_keeps_no_memory_of_them(self) -> None:
        queue = queue_of(Deadline(10, service=0.0), Item(deadline=1e9))
        for _ in range(1000):
            item = Item(deadline=5)
            queue.offer(item, 0.0)
            queue.remove(item)
        assert len(queue._by_deadline) < 50


class TestFairShare:
    def test_agents_are_served_in_turn(self) -> None:
        greedy = named("123456", agent="greedy")
        modest = named("ab", agent="modest")
        queue = queue_of(FairShare(9), *greedy, *modest)
        assert "".join(item.name for item in drained(queue)) == "1a2b3456"

    def test_or_keys_are(self) -> None:
        items = [*named("12", key="x", agent="a"), *named("34", key="x", agent="b"), *named("5", key="y")]
        assert "".join(item.name for item in drained(queue_of(FairShare(9, per="key"), *items))) == "15234"

    def test_a_weight_is_turns_a_round(self) -> None:
        policy = FairShare(99, weights={"heavy": 3, "light": 0.5})
        items = [*named("h" * 12, agent="heavy"), *named("n" * 12, agent="normal"), *named("l" * 12, agent="light")]
        served = "".join(item.name for item in drained(queue_of(policy, *items)))
        first = served[:18]
        assert (first.count("h"), first.count("n"), first.count("l")) == (12, 4, 2)

    def test_at_the_bound_the_youngest_of_the_longest_line_goes(self) -> None:
        greedy = named("123", agent="greedy")
        modest, other = Item(agent="modest"), Item(agent="other")
        queue = queue_of(FairShare(4), *greedy, modest)
        assert list(queue.offer(other, 0.0)) == [greedy[2]]
        assert [item for item in drained(queue) if item.agent == "greedy"] == greedy[:2]

    def test_at_the_bound_one_of_the_longest_line_displaces_no_one(self) -> None:
        queue = queue_of(FairShare(4), *named("12", agent="a"), *named("34", agent="b"))
        newcomer = Item(agent="a")
        assert list(queue.offer(newcomer, 0.0)) == [newcomer]

    def test_each_gets_the_same_share_of_slots_whatever_it_asks(self) -> None:
        """One asks a hundred times as much; Jain's index of what the others get stays 1."""
        queue = FairShare(100).start(0.0)
        served = dict.fromkeys("abcdg", 0)
        for turn in range(2000):
            for _ in range(100):
                queue.offer(Item(agent="g"), turn)
            for agent in "abcd":
                queue.offer(Item(agent=agent), turn)
            for _ in range(4):
                served[queue.take(turn)[0].agent] += 1
        shares = list(served.values())
        assert sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares)) > 0.9999

    def test_who_has_no_line_any_more_is_forgotten(self) -> None:
        queue = FairShare(10).start(0.0)
        for number in range(1000):
            queue.offer(Item(agent=str(number)), 0.0)
            queue.take(0.0)
        assert (len(queue._flows), len(queue._by_length)) == (0, 1)


def test_moving_keeps_the_order_of_arrival() -> None:
    a, b, c, d = items = named("abcd")
    new = Fifo(3).start(1.0)
    assert move(queue_of(Lifo(4), *items), new, 1.0) == [d]
    assert drained(new) == [a, b, c]


def test_any_item_with_the_attributes_will_do() -> None:
    item: Any = SimpleNamespace(priority=1, agent="a", key=None, deadline=None)
    for policy in KINDS:
        if policy.bound:
            assert queue_of(policy, item).take(0.0)[0] is item
