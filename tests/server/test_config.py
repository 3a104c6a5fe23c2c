"""Configuration: what the server can be told, and that it refuses what it does not understand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from synapse.server.app import SynapseApp
from tests.support.phx import Phx
from tests.support.server import live_server

KEY = {"api_key": "test-key"}

ROOM = """
c.SynapseApp.channels = {"room:*": "tests.server.rooms.RoomChannel"}
c.SynapseApp.handlers = {"lab-*": ["tests.server.rooms:shout"], "*": ["echo"]}
c.SynapseApp.policies = {"concurrency": {"kind": "fixed", "limit": 1}, "queue": {"kind": "priority", "bound": 1}}
"""


def test_own_channels_handlers_and_policies_come_from_the_configuration(tmp_path: Path) -> None:
    with live_server(tmp_path, config=ROOM) as server, Phx(server.url) as phx:
        assert phx.join("room:lobby", {"name": "Ada"}) == {"status": "ok", "response": {"hello": "Ada"}}
        assert phx.push("room:lobby", "shout", {"n": 1})["status"] == "ok"
        assert phx.seen[-2][3:] == ["shout", {"n": 1}]

        phx.join("cortex:lab-1", KEY)
        phx.push("cortex:lab-1", "query", {"q": "hello", "ref": "q"})
        assert phx.wait_ending("q")[1]["data"] == "HELLO"

        phx.join("cortex:other", KEY)
        phx.push("cortex:other", "query", {"q": "thoughts=1 delay_ms=60000", "ref": "runs"})
        phx.push("cortex:other", "query", {"q": "", "ref": "waits", "priority": 1})
        refused = phx.push("cortex:other", "query", {"q": "", "ref": "too much"})
    assert refused["status"] == "error"
    assert refused["response"]["reason"] == "overloaded"
    assert refused["response"]["policy"] == "priority"
    assert refused["response"]["retry_after_ms"] >= 1


def test_a_query_may_be_recorded_as_parquet(tmp_path: Path) -> None:
    from synapse.telemetry import read_trace

    with live_server(tmp_path, f"--SynapseApp.record={tmp_path / 'trace'}") as server:
        with Phx(server.url) as phx:
            phx.join("cortex:recorded", KEY)
            phx.push("cortex:recorded", "query", {"q": "thoughts=2", "ref": "q"})
            phx.wait_ending("q")
        assert server.stop() == 0
    (row,) = read_trace(tmp_path / "trace").to_dict("records")
    assert (row["agent"], row["ref"], row["status"], row["thoughts"]) == ("recorded", "q", "success", 2)
    assert row["submitted"] <= row["started"] <= row["first_thought"] <= row["finished"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"policies": {"concurrency": {"kind": "fixed", "limit": 0}}}, "concurrency.limit"),
        ({"policies": {"concurency": {}}}, "concurency"),
        ({"handlers": {"*": []}}, "names no handler"),
    ],
)
def test_a_bad_value_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(TraitError, match=named):
        SynapseApp(**options)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--SynapseApp.handlers={'*': ['no-such-handler']}", "no-such-handler"),
        ("--SynapseApp.channels={'room:*': 'no.such.Channel'}", "no.such.Channel"),
        ("--SynapseApp.channels={'room:*': 'pathlib.Path'}", "pathlib.Path"),
        ("--SynapseApp.idle_timeout=0", "idle_timeout"),
        ("--SynapseApp.idle_timeout=soon", "idle_timeout"),
        ("--SynapseApp.trusted_handlers=kernle", "kernle"),
        ("--SynapseApp.policies={'concurrency': {'kind': 'fixd'}}", "fixed"),
        ("--SynapseApp.policies={'handlers': {'kernle': {'concurrency': 'fixed'}}}", "handlers.kernle"),
        ("--SynapseApp.handlers={'*': 'echo'}", "handlers"),
        ("--SynapseApp.record=/dev/null/nowhere", "record"),
        ("--api-key=", "empty"),
    ],
)
def test_a_server_with_a_bad_option_says_so(tmp_path: Path, option: str, named: str) -> None:
    with pytest.raises(AssertionError, match=named), live_server(tmp_path, option):
        pass


def test_help_version_and_a_config_file_with_every_option(tmp_path: Path) -> None:
    def jupyter_synapse(*options: str) -> str:
        command = [sys.executable, "-c", "from synapse.server.app import main; main()", *options]
        env = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        return done.stdout + done.stderr

    assert "0.1.0" in jupyter_synapse("--version")
    text = jupyter_synapse("--help")
    assert "--api-key" in text
    assert "--port" in text
    jupyter_synapse("--generate-config")
    written = (tmp_path / "jupyter_synapse_config.py").read_text()
    for option in ("api_keys", "handlers", "channels", "policies", "idle_timeout", "record"):
        assert f"c.SynapseApp.{option}" in written
