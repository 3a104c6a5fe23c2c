"""Whatever is sent, the server answers a heartbeat after it, and neither logs an exception nor harms a bystander.

``SYNAPSE_FUZZ`` sets the number of inputs; ``scripts/nightly`` sends 100 000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzz import DIALECTS, Dialect, Fuzzer, Input, inputs, mutated_transcripts
from tests.support.lean import LEAN, failures
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

INPUTS = int(os.environ.get("SYNAPSE_FUZZ", "2000"))
SHARE = -(-INPUTS // (2 * len(DIALECTS)))  # of each test with each dialect
SEED = 20_261
HEARD = {"phx_reply", "phx_close", "presence_diff", "thought", "result", "pong"}
CHANNELS = 'c.SynapseApp.channels = {"cortex:golden-*": "tests.support.channels.TestChannel"}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("fuzz")
    options = ["--SynapseApp.stop_grace=0", "--SynapseApp.idle_timeout=36000"]
    with (
        live_server(home, *options, config=LEAN + CHANNELS) as running,
        Phx(running.url, ping_interval=None) as bystander,  # a ping draws chance, which hypothesis forbids meanwhile
    ):
        bystander.join("cortex:bystander", {"api_key": "test-key"})
        bystander.push(
            "cortex:bystander", "query", {"q": "thoughts=1 delay_ms=3000000", "ref": "q", "timeout": 3_600_000}
        )
        yield running
        assert bystander.push("cortex:bystander", "ping")["status"] == "ok"
        assert [query["ref"] for query in running.get("/api/queries")["queries"] if query["agent"] == "bystander"] == [
            "q"
        ]
        assert failures(running, but="asked to crash") == []


@pytest.fixture(scope="module", params=DIALECTS, ids=lambda dialect: f"vsn={dialect.vsn}")
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
def fuzzer(server: LiveServer, dialect: Dialect) -> Iterator[Fuzzer]:
    with Fuzzer(server.url, dialect) as one:
        yield one
        assert one.sent >= SHARE
        assert 0 < one.closed < one.sent, "inputs that all do the same prove little"
        assert one.heard.keys() >= HEARD, "they never got past the door"


def test_messages_that_no_client_would_send(fuzzer: Fuzzer, dialect: Dialect) -> None:
    @given(inputs(dialect))
    @settings(max_examples=SHARE, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def feed(message: Input) -> None:
        fuzzer.send(*message)

    feed()


def test_harmed_transcripts(fuzzer: Fuzzer, dialect: Dialect) -> None:
    for message in islice(mutated_transcripts(dialect, SEED + DIALECTS.index(dialect)), SHARE):
        fuzzer.send(*message)
