"""Bounds on connections, on a live server: refused with word of when to come again, replaced while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import synapse
from tests.support.lean import LEAN, eventually, nobody_connected
from tests.support.phx import Phx
from tests.support.rest import delete, metrics, put
from tests.support.server import LiveServer, live_server
from tests.support.wire import Wire

KEY = {"api_key": "test-key"}
UNBOUND = {"kind": "connections"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("connections"), config=LEAN) as server:
        yield server


@pytest.fixture
def server(running: LiveServer) -> Iterator[LiveServer]:
    """A server without anybody, under the usual bounds, before the test and after it."""
    yield running
    put(running, connections=UNBOUND)
    eventually(lambda: nobody_connected(running), "everybody's leave")


def bound(server: LiveServer, **limits: Any) -> None:
    """Replace the bounds on connections."""
    put(server, connections={**UNBOUND, **limits})


class TestInTotal:
    def test_one_too_many_is_refused_with_503_and_word_of_when_to_come_again(self, server: LiveServer) -> None:
        with Wire(server.url) as first, Wire(server.url) as second:
            bound(server, total=2)
            with Wire(server.url) as third:
                assert (third.status, third.response.headers["Retry-After"]) == (503, "5")
                body = json.loads(third.response.body)
            assert body == {
                "reason": "too_many_connections",
                "policy": "connections.total",
                "retry_after_ms": 5000,
            }
            assert first.alive()
            assert second.alive()
        refused = "synapse_refusals_total{policy=connections.total,reason=too_many_connections,what=connection}"
        assert metrics(server)[refused] == 1

    def test_the_client_says_which_rule_it_was(self, server: LiveServer) -> None:
        with Wire(server.url):
            bound(server, total=1)
            with pytest.raises(synapse.ConnectError) as refusal:
                synapse.connect(server.url, api_key="test-key")
        assert refusal.value.problem == "HTTP status 503, too_many_connections by connections.total"
        assert (refusal.value.status, refusal.value.retry_after) == (503, 5.0)

    @pytest.mark.parametrize("way", ["closes", "resets", "breaks a rule", "sends garbage"])
    def test_whoever_goes_by_whatever_way_makes_room(self, server: LiveServer, way: str) -> None:
        bound(server, total=1)
        with Wire(server.url) as wire:
            match way:
                case "closes":
                    wire.close()
                case "resets":
                    wire.reset()
                case "breaks a rule":
                    wire.raw(b"\x83\x80\x00\x00\x00\x00")
                    wire.closed()
                case "sends garbage":
                    wire.raw(b"\x81\x80\x00\x00\x00\x00")
                    wire.closed()
        eventually(lambda: _welcome(server), "room for another")

    def test_a_handshake_that_fails_takes_no_place(self, server: LiveServer) -> None:
        bound(server, total=1)
        for _ in range(3):
            with Wire(server.url, {"vsn": "9.9.9"}) as bad:
                assert bad.status == 403
        assert _welcome(server)


def _welcome(server: LiveServer) -> bool:
    with Wire(server.url) as wire:
        if wire.status == 101:
            wire.close()
    return wire.status == 101


class TestTheAcceptRate:
    def test_those_who_come_too_fast_are_refused_with_429(self, server: LiveServer) -> None:
        bound(server, accept_rate=0.05, accept_burst=2)
        statuses = []
        for _ in range(3):
            with Wire(server.url) as wire:
                statuses.append(wire.status)
        assert statuses == [101, 101, 429]
        assert 15 < int(wire.response.headers["Retry-After"]) <= 20
        assert json.loads(wire.response.body)["policy"] == "connections.accept_rate"

    def test_the_client_raises_an_error_a_program_can_act_on(self, server: LiveServer) -> None:
        bound(server, accept_rate=0.05, accept_burst=1)
        with synapse.connect(server.url, api_key="test-key") as agent:
            with pytest.raises(synapse.ConnectError, match="Try again in") as refusal:
                synapse.connect(server.url, api_key="test-key")
            assert agent.ask("thoughts=0").status == "success"
        assert refusal.value.status == 429
        assert refusal.value.retry_after is not None
        assert 15 < refusal.value.retry_after <= 20


class TestJoins:
    @pytest.mark.parametrize("rule", ["per_agent", "per_key"])
    def test_one_too_many_is_refused_by_the_rule_that_it_broke(self, server: LiveServer, rule: str) -> None:
        bound(server, **{rule: 1})
        with Phx(server.url) as first, Phx(server.url) as second:
            assert first.join("cortex:a", KEY)["status"] == "ok"
            refused = second.join("cortex:a", KEY)
            assert refused == {
                "status": "error",
                "response": {
                    "reason": "too_many_connections",
                    "policy": f"connections.{rule}",
                    "retry_after_ms": 5000,
                },
            }
            first.push("cortex:a", "phx_leave")
            assert second.join("cortex:a", KEY)["status"] == "ok"

    def test_an_agent_that_was_disconnected_makes_room(self, server: LiveServer) -> None:
        bound(server, per_agent=1)
        with Phx(server.url) as first, Phx(server.url) as second:
            first.join("cortex:a", KEY)
            delete(server, "/api/agents/a")
            assert first.close_code() == 1001
            assert second.join("cortex:a", KEY)["status"] == "ok"

    def test_channels_on_one_connection_are_bounded(self, server: LiveServer) -> None:
        with Phx(server.url) as phx:
            assert [phx.join(f"cortex:a{n}", KEY)["status"] for n in range(3)] == ["ok"] * 3
            bound(server, channels=2)
            refused = phx.join("cortex:a9", KEY)["response"]
            assert refused == {"reason": "too_many_connections", "policy": "connections.channels"}
            assert [phx.push(f"cortex:a{n}", "ping")["status"] for n in range(3)] == ["ok"] * 3, "no one is cut off"

    def test_the_client_raises_an_error_a_program_can_act_on(self, server: LiveServer) -> None:
        bound(server, per_agent=1)
        with synapse.connect(server.url, api_key="test-key", agent="a") as agent:
            with pytest.raises(synapse.JoinError, match=r"by connections\.per_agent: too_many_connections") as refusal:
                synapse.connect(server.url, api_key="test-key", agent="a")
            assert agent.ask("thoughts=0").status == "success"
        assert (refusal.value.policy, refusal.value.retry_after) == ("connections.per_agent", 5.0)


class TestLargeMessages:
    def test_the_client_raises_an_error_a_program_can_act_on_and_stays_connected(self, server: LiveServer) -> None:
        with synapse.connect(server.url, api_key="test-key") as agent:
            with pytest.raises(synapse.QueryRefused, match="at most 1048576 bytes") as refusal:
                agent.ask("x" * 2**20)
            assert (refusal.value.reason, refusal.value.limit) == ("payload_too_large", 2**20)
            assert refusal.value.policy == "max_message_bytes"
            assert agent.ask("thoughts=0").status == "success"
            assert server.get("/api/health")["connections"] == 1, "the same connection"
