"""Resume: a bounded buffer of an agent's stream, replayed in order and once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.channels import Message
from synapse.cortex import ReplayBuffer, ReplayRoom
from synapse.cortex.replay import OVERHEAD
from synapse.protocol import V2_SERIALIZER
from tests.support.node import AgentPeer, Node


def message(ref: str, seq: int) -> Message:
    return Message("cortex:a", "thought" if seq else "result", {"ref": ref, "seq": seq})


def sent(messages: list[Message]) -> list[tuple[str, int]]:
    payloads = [json.loads(each.data) for each in messages]
    return [(payload["ref"], payload["seq"]) for payload in payloads]


class TestReplayBuffer:
    def test_what_was_seen_is_not_sent_again(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30)
        for seq in (1, 2, 3):
            buffer.thought("q", seq, message("q", seq))
        buffer.ending("q", message("q", 0), now=0)
        assert sent(buffer.missed({"q": 2}, 0).messages) == [("q", 3), ("q", 0)]

    def test_an_accepted_query_without_a_thought_is_known(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30)
        buffer.begin("q")
        missed = buffer.missed({"q": 0, "other": 0}, 0)
        assert (missed.messages, missed.unknown) == ([], ["other"])

    def test_a_query_that_ended_longer_ago_than_the_grace_period_is_unknown(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30)
        buffer.thought("q", 1, message("q", 1))
        buffer.ending("q", message("q", 0), now=0)
        assert buffer.missed({"q": 0}, 29.9).unknown == []
        assert buffer.missed({"q": 0}, 30).unknown == ["q"]
        assert (len(buffer), buffer.bytes) == (0, 0)

    def test_at_the_bound_the_oldest_go_and_the_gap_is_told(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30, messages=3)
        for seq in range(1, 6):
            buffer.thought("q", seq, message("q", seq))
        missed = buffer.missed({"q": 1}, 0)
        assert sent(missed.messages) == [("q", 3), ("q", 4), ("q", 5)]
        assert missed.gaps == {"q": 3}

    def test_a_ref_that_is_used_again_has_a_stream_of_its_own(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30)
        buffer.thought("q", 1, message("q", 1))
        buffer.ending("q", message("q", 0), now=0)
        buffer.begin("q")
        assert buffer.missed({"q": 0}, 0).messages == []
        assert buffer.bytes == 0

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60),
        st.dictionaries(st.sampled_from("abcd"), st.integers(0, 8)),
        st.integers(1, 20),
    )
    def test_whatever_happens_it_sends_what_was_missed_or_says_what_is_gone(
        self, steps: list[tuple[str, bool]], seen: dict[str, int], bound: int
    ) -> None:
        buffer, thoughts, ended = ReplayBuffer("cortex:a", grace=30, messages=bound), dict.fromkeys("abc", 0), set()
        story: list[tuple[str, int]] = []
        for ref, ends in steps:
            if ref in ended:
                continue
            if ends:
                buffer.ending(ref, message(ref, 0), now=0)
                ended.add(ref)
                story.append((ref, 0))
            else:
                thoughts[ref] += 1
                buffer.thought(ref, thoughts[ref], message(ref, thoughts[ref]))
                story.append((ref, thoughts[ref]))
        missed = buffer.missed(seen, 0)
        assert len(buffer) <= bound
        kept = story[-len(buffer) :] if len(buffer) else []
        assert sent(missed.messages) == [(r, s) for r, s in kept if r in seen and (s == 0 or s > seen[r])]
        for ref, last in seen.items():
            unseen = {s for r, s in story if r == ref and s > last}
            got = {s for r, s in sent(missed.messages) if r == ref and s}
            gone = unseen - got
            assert not gone or ref in missed.unknown or missed.gaps[ref] == max(gone) + 1
            if ref in missed.unknown and ref in thoughts and (thoughts[ref] or ref in ended):
                assert not missed.kept, "what ran would be taken for what never arrived, and run again"

    def test_an_ending_that_was_dropped_too_early_is_not_taken_for_a_query_that_never_arrived(self) -> None:
        buffer = ReplayBuffer("cortex:a", grace=30, messages=2)
        for number, ref in enumerate("abc"):
            buffer.ending(ref, message(ref, 0), now=number)
        missed = buffer.missed({"a": 0}, 10)
        assert (missed.unknown, missed.kept) == (["a"], False)
        assert buffer.missed({"a": 0}, 30).kept, "by now it would be forgotten in any case"


class Story:
    """Some streams in one room, and what was said in them."""

    def __init__(self, size: float) -> None:
        self.room = ReplayRoom(size)
        self.streams = {name: ReplayBuffer(f"cortex:{name}", 30, self.room, messages=9) for name in "abc"}
        self.said: dict[str, dict[str, int]] = {name: {} for name in "abc"}  # thoughts by ref
        self.ended: dict[str, set[str]] = {name: set() for name in "abc"}

    def think(self, name: str, ref: str, padding: int = 0) -> None:
        if ref not in self.ended[name]:
            seq = self.said[name][ref] = self.said[name].get(ref, 0) + 1
            payload = {"ref": ref, "seq": seq, "padding": "x" * padding}
            self.streams[name].thought(ref, seq, Message(f"cortex:{name}", "thought", payload))

    def end(self, name: str, ref: str, now: float = 0) -> None:
        if ref not in self.ended[name]:
            self.said[name].setdefault(ref, 0)
            self.ended[name].add(ref)
            self.streams[name].ending(ref, message(ref, 0), now)

    def kept(self, name: str) -> list[tuple[str, int]]:
        """All that a stream still has."""
        return sent(self.streams[name].missed(dict.fromkeys(self.said[name], 0), 0).messages)

    def check(self, name: str) -> None:
        """What is gone of a stream is told."""
        missed = self.streams[name].missed(dict.fromkeys(self.said[name], 0), 0)
        here = sent(missed.messages)
        for ref, count in self.said[name].items():
            seqs = [seq for one, seq in here if one == ref and seq]
            first = count - len(seqs) + 1
            assert seqs == [*range(first, count + 1)]
            if ref in missed.unknown:
                assert (seqs, missed.kept) == ([], False)
            else:
                assert missed.gaps.get(ref, 1) == first
                assert ((ref, 0) in here) == (ref in self.ended[name])


COST = OVERHEAD + len(message("q", 1).data) + len(',"padding":""')


class TestReplayRoom:
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abc"), st.sampled_from("qr"), st.sampled_from(["think", "end", "forget", "begin"])
            ),
            max_size=80,
        ),
        st.integers(0, 12),
        st.integers(0, 300),
    )
    def test_all_streams_stay_within_it_and_say_what_they_gave_up(
        self, steps: list[tuple[str, str, str]], messages: int, padding: int
    ) -> None:
        story = Story(messages * COST)
        for name, ref, step in steps:
            match step:
                case "think":
                    story.think(name, ref, padding)
                case "end":
                    story.end(name, ref)
                case "forget":
                    story.streams[name].forget()
                    story.streams[name] = ReplayBuffer(f"cortex:{name}", 30, story.room, messages=9)
                    story.said[name].clear()
                    story.ended[name].clear()
                case _ if ref in story.ended[name] or ref not in story.said[name]:
                    story.streams[name].begin(ref)
                    story.said[name][ref] = 0
                    story.ended[name].discard(ref)
            assert story.room.bytes <= story.room.size
            held = story.streams.values()
            assert story.room.bytes == sum(stream.bytes + OVERHEAD * len(stream) for stream in held)
        for name in "abc":
            story.check(name)
            story.streams[name].forget()
        assert story.room.bytes == 0

    def test_who_has_held_messages_longest_gives_up_its_oldest_first(self) -> None:
        story = Story(4 * COST)
        for name in "aabb":
            story.think(name, "q")
        story.think("c", "q")
        assert [story.kept(name) for name in "abc"] == [[("q", 2)], [("q", 1), ("q", 2)], [("q", 1)]]
        story.think("c", "q")
        story.think("c", "q")
        assert [story.kept(name) for name in "abc"] == [[], [("q", 2)], [("q", 1), ("q", 2), ("q", 3)]]
        story.think("a", "q")  # it holds something anew, and is the youngest now
        assert [story.kept(name) for name in "abc"] == [[("q", 3)], [], [("q", 1), ("q", 2), ("q", 3)]]

    def test_within_it_nobody_loses_anything(self) -> None:
        story = Story(6 * COST)
        for name in "abcabc":
            story.think(name, "q")
        assert [story.kept(name) for name in "abc"] == [[("q", 1), ("q", 2)]] * 3

    def test_it_finds_the_oldest_among_very_many(self) -> None:
        room = ReplayRoom(100 * COST)
        streams = [ReplayBuffer("cortex:a", 30, room) for _ in range(20_000)]
        for stream in streams:
            stream.thought("q", 1, Message("cortex:a", "thought", {"ref": "q", "seq": 1, "padding": ""}))
        assert [len(stream) for stream in streams] == [0] * 19_900 + [1] * 100


def resume(node: Node, seen: dict[str, int]) -> tuple[AgentPeer, Any]:
    """Connect as agent ``a`` and resume. Returns the peer and what the reply says."""
    peer = node.peer()
    answer = peer.join("cortex:a", {"resume": seen})
    return AgentPeer(peer, "a"), answer["resume"]


def stream(agent: AgentPeer) -> list[Any]:
    return [
        payload.get("seq", event) for event, payload in agent.heard() if event in ("thought", "result", "interrupted")
    ]


class TestAnAgentThatResumes:
    def test_its_thoughts_are_numbered_from_one(self) -> None:
        node = Node()
        agent, answer = resume(node, {})
        agent.query("q")
        for _ in range(3):
            node.runner.think("q", {})
        assert stream(agent) == [1, 2, 3]
        assert answer["unknown"] == []
        assert answer["gaps"] == {}

    def test_others_see_no_numbers(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q")
        node.runner.think("q", {"content": "x"})
        ((_, payload),) = agent.heard()
        assert "seq" not in payload

    def test_it_misses_nothing_and_gets_nothing_twice(self) -> None:
        node = Node()
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        for _ in range(3):
            node.runner.think("q", {})
        assert stream(agent) == [1, 2, 3]
        agent.disconnect()
        for _ in range(2):
            node.runner.think("q", {})
        back, answer = resume(node, {"q": 3})
        assert answer["unknown"] == []
        assert answer["gaps"] == {}
        node.runner.think("q", {})
        node.runner.finish("q", None)
        assert stream(back) == [4, 5, 6, "result"]

    def test_an_ending_that_it_missed_is_sent_again(self) -> None:
        node = Node()
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        agent.disconnect()
        node.runner.finish("q", None)
        back, _ = resume(node, {"q": 0})
        assert stream(back) == ["result"]

    def test_after_the_grace_period_its_queries_are_unknown_and_nothing_is_kept(self) -> None:
        node = Node(grace=5, linger=3)
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        agent.disconnect()
        node.settle(6)
        assert node.leftovers() == {}
        back, answer = resume(node, {"q": 0})
        assert answer["unknown"] == ["q"]
        assert stream(back) == []

    def test_given_up_while_away_it_learns_that_its_query_was_interrupted(self) -> None:
        node = Node(grace=30, linger=3)
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        agent.disconnect()
        node.settle(4)
        back, _ = resume(node, {"q": 0})
        assert back.heard()[0] == ("interrupted", {"ref": "q", "reason": "agent_gone"})

    def test_what_others_have_pushed_out_is_a_gap_in_its_reply(self) -> None:
        node = Node(resume_bytes=1_000)
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        agent.disconnect()
        node.runner.think("q", {})
        other = node.peer()
        other.join("cortex:b", {"resume": {}})
        AgentPeer(other, "b").query("p", timeout=60_000)
        for _ in range(3):
            node.runner.think("p", {})
        back, answer = resume(node, {"q": 0})
        assert answer == {"kept": True, "unknown": [], "gaps": {"q": 2}}
        node.runner.think("q", {})
        assert stream(back) == [2]

    def test_a_server_that_kept_the_stream_says_so(self) -> None:
        node = Node()
        agent, first = resume(node, {})
        agent.disconnect()
        _, second = resume(node, {})
        assert (first["kept"], second["kept"]) == (False, True)

    def test_a_query_that_outlived_its_stream_is_known_and_its_gap_is_told(self) -> None:
        node = Node(grace=1, linger=30)
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        node.runner.think("q", {})
        agent.disconnect()
        node.runner.think("q", {})
        node.settle(2)
        back, answer = resume(node, {"q": 1})
        assert answer == {"kept": False, "unknown": [], "gaps": {"q": 3}}
        node.runner.think("q", {})
        assert stream(back) == [3]
        back.disconnect()
        node.runner.think("q", {})
        again, answer = resume(node, {"q": 1})
        assert (answer["gaps"], stream(again)) == ({"q": 3}, [3, 4])

    def test_an_idle_agents_old_stream_is_forgotten(self) -> None:
        node = Node(grace=5)
        agent, _ = resume(node, {})
        agent.query("q")
        node.runner.think("q", {})
        node.runner.finish("q", None)
        (buffer,) = node.cortex.absences.buffers.values()
        assert len(buffer) == 2
        node.settle(5)
        assert len(buffer) == 0
        assert node.timers == 0

    @pytest.mark.parametrize("bad", [[], "q", {"q": -1}, {"q": "1"}, {"q": None}, {"": 1}])
    def test_a_bad_resume_is_refused_by_name(self, bad: Any) -> None:
        status, response = Node().peer().ask("cortex:a", "phx_join", {"resume": bad})
        assert status == "error"
        assert "resume" in response["reason"]

    def test_replayed_frames_are_those_of_its_new_join(self) -> None:
        node = Node()
        agent, _ = resume(node, {})
        agent.query("q", timeout=60_000)
        agent.disconnect()
        node.runner.think("q", {})
        peer = node.peer()
        peer.join("cortex:a", {"resume": {"q": 0}}, ref="99", join_ref="99")
        (frame,) = [frame for frame in peer.take() if frame.event == "thought"]
        assert frame.join_ref == "99"
        assert V2_SERIALIZER is peer.serializer
