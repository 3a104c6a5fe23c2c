"""The shared set: copies that hear of the same things agree, in whatever order and however often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation.presence import Changes, ReplicaSet, Tag

REFS = [(0, 1), (1, 1), (2, 1)]


def copies(count: int = 2) -> list[ReplicaSet]:
    """Replicas that know each other."""
    made = [ReplicaSet(ref) for ref in REFS[:count]]
    for one in made:
        for other in made:
            one.up(other.ref)
    return made


def online(one: ReplicaSet) -> set[Tag]:
    return set(one.online())


def test_what_joins_here_shows_here_and_is_told_once() -> None:
    (one, other) = copies()
    tag = one.join()
    assert online(one) == {tag}
    delta = one.take_delta()
    assert other.merge(delta) == ([tag], [])
    assert online(other) == {tag}
    assert len(one.take_delta()) == 0


def test_what_leaves_here_is_gone_there() -> None:
    (one, other) = copies()
    tag = one.join()
    other.merge(one.take_delta())
    one.leave(tag)
    assert other.merge(one.take_delta()) == ([], [tag])
    assert online(one) == online(other) == set()
    assert other.context[one.ref] == 2


def test_a_removal_that_is_news_is_passed_on() -> None:
    (one, other, third) = copies(3)
    tag = one.join()
    for peer in (other, third):
        peer.merge(Changes(values={one.ref: {1}}, clouds={one.ref: {1}}))
    one.leave(tag)
    other.merge(one.take_delta())
    assert third.merge(other.take_delta()) == ([], [tag])


def test_only_what_was_joined_here_can_leave_here() -> None:
    (one, other) = copies()
    tag = one.join()
    other.merge(one.take_delta())
    with pytest.raises(KeyError):
        other.leave(tag)
    one.leave(tag)
    with pytest.raises(KeyError):
        one.leave(tag)


def test_nothing_is_taken_in_of_a_replica_that_was_never_heard() -> None:
    stranger, one = ReplicaSet(REFS[2]), ReplicaSet(REFS[0])
    stranger.join()
    assert one.merge(stranger.take_delta()) == ([], [])
    assert one.merge(stranger.extract([stranger.ref])) == ([], [])
    assert one.context == {REFS[0]: 0}


def test_after_a_gap_the_context_stays_behind_until_the_whole_state_comes() -> None:
    (one, other) = copies()
    first = one.join()
    one.take_delta()  # is lost
    second = one.join()
    other.merge(one.take_delta())
    assert online(other) == {second}
    assert other.context[one.ref] == 0
    assert other.merge(one.extract(other.context)) == ([first], [])
    assert other.context[one.ref] == 2
    assert other.clouds == {}


def test_presences_of_a_replica_that_is_down_are_kept_but_not_shown() -> None:
    (one, other) = copies()
    tag = one.join()
    other.merge(one.take_delta())
    assert other.mark_down(one.ref) == [tag]
    assert online(other) == set()
    assert other.up(one.ref) == [tag]
    assert online(other) == {tag}


def test_a_replica_that_is_forgotten_leaves_no_trace() -> None:
    (one, other) = copies()
    one.join()
    other.merge(one.take_delta())
    one.take_delta()
    one.join()
    one.join()
    other.merge(Changes(clouds={one.ref: {3}}, values={one.ref: {3}}))
    other.mark_down(one.ref)
    other.forget(one.ref)
    fresh = ReplicaSet(other.ref)
    assert (other.context, other.clouds, other.values, other.down) == (fresh.context, {}, {}, set())


def test_a_set_tells_only_of_replicas_the_other_knows() -> None:
    (one, other, third) = copies(3)
    other.merge(one.extract([]))
    tag = third.join()
    one.merge(third.take_delta())
    assert one.extract([other.ref]).values == {}
    assert one.extract([third.ref]).values == {third.ref: {tag[1]}}
    assert one.extract([third.ref]).context == {third.ref: 1}


def test_one_who_hears_of_a_replica_between_question_and_answer_does_not_take_it_for_empty() -> None:
    """Else it would believe that it knows all of it, and tell the others that there is nothing."""
    (one, other, third) = copies(3)
    one.forget(third.ref)
    tag = third.join()
    other.merge(third.take_delta())
    question = one.clock()
    one.up(third.ref)
    one.merge(other.extract(question))
    assert one.context[third.ref] == 0
    assert one.merge(other.extract(one.clock())) == ([tag], [])


def test_no_one_else_can_remove_what_was_joined_here() -> None:
    one = ReplicaSet(REFS[0])
    tag = one.join()
    assert one.merge(Changes({one.ref: 1}, {}, {})) == ([], [])
    assert one.merge(Changes({}, {one.ref: {1}}, {})) == ([], [])
    assert online(one) == {tag}


def test_a_replica_that_is_down_is_not_told_of() -> None:
    (one, other) = copies()
    one.mark_down(other.ref)
    assert one.clock() == {one.ref: 0}
    one.up(other.ref)
    assert one.clock() == {one.ref: 0, other.ref: 0}


@given(
    script=st.lists(
        st.tuples(st.sampled_from(["join", "leave", "tell", "hear"]), st.integers(0, 2), st.integers(0, 99))
    )
)
def test_copies_that_have_exchanged_all_they_know_are_equal(script: list[tuple[str, int, int]]) -> None:
    """Deltas arrive late, twice or never; states are exchanged at the end."""
    peers = copies(3)
    flying: list[Changes] = []
    there: set[Tag] = set()
    for what, place, number in script:
        one = peers[place]
        mine = sorted(tag for tag in there if tag[0] == one.ref)
        match what:
            case "join":
                there.add(one.join())
            case "leave" if mine:
                there.remove(tag := mine[number % len(mine)])
                one.leave(tag)
            case "tell":
                flying.append(one.take_delta())
            case "hear" if flying:
                one.merge(flying[number % len(flying)])
    exchange(peers)
    for one in peers:
        assert online(one) == there
        assert one.context == peers[0].context


def exchange(peers: list[ReplicaSet]) -> None:
    for _ in range(2):
        for one in peers:
            for other in peers:
                if one is not other:
                    one.merge(other.extract(one.context))
