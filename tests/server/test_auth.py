"""Who gets in: Jupyter's identities at the upgrade, API keys at the join, nobody else.

The rows are those of a table that was measured on a real Jupyter Server; see docs/security.md.
"""

from __future__ import annotations

import http.cookiejar
import re
import socket
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

import synapse
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

FOREIGN = {"Origin": "https://evil.example"}
agents = (f"auth-{number}" for number in count())


def join(server: LiveServer, payload: object, headers: dict[str, str] | None = None, query: str = "") -> dict:
    """Connect with headers and a query string, and join. Returns the join's reply."""
    with Phx(f"{server.url}{query}", additional_headers=headers or {}) as phx:
        return phx.join(f"cortex:{next(agents)}", payload)


def refused_upgrade(server: LiveServer, headers: dict[str, str] | None = None, query: str = "") -> int:
    """Connect, expecting a refusal. Returns its HTTP status."""
    with pytest.raises(InvalidStatus) as refusal:
        Phx(f"{server.url}{query}", additional_headers=headers or {})
    assert refusal.value.response.body == b""
    return refusal.value.response.status_code


@pytest.fixture(scope="module")
def cookie(server: LiveServer) -> str:
    """The login cookie that a browser gets by opening a page with the token in its address."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    base = server.url.replace("ws", "http", 1).removesuffix("cortex/websocket")
    opener.open(f"{base}api/status?token={server.token}", timeout=10).close()
    opener.open(f"{base}login?token={server.token}", timeout=10).close()
    return "; ".join(f"{one.name}={one.value}" for one in jar)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server without a key, which also allows no unauthenticated endpoint that does not say so."""
    env = {"JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS": "no"}
    with live_server(tmp_path_factory.mktemp("closed"), api_key="", env=env) as running:
        yield running


class TestStrangers:
    def test_nothing_opens_the_socket_and_no_agent(self, server: LiveServer) -> None:
        assert join(server, {}) == {"status": "error", "response": {"reason": "api_key required"}}

    def test_a_wrong_key_is_unauthorized(self, server: LiveServer) -> None:
        assert join(server, {"api_key": "wrong"}) == {"status": "error", "response": {"reason": "unauthorized"}}

    @pytest.mark.parametrize("key", [5, ["test-key"], {"a": 1}, True, ""])
    def test_a_key_that_is_no_text_is_unauthorized(self, server: LiveServer, key: object) -> None:
        assert join(server, {"api_key": key})["response"] == {"reason": "unauthorized"}

    def test_a_wrong_token_in_the_header_and_a_wrong_key_are_refused_at_the_join(self, server: LiveServer) -> None:
        reply = join(server, {"api_key": "wrong"}, {"Authorization": "token wrong"})
        assert reply["response"] == {"reason": "unauthorized"}

    def test_a_wrong_token_in_the_header_and_no_key_hear_that_it_was_the_token(self, server: LiveServer) -> None:
        for scheme in ("token", "Bearer"):
            reply = join(server, {}, {"Authorization": f"{scheme} wrong"})
            assert reply["response"] == {"reason": "token not accepted"}

    def test_so_does_who_gave_it_to_the_python_client_in_an_address(self, server: LiveServer) -> None:
        address = server.url.replace("ws", "http", 1).removesuffix("cortex/websocket")
        with pytest.raises(synapse.JoinError, match="token not accepted. It may be wrong or expired") as refusal:
            synapse.connect(f"{address}?token=wrong")
        assert refusal.value.reason == "token not accepted"

    def test_a_wrong_token_and_a_right_key_open(self, server: LiveServer) -> None:
        assert join(server, {"api_key": "test-key"}, {"Authorization": "token wrong"})["status"] == "ok"

    def test_a_wrong_token_in_the_address_is_refused_at_the_upgrade(self, server: LiveServer) -> None:
        """As Phoenix refuses a socket whose connect callback does."""
        assert refused_upgrade(server, query="?token=bad") == 403


class TestKeys:
    @pytest.mark.parametrize("headers", [{}, FOREIGN], ids=["no origin", "foreign origin"])
    def test_the_right_key_opens_from_anywhere(self, server: LiveServer, headers: dict[str, str]) -> None:
        assert join(server, {"api_key": "test-key"}, headers)["status"] == "ok"

    def test_a_key_does_not_open_the_kernel_handler(self, server: LiveServer) -> None:
        with Phx(server.url) as phx:
            phx.join("cortex:no-kernel", {"api_key": "test-key"})
            reply = phx.push("cortex:no-kernel", "query", {"q": "1", "ref": "r", "handler": "kernel"})
        assert reply["status"] == "error"
        assert reply["response"]["field"] == "handler"
        assert reply["response"]["handlers"] == ["echo", "worker:*"]


class TestJupyterIdentities:
    @pytest.mark.parametrize("headers", [{}, FOREIGN], ids=["no origin", "foreign origin"])
    @pytest.mark.parametrize("place", ["query", "header"])
    def test_the_token_opens_from_anywhere(self, server: LiveServer, headers: dict[str, str], place: str) -> None:
        if place == "query":
            reply = join(server, {}, headers, f"?token={server.token}")
        else:
            reply = join(server, {}, {**headers, "Authorization": f"token {server.token}"})
        assert reply["status"] == "ok"

    def test_the_cookie_opens_from_the_same_origin(self, server: LiveServer, cookie: str) -> None:
        host = urlsplit(server.url).netloc
        assert join(server, {}, {"Cookie": cookie, "Origin": f"http://{host}"})["status"] == "ok"

    def test_the_cookie_of_a_foreign_page_is_refused(self, server: LiveServer, cookie: str) -> None:
        assert refused_upgrade(server, {"Cookie": cookie, **FOREIGN}) == 403

    def test_the_host_header_must_be_local(self, server: LiveServer) -> None:
        parts = urlsplit(server.url)
        request = (
            f"GET {parts.path}?vsn=2.0.0 HTTP/1.1\r\nHost: elsewhere.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        with socket.create_connection((parts.hostname, parts.port), 10) as sock:
            sock.sendall(request.encode())
            assert b" 403 " in sock.recv(4096).split(b"\r\n", 1)[0]


class TestWithoutAnyKey:
    def test_only_jupyters_identity_opens_the_door(self, closed: LiveServer) -> None:
        assert join(closed, {"api_key": "test-key"})["response"] == {"reason": "unauthorized"}
        assert join(closed, {}, query=f"?token={closed.token}")["status"] == "ok"

    def test_a_refused_join_leaves_a_line_in_the_log(self, closed: LiveServer) -> None:
        join(closed, {"api_key": "a-secret-guess"})
        log = closed.log.read_text()
        line = (
            r"^\S*\[W \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} synapse\.audit\]\S* join refused: topic='cortex:auth-\d+'"
        )
        assert re.search(line, log, re.MULTILINE), "with its time and its level"
        assert "a-secret-guess" not in log

    def test_our_endpoints_raise_no_warning_of_unauthenticated_access(self, closed: LiveServer) -> None:
        warnings = [line for line in closed.log.read_text().splitlines() if "unauthenticated" in line]
        assert not [line for line in warnings if "synapse" in line.lower() or "cortex" in line.lower()]


class TestKeyFromTheEnvironment:
    def test_synapse_api_key_in_the_servers_environment_is_a_key(self, tmp_path: Path) -> None:
        with live_server(tmp_path, api_key="", env={"SYNAPSE_API_KEY": "from-env"}) as running:
            assert join(running, {"api_key": "from-env"})["status"] == "ok"
