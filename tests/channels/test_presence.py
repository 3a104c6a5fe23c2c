"""Presence: who is on a topic, told by states and diffs as Phoenix tells it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.channels import LocalPresence, LocalPubSub, Message
from synapse.protocol import Frame
from tests.support.clock import VirtualClock
from tests.support.presence import refs, sync

TOPIC = "cortex:a"


class Desk:
    """A presence with a clock, and one subscriber that keeps the diffs of a topic."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.pubsub = LocalPubSub()
        self.changes: list[tuple[str, int, int]] = []
        self.presence = LocalPresence(
            self.pubsub, self.clock.call_later, changed=lambda *change: self.changes.append(change)
        )
        self.messages: list[Message] = []
        self.pubsub.subscribe(TOPIC, self)

    def deliver(self, message: Message) -> None:
        self.messages.append(message)

    def diffs(self) -> list[Any]:
        self.clock.advance()
        diffs = [message.payload for message in self.messages]
        self.messages.clear()
        return diffs


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestTrack:
    def test_a_newcomer_is_listed_with_its_meta_and_a_ref(self, desk: Desk) -> None:
        meta = desk.presence.track(TOPIC, "a", {"status": "active"}, "owner")
        assert desk.presence.list(TOPIC) == {"a": {"metas": [meta]}} == {"a": desk.presence.get(TOPIC, "a")}
        assert meta == {"status": "active", "phx_ref": meta["phx_ref"]}

    def test_a_key_has_one_meta_for_each_owner(self, desk: Desk) -> None:
        metas = [desk.presence.track(TOPIC, "a", {"n": n}, f"owner {n}") for n in range(3)]
        assert desk.presence.get(TOPIC, "a") == {"metas": metas}
        assert len({meta["phx_ref"] for meta in metas}) == 3

    def test_the_refs_of_two_nodes_differ(self) -> None:
        clock, pubsub = VirtualClock(), LocalPubSub()
        one, other = (LocalPresence(pubsub, clock.call_later, node) for node in ("one", "other"))
        assert one.track(TOPIC, "a", {}, "o")["phx_ref"] != other.track(TOPIC, "a", {}, "o")["phx_ref"]

    def test_an_owner_can_be_tracked_only_once(self, desk: Desk) -> None:
        desk.presence.track(TOPIC, "a", {}, "owner")
        with pytest.raises(ValueError, match="use update"):
            desk.presence.track(TOPIC, "a", {}, "owner")

    def test_topics_have_nothing_to_do_with_each_other(self, desk: Desk) -> None:
        desk.presence.track(TOPIC, "a", {}, "owner")
        assert (desk.presence.list("cortex:b"), desk.presence.get("cortex:b", "a")) == ({}, None)

    def test_a_meta_without_a_json_form_is_refused_and_tracked_by_no_one(self, desk: Desk) -> None:
        """It would fail everybody who joins, and with it all diffs of the turn."""
        with pytest.raises(TypeError, match="no JSON form"):
            desk.presence.track(TOPIC, "a", {"lock": object()}, "owner")
        assert (len(desk.presence), desk.clock.pending) == (0, 0)

    def test_an_update_without_a_json_form_is_refused_too(self, desk: Desk) -> None:
        meta = desk.presence.track(TOPIC, "a", {}, "owner")
        with pytest.raises(TypeError, match="no JSON form"):
            desk.presence.update(TOPIC, "a", "owner", {"lock": object()})
        assert desk.presence.get(TOPIC, "a") == {"metas": [meta]}


class TestUntrack:
    def test_the_last_owner_takes_its_key_along(self, desk: Desk) -> None:
        first = desk.presence.track(TOPIC, "a", {}, "first")
        desk.presence.track(TOPIC, "a", {}, "second")
        desk.presence.untrack(TOPIC, "a", "second")
        assert desk.presence.list(TOPIC) == {"a": {"metas": [first]}}
        desk.presence.untrack(TOPIC, "a", "first")
        assert (desk.presence.list(TOPIC), len(desk.presence)) == ({}, 0)

    def test_whoever_is_not_there_cannot_leave(self, desk: Desk) -> None:
        desk.presence.untrack(TOPIC, "a", "owner")
        desk.presence.track(TOPIC, "a", {}, "owner")
        desk.presence.untrack(TOPIC, "a", "other")
        desk.presence.untrack(TOPIC, "b", "owner")
        assert [*desk.presence.list(TOPIC)] == ["a"]
        assert len(desk.diffs()) == 1


class TestUpdate:
    def test_the_old_meta_leaves_and_the_new_one_names_it(self, desk: Desk) -> None:
        old = desk.presence.track(TOPIC, "a", {"status": "active", "load": 0}, "owner")
        desk.diffs()
        new = desk.presence.update(TOPIC, "a", "owner", {"status": "busy"})
        assert new is not None
        assert new == {"status": "busy", "load": 0, "phx_ref": new["phx_ref"], "phx_ref_prev": old["phx_ref"]}
        assert desk.diffs() == [{"joins": {"a": {"metas": [new]}}, "leaves": {"a": {"metas": [old]}}}]

    def test_a_second_one_names_the_first(self, desk: Desk) -> None:
        desk.presence.track(TOPIC, "a", {}, "owner")
        first = desk.presence.update(TOPIC, "a", "owner", {"n": 1})
        second = desk.presence.update(TOPIC, "a", "owner", {"n": 2})
        assert first is not None
        assert second is not None
        assert second["phx_ref_prev"] == first["phx_ref"]

    def test_whoever_is_not_there_cannot_be_updated(self, desk: Desk) -> None:
        assert desk.presence.update(TOPIC, "a", "owner", {}) is None
        assert desk.diffs() == []


