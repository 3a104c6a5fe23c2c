"""A language model behind a real server, configured as the documents say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import synapse
from tests.support.lean import LEAN, failures
from tests.support.llm import PATIENCE, LocalModel
from tests.support.server import LiveServer, live_server

CONFIG = """
c.SynapseApp.handlers = {"*": ["model"]}
c.SynapseApp.handler_options = {"model": {"model": "parrot", "base_url": "%s", "api_key_env": "PARROT_KEY"}}
"""


@pytest.fixture(scope="module")
def llm() -> Iterator[LocalModel]:
    with LocalModel() as running:
        yield running


@pytest.fixture(scope="module")
def server(llm: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("server")
    with live_server(home, config=LEAN + CONFIG % llm.url, env={"PARROT_KEY": "sk-12345"}) as running:
        yield running


@pytest.fixture
def agent(server: LiveServer) -> Iterator[synapse.Agent]:
    with synapse.connect(server.url, api_key="test-key") as connected:
        yield connected


def test_its_answer_streams(agent: synapse.Agent, llm: LocalModel, server: LiveServer) -> None:
    query = agent.query("words=4 delay_ms=30")
    assert "".join(thought.content for thought in query) == query.result.data["text"] == "word0 word1 word2 word3 "
    assert llm.keys[-1] == "sk-12345"
    assert failures(server) == []


def test_an_interrupt_closes_the_stream_there(agent: synapse.Agent, llm: LocalModel) -> None:
    query = agent.query("hang=1")
    next(iter(query))
    query.interrupt("enough")
    assert query.result.status == "interrupted"
    assert llm.closed.wait(PATIENCE)


def test_a_429_there_says_when_to_ask_again(agent: synapse.Agent) -> None:
    data = agent.ask("status=429 retry_after=2").data
    assert (data["reason"], data["retry_after_ms"]) == ("rate_limited", 2000)
