"""The Python client against the real server: what a notebook does."""

from __future__ import annotations

import pytest

import synapse
from synapse.policies import TokenBucket
from tests.support.server import LiveServer

KEY = "test-key"


def test_thoughts_stream_and_the_result_follows(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=KEY, agent="ada") as agent:
        query = agent.query("thoughts=3")
        assert [thought.content for thought in query] == ["step 1", "step 2", "step 3"]
        assert query.result.data == {"echo": "thoughts=3"}


def test_an_interrupt_ends_a_stream(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=KEY, agent="ada") as agent:
        query = agent.query("thoughts=9999 delay_ms=5")
        for thought in query:
            if thought.content == "step 3":
                query.interrupt("enough")
        assert (query.result.status, query.result.reason) == ("interrupted", "enough")


def test_agents_see_each_other_at_once_with_status_and_load(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=KEY, agent="ada") as ada:
        for _ in range(20):
            with synapse.connect(server.url, api_key=KEY, agent="bob") as bob:
                bob.set_status("busy", load=0.7)
                (meta,) = ada.presence()["bob"]
                assert (meta["status"], meta["load"]) == ("busy", 0.7)
            assert "bob" not in ada.presence()


def test_an_unknown_handler_is_refused_with_those_it_may_use(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=KEY, agent="ada") as agent, pytest.raises(synapse.QueryRefused) as refused:
        agent.ask("", handler="nope")
    assert refused.value.handlers == ["echo", "worker:*"]
    assert "This agent may use: echo" in str(refused.value)


def test_a_wrong_key_is_a_join_error_that_says_what_to_do(server: LiveServer) -> None:
    with pytest.raises(synapse.JoinError, match="api_key"):
        synapse.connect(server.url, api_key="wrong")


def test_jupyters_token_opens_the_kernel(server: LiveServer) -> None:
    with synapse.connect(server.url, token=server.token, agent="ada") as agent:
        query = agent.query("print('hello'); 6 * 7", handler="kernel")
        assert next((thought.type, thought.content) for thought in query) == ("stdout", "hello\n")
        assert query.result.data["result"] == "42"


def test_who_runs_the_server_replaces_its_rules_while_others_use_it(server: LiveServer) -> None:
    with (
        synapse.connect(server.url, token=server.token, agent="operator") as operator,
        synapse.connect(server.url, api_key=KEY, agent="ada") as ada,
    ):
        before = operator.server.policies
        try:
            bucket = TokenBucket(rate=0.01, burst=1)
            assert operator.server.apply(rate_limit=bucket).rate_limit == bucket
            assert ada.ask("thoughts=0").ok
            with pytest.raises(synapse.QueryRefused, match="rate_limited"):
                ada.ask("thoughts=0")
        finally:
            operator.server.apply(before)
        assert ada.ask("thoughts=0").ok


def test_a_key_does_not_open_the_rules(server: LiveServer) -> None:
    with synapse.connect(server.url, api_key=KEY, agent="ada") as ada, pytest.raises(synapse.ServerError) as error:
        ada.server.apply(rate_limit={"kind": "unlimited"})
    assert error.value.status == 403