class TestDiffs:
    def test_all_changes_of_a_turn_are_one_diff(self, desk: Desk) -> None:
        a = desk.presence.track(TOPIC, "a", {}, "owner a")
        b = desk.presence.track(TOPIC, "b", {}, "owner b")
        desk.presence.untrack(TOPIC, "a", "owner a")
        assert desk.diffs() == [
            {"joins": {"a": {"metas": [a]}, "b": {"metas": [b]}}, "leaves": {"a": {"metas": [a]}}},
        ]

    def test_all_topics_of_a_turn_are_told_by_one_call(self, desk: Desk) -> None:
        for topic in (TOPIC, "cortex:b"):
            desk.presence.track(topic, "a", {}, "owner")
            desk.presence.update(topic, "a", "owner", {"n": 1})
        assert desk.clock.pending == 1

    def test_each_topic_has_its_own(self, desk: Desk) -> None:
        desk.presence.track("cortex:b", "b", {}, "owner")
        a = desk.presence.track(TOPIC, "a", {}, "owner")
        assert desk.diffs() == [{"joins": {"a": {"metas": [a]}}, "leaves": {}}]

    def test_a_turn_without_a_change_has_none(self, desk: Desk) -> None:
        desk.presence.track(TOPIC, "a", {}, "owner")
        assert len(desk.diffs()) == 1
        assert desk.diffs() == []
        assert desk.clock.pending == 0

    def test_they_are_broadcasts(self, desk: Desk) -> None:
        desk.presence.track(TOPIC, "a", {}, "owner")
        desk.clock.advance()
        assert [(message.event, message.broadcast) for message in desk.messages] == [("presence_diff", True)]

    def test_their_sizes_are_announced(self, desk: Desk) -> None:
        for owner in ("x", "y"):
            desk.presence.track(TOPIC, "a", {}, owner)
        desk.clock.advance()
        desk.presence.untrack(TOPIC, "a", "x")
        desk.clock.advance()
        assert desk.changes == [(TOPIC, 2, 0), (TOPIC, 0, 1)]


class ClientAgainstPresence(RuleBasedStateMachine):
    """A client that knows only states and diffs, whenever it came, knows what the server knows."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.presence = self.desk.presence
        self.tracked: set[tuple[str, str]] = set()
        self.views: list[dict[str, Any]] = []

    @initialize()
    def the_first_client_comes(self) -> None:
        self.a_client_comes()

    @precondition(lambda self: len(self.views) < 4)
    @rule()
    def a_client_comes(self) -> None:
        """In the middle of a turn: it will get that turn's diff as well."""
        self.views.append(sync({}, [_state(self.presence.list(TOPIC))]))

    @rule(key=st.sampled_from("ab"), owner=st.sampled_from("xyz"))
    def track(self, key: str, owner: str) -> None:
        if (key, owner) not in self.tracked:
            self.presence.track(TOPIC, key, {"n": 0}, owner)
            self.tracked.add((key, owner))

    @rule(key=st.sampled_from("ab"), owner=st.sampled_from("xyz"))
    def untrack(self, key: str, owner: str) -> None:
        self.presence.untrack(TOPIC, key, owner)
        self.tracked.discard((key, owner))

    @rule(key=st.sampled_from("ab"), owner=st.sampled_from("xyz"), number=st.integers(0, 9))
    def update(self, key: str, owner: str, number: int) -> None:
        new = self.presence.update(TOPIC, key, owner, {"n": number})
        assert (new is not None) == ((key, owner) in self.tracked)

    @rule()
    def the_turn_ends(self) -> None:
        diffs = [Frame(None, None, TOPIC, "presence_diff", diff) for diff in self.desk.diffs()]
        assert len(diffs) <= 1
        self.views = [sync(view, diffs) for view in self.views]
        for view in self.views:
            assert refs(view) == refs(self.presence.list(TOPIC))

    @invariant()
    def the_list_holds_whom_it_should(self) -> None:
        counts = {key: len(entry["metas"]) for key, entry in self.presence.list(TOPIC).items()}
        expected = {key: sum(k == key for k, _ in self.tracked) for key in {k for k, _ in self.tracked}}
        assert counts == expected

    def teardown(self) -> None:
        self.the_turn_ends()


def _state(state: dict[str, Any]) -> Frame:
    return Frame("1", None, TOPIC, "presence_state", state)


ClientAgainstPresence.TestCase.settings = settings(max_examples=50, stateful_step_count=40)
TestClientAgainstPresence = ClientAgainstPresence.TestCase
