"""What agents show of themselves: status and load, on their own topic and on the roster."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.cortex import Cortex
from synapse.policies import Fixed, Policies
from tests.support.clock import VirtualClock
from tests.support.node import EPOCH, Node
from tests.support.peer import Peer
from tests.support.runner import ScriptedRunner

KEEP = ("status", "load")


def watch(node: Node) -> Peer:
    """A new connection that watches the roster."""
    peer = node.peer()
    peer.join("cortex:presence")
    peer.take()
    return peer


def shown(node: Node, agent: str) -> list[dict[str, Any]]:
    """What the roster shows of an agent, a dict for each of its connections."""
    entry = node.cortex.presence.get(agent)
    assert entry is not None
    return [{name: meta[name] for name in KEEP if name in meta} for meta in entry["metas"]]


class TestStatusFromTheClient:
    def test_it_is_active_until_it_says_otherwise(self) -> None:
        node = Node()
        agent = node.agent("a")
        assert shown(node, "a") == [{"status": "active"}]
        assert agent.ask("status", {"status": "busy", "load": 0.7}) == ("ok", {})
        assert shown(node, "a") == [{"status": "busy", "load": 0.7}]

    def test_it_changes_the_meta_of_the_connection_that_says_so(self) -> None:
        node = Node()
        agent, _ = node.agent("a"), node.agent("a")
        agent.ask("status", {"status": "away"})
        assert shown(node, "a") == [{"status": "away"}, {"status": "active"}]

    def test_watchers_get_one_diff_with_the_old_meta_leaving_and_the_new_one_joining(self) -> None:
        node = Node()
        agent, watcher = node.agent("a"), watch(node)
        agent.ask("status", {"status": "busy"})
        node.settle()
        ((joins, leaves),) = [(frame.payload["joins"], frame.payload["leaves"]) for frame in watcher.take()]
        (new,), (old,) = joins["a"]["metas"], leaves["a"]["metas"]
        assert (old["status"], new["status"]) == ("active", "busy")
        assert new["phx_ref_prev"] == old["phx_ref"]

    @pytest.mark.parametrize(
        ("payload", "field"),
        [({"load": 1.1}, "load"), ({"load": -0.1}, "load"), ({"status": ""}, "status"), ({"status": 5}, "status")],
    )
    def test_a_bad_value_is_refused_by_name(self, payload: Any, field: str) -> None:
        status, response = Node().agent("a").ask("status", payload)
        assert (status, response["field"]) == ("error", field)


class TestFromTheServer:
    def test_update_status_changes_all_connections(self) -> None:
        node = Node()
        node.agent("a"), node.agent("a")
        node.cortex.presence.update_status("a", "drained")
        assert shown(node, "a") == [{"status": "drained"}] * 2

    def test_the_load_is_unfinished_queries_in_proportion_to_the_limit(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(4)))
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        node.settle(1)
        assert shown(node, "a") == [{"status": "active", "load": 0.5}]
        node.runner.finish("q1", None)
        node.settle(1)
        assert shown(node, "a") == [{"status": "active", "load": 0.25}]

    def test_it_is_told_at_most_once_a_second_and_only_when_it_changed(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(4)))
        agent, watcher = node.agent("a"), watch(node)
        for number in range(20):
            agent.query(f"q{number}")
            node.runner.finish(f"q{number}", None)
            node.settle(0.1)
        agent.query("last")
        node.settle(1)
        diffs = [frame for frame in watcher.take() if frame.event == "presence_diff"]
        assert len(diffs) == 1

    def test_it_does_not_appear_on_the_agents_own_topic(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q")
        node.settle(2)
        assert [frame.event for frame in agent.peer.take()] == []

    def test_an_agent_that_tells_its_own_load_is_left_alone(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.ask("status", {"load": 0.9})
        agent.query("q")
        node.settle(2)
        assert shown(node, "a") == [{"status": "active", "load": 0.9}]

    @pytest.mark.parametrize("load_pct", [-1, 101, float("nan")])
    def test_a_load_outside_0_to_100_percent_is_refused(self, load_pct: float) -> None:
        node = Node()
        node.agent("a")
        with pytest.raises(ValueError, match="load_pct"):
            node.cortex.presence.track_load("a", load_pct)


def test_a_node_that_was_restarted_gives_no_phx_ref_again() -> None:
    """A client that outlives the restart would go on showing the old meta."""
    given = []
    for started in (100.0, 107.0):
        clock = VirtualClock(started)
        presence = Cortex(clock, ScriptedRunner(clock), epoch=EPOCH).endpoint.presence
        given += [presence.track("topic", "key", {}, object())["phx_ref"] for _ in range(3)]
    assert len(set(given)) == 6
