"""Stored keys on a live server: made, limited and revoked while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synapse
from tests.support.lean import LEAN
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    options = "c.SynapseApp.handlers = {'*': ['echo', 'tests.server.rooms:shout', 'kernel']}\n"
    options += "c.SynapseApp.key_workers = ['open-*', 'presence']\n"
    with live_server(tmp_path_factory.mktemp("keys"), config=LEAN + options, api_key="") as running:
        yield running


def keys(server: LiveServer, *arguments: str) -> str:
    """Run ``jupyter synapse keys`` beside the server. Returns what it prints."""
    command = [sys.executable, "-c", "from synapse.server.app import main; main()", "keys", *arguments]
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(server.home / "config")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return done.stdout.strip()


def test_a_key_that_was_just_made_opens_the_doors_of_its_agents(server: LiveServer) -> None:
    key = keys(server, "add", "scoped", "--agents", "lab-*")
    with Phx(server.url) as phx:
        assert phx.join("cortex:lab-1", {"api_key": key})["status"] == "ok"
        assert phx.join("cortex:presence", {"api_key": key})["status"] == "ok"
        assert phx.join("cortex:hal", {"api_key": key})["response"] == {"reason": "unauthorized"}
    assert "scoped" in keys(server, "list")
    assert key not in keys(server, "list")
    assert key not in server.log.read_text()


def test_it_may_be_limited_to_handlers_and_opens_no_trusted_one(server: LiveServer) -> None:
    key = keys(server, "add", "shouter", "--handlers", "tests.server.rooms:shout,kernel")
    with Phx(server.url) as phx:
        phx.join("cortex:a", {"api_key": key})
        phx.push("cortex:a", "query", {"q": "hello", "ref": "q"})
        assert phx.wait_ending("q")[1]["data"] == "HELLO"
        for handler in ("echo", "kernel"):
            refused = phx.push("cortex:a", "query", {"q": "1", "ref": "no", "handler": handler})["response"]
            assert refused["handlers"] == ["tests.server.rooms:shout"]


def test_its_rate_is_shared_by_all_its_bearers_and_not_begun_afresh_by_a_new_connection(server: LiveServer) -> None:
    key = keys(server, "add", "slow", "--rate", "0.01", "--burst", "2")
    for agent in ("a", "b"):
        with Phx(server.url) as phx:
            phx.join(f"cortex:{agent}", {"api_key": key})
            assert phx.push(f"cortex:{agent}", "query", {"q": "", "ref": "q"})["status"] == "ok"
    with synapse.connect(server.url, api_key=key) as agent, pytest.raises(synapse.QueryRefused) as refusal:
        agent.ask("")
    assert (refusal.value.reason, refusal.value.policy) == ("rate_limited", "token-bucket of key slow")
    assert refusal.value.retry_after is not None
    assert 90 < refusal.value.retry_after <= 100


@pytest.mark.parametrize(
    ("limits", "opened"),
    [
        ((), ["open-1", "presence"]),
        (("--agents", "open-*"), []),
        (("--agents", "worker:open-*"), ["open-1"]),
        (("--agents", "worker:*", "--handlers", "worker:open-1"), ["open-1"]),
        (("--handlers", "echo"), []),
    ],
)
def test_it_opens_the_workers_for_keys_that_its_agents_and_handlers_cover(
    server: LiveServer, request: pytest.FixtureRequest, limits: tuple[str, ...], opened: list[str]
) -> None:
    key = keys(server, "add", f"works-{request.node.callspec.indices['limits']}", *limits)
    with Phx(server.url) as phx:
        replies = {name: phx.join(f"worker:{name}", {"api_key": key}) for name in ("open-1", "presence", "closed")}
    assert [name for name, reply in replies.items() if reply["status"] == "ok"] == opened
    refused = [reply["response"]["reason"] for reply in replies.values() if reply["status"] == "error"]
    assert set(refused) == {"unauthorized"}


def test_revoking_it_disconnects_its_bearers_and_no_one_else(server: LiveServer) -> None:
    doomed, spared = keys(server, "add", "doomed"), keys(server, "add", "spared")
    with Phx(server.url) as agent, Phx(server.url) as onlooker, Phx(server.url) as worker, Phx(server.url) as other:
        assert agent.join("cortex:a", {"api_key": doomed})["status"] == "ok"
        assert onlooker.join("cortex:presence", {"api_key": doomed})["status"] == "ok"
        assert worker.join("worker:open-1", {"api_key": doomed})["status"] == "ok"
        assert other.join("cortex:b", {"api_key": spared})["status"] == "ok"
        keys(server, "revoke", "doomed")
        assert [one.close_code() for one in (agent, onlooker, worker)] == [1008] * 3
        assert other.push("cortex:b", "ping")["status"] == "ok"
        assert other.join("cortex:c", {"api_key": doomed})["response"] == {"reason": "unauthorized"}


def test_one_whose_time_is_over_is_revoked_by_itself(server: LiveServer) -> None:
    key = keys(server, "add", "brief", "--max-age", "6s")
    with Phx(server.url) as phx:
        assert phx.join("cortex:a", {"api_key": key})["status"] == "ok"
        assert phx.close_code() == 1008


def test_an_agent_whose_key_was_revoked_gives_up(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=keys(server, "add", "fleeting"), agent="fleeting") as agent:
        query = agent.query("thoughts=1 delay_ms=60000")
        keys(server, "revoke", "fleeting")
        with pytest.raises((synapse.QueryLost, synapse.AgentClosed)):
            query.result  # noqa: B018
        assert agent.status == "closed"


def test_a_server_does_not_start_with_a_file_that_makes_no_sense(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("nonsense")
    option = f"--SynapseApp.keys_file={tmp_path / 'keys.json'}"
    with (
        pytest.raises(AssertionError, match=r"keys_file: .*keys\.json: is no file of keys"),
        live_server(tmp_path, option, config=LEAN),
    ):
        pass
