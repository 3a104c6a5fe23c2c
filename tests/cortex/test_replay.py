"""Resume: a bounded buffer of an agent's stream, replayed in order and once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.channels import Message
from synapse.cortex import ReplayBuffer
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
