"""Watching a real server: who may, and what only a driver can measure."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lean import LEAN
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

TOPIC = "cortex:monitor"
REFUSED = {"reason": "unauthorized: the monitor is for Jupyter's users"}


def user(server: LiveServer) -> Phx:
    """A connection of a Jupyter user."""
    return Phx(server.url, additional_headers={"Authorization": f"token {server.token}"})


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("monitor"), config=LEAN) as running:
        yield running


def test_a_jupyter_user_sees_a_query_from_its_submission_to_its_ending(lean: LiveServer) -> None:
    with user(lean) as observer, Phx(lean.url) as agent:
        assert observer.join(TOPIC)["status"] == "ok"
        assert observer.wait_event("snapshot")["queries"] == []
        agent.join("cortex:a", {"api_key": lean.api_key})
        agent.push("cortex:a", "query", {"q": "thoughts=2", "ref": "q1"})
        agent.wait_ending("q1")
        seen: list[str] = []
        while "Finished" not in seen:
            seen += [event["event"] for event in observer.wait_event("events")["events"]]
    story = [kind for kind in seen if kind in ("Submitted", "Admitted", "Started", "Thought", "Finished")]
    assert story == ["Submitted", "Admitted", "Started", "Thought", "Thought", "Finished"]
    assert "Joined" in seen


def test_a_key_does_not_open_it(lean: LiveServer) -> None:
    with Phx(lean.url) as stranger:
        assert stranger.join(TOPIC)["response"] == {"reason": "api_key required"}
        assert stranger.join(TOPIC, {"api_key": lean.api_key}) == {"status": "error", "response": REFUSED}


def test_a_token_for_all_agents_does_not_either(lean: LiveServer) -> None:
    request = urllib.request.Request(f"{lean.http}/api/tokens", data=json.dumps({"agent": "*"}).encode())
    request.add_header("Authorization", f"token {lean.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        token = json.load(answer)["token"]
    with Phx(f"{lean.url}?token={token}") as bearer:
        assert bearer.join("cortex:presence")["status"] == "ok"
        assert bearer.join(TOPIC)["response"] == {"reason": "unauthorized"}


def test_a_key_does_where_the_configuration_says_so(tmp_path: Path) -> None:
    with live_server(tmp_path, config=LEAN + "c.SynapseApp.watch_with_keys = True\n") as server, Phx(server.url) as phx:
        assert phx.join(TOPIC, {"api_key": server.api_key})["status"] == "ok"


def test_gauges_have_the_lag_of_the_loop_and_the_round_trips_of_agents(lean: LiveServer) -> None:
    with user(lean) as observer, Phx(lean.url) as agent:
        agent.join("cortex:far", {"api_key": lean.api_key})
        observer.join(TOPIC)
        gauges = observer.wait_event("gauges")
    assert gauges["lag"] >= 0
    assert 0 < gauges["rtt"]["far"] < 1
