"""Configuration: what the server can be told, and that it refuses what it does not understand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from synapse.server.app import SynapseApp
from tests.support.lean import LEAN
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


class TestTheRulesOfAFile:
    def test_they_are_in_force(self, tmp_path: Path) -> None:
        file = tmp_path / "rules.toml"
        file.write_text(
            'queue = "fifo"\n[concurrency]\nkind = "fixed"\nlimit = 7\n'
            '[handlers.echo.timeout]\nkind = "fixed"\nseconds = 5\n'
        )
        with live_server(tmp_path, "--policies", str(file), config=LEAN) as server:
            policies = server.get("/api/policies")
        assert policies["concurrency"] == {"kind": "fixed", "limit": 7}
        assert policies["queue"] == {"kind": "fifo", "bound": 1000, "at_bound": "refuse-newcomer"}
        assert policies["handlers"] == {"echo": {"timeout": {"kind": "fixed", "seconds": 5.0}}}
        assert policies["rate_limit"] == {"kind": "token-bucket", "rate": 5000.0, "burst": 10_000, "per": "agent"}

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (
                "[concurrency]\nkind = 'fixed'\nlimit = 0",
                r"rules\.toml: concurrency\.limit: must be a whole number >= 1",
            ),
            ("[timeout]\nkind = 'fixed'\nseconds = 0", r"rules\.toml: timeout\.seconds: must be a number > 0 .*in s"),
            ("[handlers.kernle]\nqueue = 'fifo'", r"handlers\.kernle: is no handler of this server"),
            ("[handlers.'worker:*']\nqueue = 'fifo'", r"handlers\.worker:\*: must be one worker's name"),
            ("limit = = 1", r"rules\.toml: is not TOML: .*line 1"),
            (None, r"rules\.toml: cannot be read: No such file"),
        ],
    )
    def test_a_bad_one_is_refused_by_path_field_unit_and_range(
        self, tmp_path: Path, content: str | None, said: str
    ) -> None:
        file = tmp_path / "rules.toml"
        if content is not None:
            file.write_text(content)
        status, output = jupyter_synapse(tmp_path, "--policies", str(file))
        assert status == 1
        assert re.search(f"Bad configuration: SynapseApp.policies_file: .*{said}", output)
        assert "Traceback" not in output

    def test_it_does_not_go_with_rules_in_the_configuration(self, tmp_path: Path) -> None:
        options = ["--policies", "rules.toml", "--SynapseApp.policies={'queue': 'fifo'}"]
        status, output = jupyter_synapse(tmp_path, *options)
        assert status == 1
        assert "keep one of them" in output


def test_rules_that_say_nothing_of_a_rate_refuse_a_flood_only(tmp_path: Path) -> None:
    option = "--SynapseApp.policies={'rate_limit': 'unlimited'}"
    with live_server(tmp_path, option, config=LEAN) as server:
        assert server.get("/api/policies")["rate_limit"]["kind"] == "unlimited", "it can be switched off"


def jupyter_synapse(home: Path, *options: str) -> tuple[int, str]:
    """Run it to its end, without a terminal. Returns its exit code and all that it says."""
    command = [sys.executable, "-c", "from synapse.server.app import main; main()", *options]
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=home, stdin=subprocess.DEVNULL, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_help_version_and_a_config_file_with_every_option(tmp_path: Path) -> None:
    assert "0.1.0" in jupyter_synapse(tmp_path, "--version")[1]
    text = jupyter_synapse(tmp_path, "--help")[1]
    assert "--api-key" in text
    assert "jupyter synapse keys" in text
    assert "Default: 4000" in text[text.index("--port") : text.index("--ip")]
    assert jupyter_synapse(tmp_path, "--generate-config")[0] == 0
    written = (tmp_path / "jupyter_synapse_config.py").read_text()
    for option in (
        "api_keys",
        "handlers",
        "channels",
        "policies",
        "policies_file",
        "keys_file",
        "idle_timeout",
        "record",
    ):
        assert f"c.SynapseApp.{option}" in written


def test_a_config_file_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    file = tmp_path / "jupyter_synapse_config.py"
    file.write_text("# mine\n")
    status, said = jupyter_synapse(tmp_path, "--generate-config")
    assert (status, file.read_text()) == (1, "# mine\n")
    assert "Add -y to overwrite it" in said
    assert "Traceback" not in said
    assert jupyter_synapse(tmp_path, "--generate-config", "-y")[0] == 0
    assert "c.SynapseApp" in file.read_text()
