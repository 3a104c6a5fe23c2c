"""An agent's server: its rules read and replaced, in this process and over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import synapse
from synapse.client.discovery import normalise
from synapse.client.io import io_thread
from synapse.client.rules import RestRules
from synapse.client.server import AsyncServer, Server
from synapse.policies import Fifo, Policies, PolicyError, TokenBucket

BUCKET = TokenBucket(rate=0.01, burst=1)


@pytest.fixture(scope="module", autouse=True)
def no_cortex_stays() -> Iterator[None]:
    """The cortex that the tests have started in this process ends with them."""
    yield
    io_thread().stop()


@pytest.fixture
def agent() -> Iterator[synapse.Agent]:
    """An agent of the cortex in this process, whose rules are afterwards what they were."""
    with synapse.connect() as agent:
        before = agent.server.policies
        yield agent
        agent.server.apply(before)


class TestEmbedded:
    def test_a_part_is_replaced_and_the_others_stay(self, agent: synapse.Agent) -> None:
        before = agent.server.policies
        after = agent.server.apply(rate_limit=BUCKET)
        assert (after.rate_limit, after.queue) == (BUCKET, before.queue)
        assert agent.server.policies == after

    def test_the_rules_hold_from_then_on(self, agent: synapse.Agent) -> None:
        agent.server.apply(rate_limit=BUCKET)
        assert agent.ask("hello").ok
        with pytest.raises(synapse.QueryRefused) as refused:
            agent.ask("hello")
        assert (refused.value.reason, refused.value.policy) == ("rate_limited", "token-bucket")

    def test_a_table_does_as_well(self, agent: synapse.Agent) -> None:
        assert agent.server.apply(queue={"kind": "fifo", "bound": 3}).queue == Fifo(bound=3)

    def test_all_of_them_at_once(self, agent: synapse.Agent) -> None:
        agent.server.apply(rate_limit=BUCKET, queue=Fifo(bound=3))
        assert agent.server.apply(Policies()) == Policies()

    def test_both_names_all_of_them_but_some(self, agent: synapse.Agent) -> None:
        assert agent.server.apply(Policies(queue=Fifo()), queue=Fifo(bound=3)) == Policies(queue=Fifo(bound=3))

    @pytest.mark.parametrize(
        ("parts", "named"),
        [
            ({"rate_limit": {"kind": "gcra", "rate": -1, "burst": 1}}, "rate_limit.rate"),
            ({"rate_limt": BUCKET}, "rate_limt"),
            ({"queue": BUCKET}, "queue"),
        ],
    )
    def test_what_is_wrong_is_named_and_changes_nothing(
        self, agent: synapse.Agent, parts: dict[str, Any], named: str
    ) -> None:
        before = agent.server.policies
        with pytest.raises(PolicyError) as error:
            agent.server.apply(**parts)
        assert error.value.path == named
        assert agent.server.policies == before

    def test_it_shows_where_it_is_and_asks_nothing_for_that(self, agent: synapse.Agent) -> None:
        assert agent.server.url == agent.url.removesuffix("/websocket")
        assert repr(agent.server) == f"<Server {agent.server.url}>"
        assert agent.server.url in agent.server._repr_html_()

    def test_the_async_face_does_the_same(self) -> None:
        async def work() -> None:
            async with await synapse.aconnect() as agent:
                assert isinstance(agent.server, AsyncServer)
                before = await agent.server.policies()
                assert (await agent.server.apply(rate_limit=BUCKET)).rate_limit == BUCKET
                assert await agent.server.apply(before) == await agent.server.policies() == before

        asyncio.run(work())


class Rest:
    """An HTTP server that keeps what it was asked and says what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.status, self.answer = 200, json.dumps(Policies().encode())
        rest = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                rest.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
                self.send_response(rest.status)
                self.end_headers()
                self.wfile.write(rest.answer.encode())

            do_PUT = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/base/lab?token=t0ken"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def rest() -> Iterator[Rest]:
    rest = Rest()
    yield rest
    rest.stop()


def server_at(url: str) -> Server:
    return Server(RestRules(normalise(url), {}), io_thread())


class TestRest:
    def test_reads_with_jupyters_token_in_a_header(self, rest: Rest) -> None:
        assert server_at(rest.url).policies == Policies()
        assert rest.asked == [("GET", "/base/cortex/api/policies", "token t0ken", None)]

    def test_sends_only_the_parts_that_change(self, rest: Rest) -> None:
        server_at(rest.url).apply(rate_limit=BUCKET)
        table = {"kind": "token-bucket", "rate": 0.01, "burst": 1, "per": "agent"}
        assert rest.asked == [("PUT", "/base/cortex/api/policies", "token t0ken", {"rate_limit": table})]

    def test_a_stranger_is_told_what_to_bring(self, rest: Rest) -> None:
        rest.status, rest.answer = 403, '{"message": "Forbidden", "reason": null}'
        with pytest.raises(synapse.ServerError, match="403 Forbidden.*Jupyter's token") as error:
            _ = server_at(rest.url.partition("?")[0]).policies
        assert error.value.status == 403
        assert rest.asked[0][2] is None

    def test_a_page_from_in_between_is_an_error_too(self, rest: Rest) -> None:
        rest.status, rest.answer = 502, "<html>"
        with pytest.raises(synapse.ServerError, match="502 Bad Gateway"):
            _ = server_at(rest.url).policies

    def test_an_answer_that_is_no_table_is_an_error(self, rest: Rest) -> None:
        rest.answer = "[1]"
        with pytest.raises(synapse.ServerError, match="Expected `object`"):
            _ = server_at(rest.url).policies

    def test_no_server_is_an_error_that_says_so(self) -> None:
        with pytest.raises(synapse.ServerError, match="refused") as error:
            _ = server_at("http://127.0.0.1:1").policies  # tcpmux, which nobody runs
        assert error.value.status is None
