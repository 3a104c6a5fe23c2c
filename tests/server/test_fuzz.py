"""Whatever is sent, the server answers a heartbeat after it, and neither logs an exception nor harms a bystander.

``SYNAPSE_FUZZ`` sets the number of inputs; ``scripts/nightly`` sends 100 000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzz import Fuzzer, inputs, mutated_transcripts
from tests.support.lean import LEAN, failures
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

INPUTS = int(os.environ.get("SYNAPSE_FUZZ", "2000"))
SEED = 20_261


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("fuzz"), config=LEAN) as running, Phx(running.url) as bystander:
        bystander.join("cortex:bystander", {"api_key": "test-key"})
        bystander.push(
            "cortex:bystander", "query", {"q": "thoughts=1 delay_ms=3000000", "ref": "q", "timeout": 3_600_000}
        )
        yield running
        assert bystander.push("cortex:bystander", "ping")["status"] == "ok"
        assert [query["ref"] for query in running.get("/api/queries")["queries"] if query["agent"] == "bystander"] == [
            "q"
        ]
        assert failures(running) == []


@pytest.fixture(scope="module")
def fuzzer(server: LiveServer) -> Iterator[Fuzzer]:
    with Fuzzer(server.url) as one:
        yield one


@given(inputs)
@settings(
    max_examples=INPUTS // 2, derandomize=True, database=None, suppress_health_check=list(HealthCheck), deadline=None
)
def test_frames_that_no_client_would_send(fuzzer: Fuzzer, message: tuple[bytes, bool]) -> None:
    fuzzer.send(*message)


def test_harmed_transcripts(fuzzer: Fuzzer) -> None:
    before = fuzzer.sent
    for message in islice(mutated_transcripts(SEED), INPUTS // 2):
        fuzzer.send(*message)
    assert fuzzer.sent - before == INPUTS // 2
    assert 0 < fuzzer.closed < fuzzer.sent, "inputs that all do the same prove little"
