"""Workers on a real server: who may be one, and what becomes of a query whose worker is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import synapse
from synapse.handlers import Query
from tests.support.lean import LEAN, eventually, failures
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

KEY = {"api_key": "test-key"}
CONFIG = """
c.SynapseApp.key_workers = ["open-*"]
c.SynapseApp.handlers = {"guest-*": ["echo", "worker:open-*"], "*": ["echo", "worker:*"]}
c.SynapseApp.trusted_handlers = ["worker:secret"]
c.SynapseApp.handler_options = {"worker": {"balancing": "round-robin", "max_waiting": 1}}
"""

WORKER = """
import os, sys, time, synapse
def work(query, think):
    think(str(os.getpid()))
    while query.q == "wait":
        query.check_interrupt()
        time.sleep(0.01)
    return query.q
agent = synapse.connect(sys.argv[1], token=sys.argv[2])
worker = agent.serve(work, "work")
print("serving", flush=True)
worker.wait()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("server"), config=LEAN + CONFIG) as running:
        yield running


@contextmanager
def worker_process(server: LiveServer) -> Iterator[subprocess.Popen[str]]:
    """A process that serves ``worker:work``."""
    command = [sys.executable, "-W", "error", "-c", WORKER, server.url, server.token]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
            yield process
        finally:
            process.kill()


def spell(query: Query, think: object) -> int:
    return len(query.q)


class TestWhoMayBeOne:
    @pytest.mark.parametrize(
        ("name", "payload", "answer"),
        [
            ("open-1", KEY, "ok"),
            ("spell", KEY, "unauthorized"),
            ("open-1", {}, "api_key required"),
            ("open-1", {"api_key": "wrong"}, "unauthorized"),
        ],
    )
    def test_a_key_opens_the_names_that_the_configuration_says(
        self, server: LiveServer, name: str, payload: dict[str, str], answer: str
    ) -> None:
        with Phx(server.url) as phx:
            reply = phx.join(f"worker:{name}", payload)
        assert answer in (reply["status"], reply["response"].get("reason"))

    def test_a_jupyter_user_may_be_any(self, server: LiveServer) -> None:
        with Phx(f"{server.url}?token={server.token}") as phx:
            assert phx.join("worker:spell") == {"status": "ok", "response": {"max_bytes": 2**20}}

    def test_a_token_for_agents_opens_none(self, server: LiveServer) -> None:
        body = json.dumps({"agent": "*"}).encode()
        request = urllib.request.Request(f"{server.http}/api/tokens", body, {"Authorization": f"token {server.token}"})
        with urllib.request.urlopen(request) as answer:
            token = json.load(answer)["token"]
        with Phx(f"{server.url}?token={token}") as phx:
            assert phx.join("cortex:ada")["status"] == "ok"
            assert phx.join("worker:open-1") == {"status": "error", "response": {"reason": "unauthorized"}}

    def test_a_client_that_is_refused_learns_what_it_takes(self, server: LiveServer) -> None:
        with (
            synapse.connect(server.url, api_key="test-key") as agent,
            pytest.raises(synapse.JoinError, match="key_workers"),
        ):
            agent.serve(spell)


class TestWhoMayUseThem:
    def test_agents_whose_pattern_fits(self, server: LiveServer) -> None:
        with (
            synapse.connect(server.url, token=server.token) as owner,
            owner.serve(spell, "open-spell"),
            owner.serve(spell, "secret"),
            synapse.connect(server.url, api_key="test-key", agent="guest-1") as guest,
            synapse.connect(server.url, api_key="test-key", agent="ada") as ada,
        ):
            assert guest.ask("cat", handler="worker:open-spell").data == 3
            for agent in (guest, ada):  # by pattern; by trust
                with pytest.raises(synapse.QueryRefused, match="handler not available"):
                    agent.ask("cat", handler="worker:secret")
            assert owner.ask("cat", handler="worker:secret").data == 3


class TestAWorkerThatIsKilled:
    def test_ends_its_query_with_an_error_that_says_so_at_once(self, server: LiveServer) -> None:
        with synapse.connect(server.url, api_key="test-key", agent="ada") as ada, worker_process(server) as process:
            query = ada.query("wait", handler="worker:work", timeout=3600)
            assert next(iter(query)).content == str(process.pid)
            process.send_signal(signal.SIGKILL)
            assert (query.result.status, query.result.data["reason"]) == ("error", "worker_gone")
            assert ada.ask("now", handler="worker:work").data["reason"] == "no_worker"
        assert server.get("/api/queries")["queries"] == []
        assert failures(server) == []

    def test_leaves_the_work_to_the_others_of_its_name(self, server: LiveServer) -> None:
        with (
            synapse.connect(server.url, api_key="test-key", agent="ada") as ada,
            worker_process(server) as first,
            worker_process(server) as second,
        ):
            seen = {next(iter(ada.query("now", handler="worker:work"))).content for _ in range(2)}
            assert seen == {str(first.pid), str(second.pid)}
            first.send_signal(signal.SIGKILL)
            eventually(lambda: len(server.get("/api/workers")["workers"]) == 1, "the server knows that one has gone")
            assert all(ada.ask("now", handler="worker:work").ok for _ in range(4))


def test_an_interrupt_reaches_the_worker_whose_place_is_free_again(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key="test-key", agent="ada") as ada, worker_process(server):
        query = ada.query("wait", handler="worker:work")
        next(iter(query))
        (worker,) = server.get("/api/workers")["workers"]
        assert (worker["worker"], worker["running"], worker["concurrency"]) == ("work", 1, 1)
        query.interrupt("enough")
        assert (query.result.status, query.result.reason) == ("interrupted", "enough")
        assert ada.ask("now", handler="worker:work").data == "now"


def test_what_waits_for_workers_is_bounded_as_configured(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key="test-key", agent="ada") as ada, worker_process(server):
        queries = [ada.query("wait", handler="worker:work") for _ in range(3)]
        assert queries[2].result.data["reason"] == "overloaded"
        assert server.get("/api/workers")["waiting"] == {"work": 1}
        for query in queries[:2]:
            query.interrupt()
            assert query.result.status == "interrupted"


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("{'worker': {'balancing': 'by-guess'}}", "worker: balancing"),
        ("{'worker': {'speed': 9}}", "worker: .*speed"),
        ("{'nobody': {}}", "nobody"),
    ],
)
def test_options_that_make_no_sense_are_told_at_the_start(tmp_path: Path, option: str, complaint: str) -> None:
    with (
        pytest.raises(AssertionError, match=complaint),
        live_server(tmp_path, f"--SynapseApp.handler_options={option}", config=LEAN),
    ):
        pass
