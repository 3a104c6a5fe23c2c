"""The rules on a live server: read, replaced while it runs, and obeyed."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.curfew import install_curfew
from tests.support.lean import LEAN, eventually
from tests.support.phx import Phx
from tests.support.rest import put
from tests.support.server import LiveServer, live_server

KEY = {"api_key": "test-key"}
ONE_SLOT = {"kind": "fixed", "limit": 1}


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("policies"), config=LEAN) as running:
        yield running


def ask(phx: Phx, ref: str, q: str = "thoughts=1", **more: Any) -> dict[str, Any]:
    """Send a query of agent ``a``. Returns the reply's payload."""
    return phx.push("cortex:a", "query", {"q": q, "ref": ref, **more})


def test_a_tighter_rate_limit_refuses_what_comes_and_drops_nothing_that_runs(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "long", "thoughts=3 delay_ms=200")["status"] == "ok"
        limit = {"kind": "token-bucket", "rate": 0.01, "burst": 1, "per": "agent"}
        assert put(server, rate_limit=limit)["rate_limit"] == limit
        assert ask(phx, "first")["status"] == "ok"
        refused = ask(phx, "second")
        assert phx.wait_ending("long")[1]["status"] == "success"
    assert refused["status"] == "error"
    assert refused["response"]["reason"] == "rate_limited"
    assert refused["response"]["policy"] == "token-bucket"
    assert 90_000 < refused["response"]["retry_after_ms"] <= 100_000


def test_a_smaller_queue_ends_those_it_has_no_room_for(server: LiveServer) -> None:
    put(server, concurrency={"kind": "fixed", "limit": 1})
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        for ref in ("runs", "stays", "goes"):
            assert ask(phx, ref, "thoughts=1 delay_ms=60000")["status"] == "ok"
        put(server, queue={"kind": "priority", "bound": 1})
        event, ending = phx.wait_ending("goes")
        assert (event, ending["status"]) == ("result", "error")
        assert ending["data"] == {"reason": "overloaded", "policy": "priority"}
        assert [query["state"] for query in server.get("/api/queries")["queries"]] == ["running", "waiting"]


def test_a_larger_limit_starts_those_who_wait(server: LiveServer) -> None:
    put(server, concurrency={"kind": "fixed", "limit": 1})
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        ask(phx, "runs", "thoughts=1 delay_ms=60000")
        ask(phx, "waits", "thoughts=1")
        put(server, concurrency={"kind": "fixed", "limit": 2})
        assert phx.wait_ending("waits")[1]["status"] == "success"


def test_a_0_overtakes_waiting_5s(server: LiveServer) -> None:
    put(server, concurrency={"kind": "fixed", "limit": 1})
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        ask(phx, "runs", "thoughts=1 delay_ms=200")
        for number in range(5):
            ask(phx, f"usual-{number}", "thoughts=0")
        ask(phx, "urgent", "thoughts=0", priority=0)
        ended: list[str] = []
        while len(ended) < 7:
            ended.append(phx.wait_event("result")["ref"])
    assert ended == ["runs", "urgent", *(f"usual-{number}" for number in range(5))]


def test_a_handler_gets_slots_of_its_own_and_loses_them_again_while_its_query_runs(server: LiveServer) -> None:
    own = {"concurrency": {"kind": "fixed", "limit": 1}, "queue": {"kind": "fifo", "bound": 0}}
    with Phx(f"{server.url}?token={server.token}") as phx:
        phx.join("cortex:a")
        in_force = put(server, handlers={"echo": own}, concurrency={"kind": "fixed", "limit": 50})
        assert in_force["handlers"]["echo"]["concurrency"] == own["concurrency"]
        assert server.get("/api/policies") == in_force
        assert ask(phx, "runs", "thoughts=3 delay_ms=100")["status"] == "ok"
        refused = ask(phx, "no room")
        assert (refused["status"], refused["response"]["policy"]) == ("error", "fifo")
        assert server.get("/api/health")["running"] == 1
        assert put(server, handlers={})["concurrency"] == {"kind": "fixed", "limit": 50}, "the other parts stay"
        assert ask(phx, "has room")["status"] == "ok"
        assert phx.wait_ending("has room")[1]["status"] == "success"
        assert phx.wait_ending("runs")[1]["status"] == "success"


