"""The REST API: Jupyter's authentication, JSON answers."""

from __future__ import annotations

import urllib.error

import pytest

from tests.support.phx import Phx
from tests.support.server import LiveServer


@pytest.mark.parametrize("path", ["/api/health", "/api/agents", "/api/queries", "/api/workers"])
def test_a_stranger_is_forbidden(server: LiveServer, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        server.get(path, token="wrong")
    assert refusal.value.code == 403
    refusal.value.close()


def test_health_says_ready_and_counts(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:healthy", {"api_key": "test-key"})
        health = server.get("/api/health")
    assert health["status"] == "ready"
    assert health["agents"] == health["connections"] == 1
    assert health["running"] == health["waiting"] == 0
    assert health["uptime"] > 0


def test_agents_lists_who_is_here(server: LiveServer) -> None:
    with Phx(server.url) as first, Phx(server.url) as second:
        for phx in (first, second):
            phx.join("cortex:listed", {"api_key": "test-key"})
        (agent,) = server.get("/api/agents")["agents"]
    assert agent["agent"] == "listed"
    assert agent["connections"] == len(agent["metas"]) == 2
    assert agent["queries"] == 0


def test_queries_lists_what_is_unfinished(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:asker", {"api_key": "test-key"})
        phx.push("cortex:asker", "query", {"q": "thoughts=2 delay_ms=60000", "ref": "q1", "priority": 2})
        (query,) = server.get("/api/queries")["queries"]
        phx.push("cortex:asker", "interrupt", {"ref": "q1"})
        phx.wait_ending("q1")
        assert server.get("/api/queries")["queries"] == []
    assert (query["agent"], query["ref"], query["handler"]) == ("asker", "q1", "echo")
    assert (query["priority"], query["state"], query["thoughts"]) == (2, "running", 0)
