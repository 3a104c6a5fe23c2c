"""Tokens: a Jupyter user has one made, and its bearer may be the agents it names, for so long."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

import synapse
from synapse.server.tokens import Tokens
from tests.support.phx import Phx
from tests.support.server import LiveServer


def call(server: LiveServer, method: str, path: str, body: object = None) -> Any:
    """Call the REST API as Jupyter's user. Returns the JSON answer, None if there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.http}{path}", data=data, method=method)
    request.add_header("Authorization", f"token {server.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def issue(server: LiveServer, agent: str, **more: Any) -> str:
    answer = call(server, "POST", "/api/tokens", {"agent": agent, **more})
    assert answer["agent"] == agent
    return str(answer["token"])


class TestSigning:
    def test_a_token_says_who_may_be_whom(self) -> None:
        tokens = Tokens(b"secret")
        token, bearer = tokens.issue("lab-*", "ada", 60)
        assert tokens.read(token) == bearer
        assert bearer.covers("lab-1")
        assert not bearer.covers("hal")

    def test_an_expired_a_changed_and_a_foreign_token_say_nothing(self) -> None:
        tokens = Tokens(b"secret")
        token, _ = tokens.issue("lab-*", "ada", 60)
        expired, _ = tokens.issue("lab-*", "ada", -1)
        assert tokens.read(expired) is None
        assert tokens.read(token[:-1] + ("0" if token[-1] != "0" else "1")) is None
        assert Tokens(b"another").read(token) is None
        assert tokens.read("") is None
        assert tokens.read("junk") is None


class TestInTheAddress:
    def test_a_token_opens_its_agent_and_the_roster(self, server: LiveServer) -> None:
        with Phx(f"{server.url}?token={issue(server, 'lab-*')}") as phx:
            assert phx.join("cortex:lab-1")["status"] == "ok"
            assert phx.join("cortex:presence")["status"] == "ok"

    def test_a_join_outside_its_scope_is_refused(self, server: LiveServer) -> None:
        with Phx(f"{server.url}?token={issue(server, 'lab-*')}") as phx:
            assert phx.join("cortex:hal")["response"] == {"reason": "unauthorized"}

    def test_it_does_not_open_trusted_handlers(self, server: LiveServer) -> None:
        with Phx(f"{server.url}?token={issue(server, 'lab-*')}") as phx:
            phx.join("cortex:lab-1")
            reply = phx.push("cortex:lab-1", "query", {"q": "1", "ref": "q", "handler": "kernel"})
        assert reply["response"]["field"] == "handler"

    def test_an_expired_one_is_refused_at_the_upgrade(self, server: LiveServer) -> None:
        token = issue(server, "lab-*", max_age=0.001)
        with pytest.raises(InvalidStatus) as refusal, Phx(f"{server.url}?token={token}"):
            pass
        assert refusal.value.response.status_code == 403


class TestAuthTokenOfPhoenixJs:
    """phoenix.js 1.8 offers ``phoenix`` and ``base64url.bearer.phx.<token>`` as subprotocols."""

    @staticmethod
    def offer(token: str) -> list[str]:
        encoded = urlsafe_b64encode(token.encode()).decode().rstrip("=")
        return ["phoenix", f"base64url.bearer.phx.{encoded}"]

    def test_it_is_a_token_and_the_subprotocol_is_answered(self, server: LiveServer) -> None:
        with Phx(server.url, subprotocols=self.offer(issue(server, "lab-7"))) as phx:
            assert phx.ws.subprotocol == "phoenix"
            assert phx.join("cortex:lab-7")["status"] == "ok"
            assert phx.join("cortex:lab-8")["response"] == {"reason": "unauthorized"}

    @pytest.mark.parametrize("offer", [["phoenix", "base64url.bearer.phx.AAAA"], ["base64url.bearer.phx.%%"]])
    def test_a_bad_one_is_refused_at_the_upgrade(self, server: LiveServer, offer: list[str]) -> None:
        with pytest.raises(InvalidStatus) as refusal, Phx(server.url, subprotocols=offer):
            pass
        assert refusal.value.response.status_code == 403

    def test_a_token_narrows_even_jupyters_user(self, server: LiveServer) -> None:
        headers = {"Authorization": f"token {server.token}"}
        with Phx(server.url, subprotocols=self.offer(issue(server, "lab-7")), additional_headers=headers) as phx:
            assert phx.join("cortex:hal")["response"] == {"reason": "unauthorized"}


class TestIssuing:
    @pytest.mark.parametrize(
        ("body", "named"),
        [
            ({}, "agent"),
            ({"agent": ""}, "$.agent"),
            ({"agent": "a", "max_age": 0}, "$.max_age"),
            ({"agent": "a", "max_age": "1d"}, "$.max_age"),
            ({"agent": "a", "age": 1}, "age"),
        ],
    )
    def test_a_bad_request_is_answered_with_the_field(self, server: LiveServer, body: object, named: str) -> None:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            call(server, "POST", "/api/tokens", body)
        assert refusal.value.code == 400
        assert named in json.load(refusal.value)["message"]
        refusal.value.close()


def test_it_lasts_for_a_day_unless_told_otherwise(server: LiveServer) -> None:
    before = time.time()
    answer = call(server, "POST", "/api/tokens", {"agent": "lab-*"})
    assert before + 86_400 <= answer["expires_at"] <= time.time() + 86_400


class TestDisconnecting:
    def test_delete_disconnects_every_connection_of_an_agent(self, server: LiveServer) -> None:
        with Phx(server.url) as first, Phx(server.url) as second, Phx(server.url) as other:
            for phx, agent in ((first, "doomed"), (second, "doomed"), (other, "spared")):
                phx.join(f"cortex:{agent}", {"api_key": "test-key"})
            call(server, "DELETE", "/api/agents/doomed")
            assert [first.close_code(), second.close_code()] == [1001, 1001]
            assert other.push("cortex:spared", "ping")["status"] == "ok"

    def test_an_unknown_agent_is_404(self, server: LiveServer) -> None:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            call(server, "DELETE", "/api/agents/nobody")
        assert refusal.value.code == 404
        refusal.value.close()


class TestInTheHeader:
    def test_the_python_client_carries_it_where_jupyters_go(self, server: LiveServer) -> None:
        with synapse.connect(server.url, token=issue(server, "lab-*"), agent="lab-3") as agent:
            assert agent.ask("thoughts=0").ok
        with pytest.raises(synapse.JoinError, match="unauthorized"):
            synapse.connect(server.url, token=issue(server, "lab-*"), agent="hal")