def test_fewer_slots_drop_nothing_that_runs_and_start_nothing_until_there_is_one_again(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        for number in range(3):
            ask(phx, f"runs-{number}", "thoughts=1 delay_ms=60000")
        put(server, concurrency=ONE_SLOT)
        ask(phx, "waits", "thoughts=0")
        states = {query["ref"]: query["state"] for query in server.get("/api/queries")["queries"]}
        assert states == {"runs-0": "running", "runs-1": "running", "runs-2": "running", "waits": "waiting"}
        for number in range(2):
            phx.push("cortex:a", "interrupt", {"ref": f"runs-{number}"})
        assert server.get("/api/queries")["queries"][-1]["state"] == "waiting", "one of them still holds the one slot"
        phx.push("cortex:a", "interrupt", {"ref": "runs-2"})
        assert phx.wait_ending("waits")[1]["status"] == "success"


@pytest.mark.parametrize("handler", ["tests.server.rooms:sleeper", "tests.server.rooms:worker"])
def test_a_timeout_cancels_the_handler_and_its_slot_is_free_at_once(tmp_path: Path, handler: str) -> None:
    names = f"c.SynapseApp.handlers = {{'*': [{handler!r}, 'echo']}}\n"
    slot = f"c.SynapseApp.policies = {{'concurrency': {ONE_SLOT!r}}}\n"
    with live_server(tmp_path, config=LEAN + names + slot) as server, Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "endless", timeout=300)["status"] == "ok"
        assert ask(phx, "next", "thoughts=0", handler="echo", timeout=60_000)["status"] == "ok"
        event, ending = phx.wait_ending("endless")
        assert (event, ending["status"], ending["data"]) == ("result", "timeout", {"reason": "timeout"})
        assert phx.wait_ending("next")[1]["status"] == "success", "the slot is free"
        order = [frame[4]["ref"] for frame in phx.seen if frame[3] == "result"]
        assert order == ["endless", "next"]
        eventually(lambda: "cancelled: endless" in server.log.read_text(), "the handler's own word")
        assert server.get("/api/health")["running"] == 0


def test_a_server_that_stops_refuses_with_shutting_down(tmp_path: Path) -> None:
    with live_server(tmp_path, "--SynapseApp.stop_grace=30", config=LEAN) as server, Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        ask(phx, "runs", "thoughts=1 delay_ms=60000")
        server.process.send_signal(signal.SIGTERM)
        number = 0
        while (answer := ask(phx, f"q{number}", "thoughts=0"))["status"] == "ok":  # until it has heard the signal
            number += 1
        assert answer["response"] == {"reason": "shutting_down", "policy": "drain"}
        phx.push("cortex:a", "interrupt", {"ref": "runs"})
        assert phx.wait_ending("runs")[0] == "interrupted", "it had all the time it was given"


def test_a_policy_of_an_installed_package_guards_it_too(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    install_curfew(packages)
    rules = tmp_path / "rules.toml"
    rules.write_text('[rate_limit]\nkind = "curfew"\nuntil = 1e12\n')
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(packages)])
    options = (f"--policies={rules}",)
    with live_server(tmp_path, *options, config=LEAN, env={"PYTHONPATH": path}) as server, Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "early")["status"] == "ok"
        curfew = {"kind": "curfew", "until": 0.0, "per": "global"}
        assert put(server, rate_limit=curfew)["rate_limit"] == curfew
        assert ask(phx, "late")["response"] == {"reason": "rate_limited", "policy": "curfew"}


def test_without_a_timeout_a_query_ends_by_its_own_or_not_at_all(server: LiveServer) -> None:
    usual = server.get("/api/policies")["timeout"]
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        for number, (rule, expected) in enumerate(
            [({"kind": "none"}, "success"), ({"kind": "fixed", "seconds": 0.1}, "timeout")]
        ):
            assert put(server, timeout=rule)["timeout"] == rule
            assert server.get("/api/policies")["timeout"] == rule
            ask(phx, f"own-{number}", "thoughts=1 delay_ms=60000", timeout=50)
            ask(phx, f"slow-{number}", "thoughts=1 delay_ms=300")
            assert phx.wait_ending(f"own-{number}")[1]["status"] == "timeout"
            assert phx.wait_ending(f"slow-{number}")[1]["status"] == expected
    put(server, timeout=usual)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"rate_limit": {"kind": "token-bucket", "rate": -1, "burst": 1}}, "rate_limit.rate"),
        ({"queue": {"kind": "fifio"}}, "fifo"),
        ({"que": {"kind": "fifo"}}, "queue"),
        ({"timeout": {"kind": "fixed", "seconds": "soon"}}, "timeout.seconds"),
        ({"timeout": {"kind": "none", "seconds": 30}}, "timeout.seconds"),
        ({"handlers": {"kernle": {"concurrency": "fixed"}}}, "handlers.kernle"),
        ({"handlers": {"echo": {"concurrency": {"kind": "fixed", "limit": 0}}}}, "handlers.echo.concurrency.limit"),
        ({"handlers": {"echo": {"mailbox": "credit"}}}, "handlers.echo.mailbox"),
    ],
)
def test_bad_rules_are_refused_by_name_and_change_nothing(server: LiveServer, parts: Any, named: str) -> None:
    before = server.get("/api/policies")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        put(server, **parts)
    assert refusal.value.code == 400
    assert named in json.load(refusal.value)["message"]
    refusal.value.close()
    assert server.get("/api/policies") == before
