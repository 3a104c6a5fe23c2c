"""The documents tell the truth: their snippets run as they stand, their sessions happen as they are written."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from synapse.handlers import ModelHandler
from synapse.simulation import Scenario
from synapse.telemetry.events import Event
from tests.support import foreign
from tests.support.lean import LEAN, eventually, nobody_connected
from tests.support.server import LiveServer, live_server

ROOT = Path(__file__).parents[2]
KEY = "my-secret-key"
HANDLERS = 'c.SynapseApp.handlers = {"*": ["my_handlers:spell", "my_handlers:count"]}\n'
WORKERS = 'c.SynapseApp.key_workers = ["*"]\n'
ROOMS = 'c.SynapseApp.channels = {"room:*": "my_rooms.RoomChannel"}\n'
VOLATILE = {"timestamp", "online_at", "phx_ref", "latency_ms", "pong", "timeout"}
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/protocol.md", "docs/security.md")
CODE = re.compile(r"`(\w+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def snippets(document: str, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def snippet(words: str, language: str = "python") -> str:
    """The one snippet of the README with these words."""
    (found,) = [one for one in snippets("README.md", language) if words in one]
    return found


def run(code: str, home: Path, server: LiveServer | None = None) -> str:
    """Run a Python snippet in a folder, with the server of its choice at the port of ours. Returns what it printed."""
    if server is not None:
        code = at(code, server)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "JPY_"))}
    environment |= {"JUPYTER_RUNTIME_DIR": str(home), "JUPYTER_CONFIG_DIR": str(home), "IPYTHONDIR": str(home)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def at(code: str, server: LiveServer) -> str:
    assert "127.0.0.1:4000" in code
    return code.replace("127.0.0.1:4000", urlsplit(server.url).netloc)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server as the README starts it."""
    with live_server(tmp_path_factory.mktemp("server"), config=LEAN + WORKERS, api_key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the README's own handlers and channel."""
    home = tmp_path_factory.mktemp("extended")
    (home / "my_handlers.py").write_text(snippet("async def spell"))
    (home / "my_rooms.py").write_text(snippet("class RoomChannel"))
    path = {"PYTHONPATH": os.pathsep.join([str(home), str(ROOT)])}
    with live_server(home, config=LEAN + HANDLERS + ROOMS, api_key=KEY, env=path) as running:
        yield running


class TestReadme:
    def test_the_first_lines_of_a_notebook_run_anywhere(self, tmp_path: Path) -> None:
        lines = run(snippet("thoughts=5 delay_ms=200"), tmp_path).splitlines()
        assert lines[0].startswith("cortex: embedded at ")
        assert lines[1:] == [*(f"step {n}" for n in range(1, 6)), "{'echo': 'Hello'}"]

    def test_code_runs_in_a_kernel(self, tmp_path: Path) -> None:
        assert run(snippet('handler="kernel")'), tmp_path).splitlines()[-1] == "21"

    def test_a_function_of_a_notebook_answers(self, tmp_path: Path) -> None:
        assert run(snippet("agent.serve(spell)"), tmp_path).splitlines()[1:] == [*"Hello"]

    def test_a_language_models_options_are_options(self) -> None:
        config = SimpleNamespace(SynapseApp=SimpleNamespace())
        exec(snippet("qwen3"), {"c": config})
        options = config.SynapseApp.handler_options["model"]
        assert ModelHandler(**options).model == options["model"]
        assert "api_key_env" in inspect.signature(ModelHandler).parameters

    def test_the_python_client_connects(self, server: LiveServer, tmp_path: Path) -> None:
        (code,) = [one for one in snippets("README.md", "python") if "4000" in one and '"Hello").data' in one]
        assert run(code, tmp_path, server) == "{'echo': 'Hello'}\n"

    def test_plain_frames_do(self, server: LiveServer, tmp_path: Path) -> None:
        lines = run(snippet("import websocket"), tmp_path, server).splitlines()
        events = [line.split()[0] for line in lines if not line.startswith("presence")]
        assert events == ["phx_reply", "phx_reply", "thought", "thought", "thought", "result"]

    def test_phoenix_js_does(self, server: LiveServer, tmp_path: Path) -> None:
        foreign._install_npm_packages()
        (tmp_path / "node_modules").symlink_to(foreign.CLIENTS / "js" / "node_modules")
        (tmp_path / "agent.mjs").write_text(at(snippet("new Socket", "js"), server))
        done = subprocess.run([foreign._node(), "agent.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["q1 step 1", "q1 step 2", "q1 step 3", "q1 success { echo: 'Hello' }"]

    def test_an_older_node_takes_the_package_ws(self, tmp_path: Path) -> None:
        """A stand-in for the package says that it was asked for what to use."""
        foreign._install_npm_packages()
        (tmp_path / "node_modules" / "ws").mkdir(parents=True)
        (tmp_path / "node_modules" / "ws" / "package.json").write_text('{"type": "module", "exports": "./ws.js"}')
        stand_in = "export class WebSocket { constructor(url) { console.log(url); process.exit(0) } }"
        (tmp_path / "node_modules" / "ws" / "ws.js").write_text(stand_in)
        packages = foreign.CLIENTS / "js" / "node_modules"
        (tmp_path / "node_modules" / "phoenix").symlink_to(packages / "phoenix")
        (tmp_path / "agent.mjs").write_text(snippet("new Socket", "js"))
        command = [foreign._node(), "--no-experimental-websocket", "agent.mjs"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout == "ws://127.0.0.1:4000/cortex/websocket?vsn=2.0.0\n", done.stderr

    def test_the_cluster_breaks_and_is_saved_as_it_says(self, tmp_path: Path) -> None:
        (tmp_path / "cluster.toml").write_text(snippet("[agents]", "toml"))
        broken = Scenario.load(tmp_path / "cluster.toml").run(seed=1, queries=False)
        assert broken.series["ok"].loc[41:].sum() < 0.01 * broken.series["sent"].loc[41:].sum()
        told = run(snippet("cluster.toml"), tmp_path)
        (answered,) = re.findall(r"^goodput +([\d.]+) /s$", told, re.MULTILINE)
        assert float(answered) > 150
        assert "<No theorem holds: faults change the system" in told
        assert "timeout=FixedTimeout(seconds=1.0)" in told
        assert (tmp_path / "run.png").exists()

    def test_a_study_puts_its_best_rules_on_a_server(self, tmp_path: Path) -> None:
        """A small cluster's, for a short while: what a study says of large ones is in the notebooks."""
        before = (
            "import synapse\nfrom synapse.simulation import Scenario\n"
            "scenario = Scenario(duration=5, warmup=1, agents={'count': 20})\nagent = synapse.connect()\n"
        )
        after = "print(agent.server.policies.timeout)\nagent.close()\n"
        code = snippet("results.best").replace("reps=10", "reps=2")
        told = run(before + code + after, tmp_path)
        assert re.fullmatch(r"FixedTimeout\(seconds=(0.5|1.0|2.0|4.0)\)", told.splitlines()[-1])

    def test_a_cluster_is_swept_drawn_and_searched(self, tmp_path: Path) -> None:
        (tmp_path / "cluster.toml").write_text(snippet("[agents]", "toml").replace("2000", "60"))
        lines = [shlex.split(line, comments=True) for line in snippet("synapse sweep", "sh").splitlines()]
        assert [words[:2] for words in lines] == [["synapse", name] for name in ("sweep", "plot", "slo")]
        for _, command, *options in lines:
            few = [] if command == "plot" else ["--set", "duration=30", "--set", "node.slots=1", "--reps", "2"]
            done = subprocess.run(
                [Path(sys.executable).with_name("synapse"), command, *options, *few],
                cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        assert "The largest load at which success > 95 %" in " ".join(done.stdout.split())
        assert (tmp_path / "study.png").exists()

    def test_a_handler_of_ones_own_answers(self, extended: LiveServer, tmp_path: Path) -> None:
        lines = run(snippet("my_handlers:count"), tmp_path, extended).splitlines()
        assert lines == [*(f"letter {letter}" for letter in "Hello"), "{'total': 499500}"]

    def test_a_channel_of_ones_own_serves_its_topics(self, extended: LiveServer) -> None:
        shout = ["1", "2", "room:1", "shout", {"say": "hi"}]
        with connect(f"{extended.url}?vsn=2.0.0") as socket:
            socket.send(json.dumps(["1", "1", "room:1", "phx_join", {}]))
            assert json.loads(socket.recv())[4]["response"] == {"welcome": "room:1"}
            socket.send(json.dumps(shout))
            heard = [json.loads(socket.recv())[3:] for _ in range(2)]
        assert ["shout", {"say": "hi"}] in heard
        assert ["phx_reply", {"status": "ok", "response": {}}] in heard

    def test_the_configuration_is_one(self, tmp_path: Path) -> None:
        """Jupyter reads it without a complaint, and knows every option."""
        (tmp_path / "jupyter_synapse_config.py").write_text(snippet("c.SynapseApp.api_keys"))
        program = """
from synapse.server.app import SynapseApp
app = SynapseApp()
app.load_config_file()
for name in app.config.SynapseApp: assert name in SynapseApp.class_trait_names(config=True), name
print(app.linger, app.policies["queue"]["bound"], app.handlers["lab-*"])
"""
        assert run(program, tmp_path) == "30.0 1000 ['kernel']\n"

    def test_every_question_to_the_rest_api_has_an_answer(self, server: LiveServer) -> None:
        asked = re.findall(r"(?:-X (\w+) )?http://127.0.0.1:4000/cortex(\S+)", snippet("curl", "sh"))
        names = [path.rpartition("/")[2] for method, path in asked if not method]
        assert names == ["health", "agents", "queries", "workers", "policies", "metrics"]
        for name in names[:-1]:  # the last is no JSON; it has tests of its own
            assert server.get(f"/api/{name}")


class TestProtocol:
    @pytest.mark.parametrize("number", range(5), ids=["a session", "refusals", "resume", "workers", "V1"])
    def test_a_session_is_as_it_is_written(self, number: int, server: LiveServer) -> None:
        lines = snippets("docs/protocol.md", "text")[number].splitlines()
        eventually(lambda: nobody_connected(server), "the agents of the other sessions have left")
        vsn = "?vsn=2.0.0" if lines[0].startswith("> [") else ""
        with connect(server.url + vsn) as socket:
            while lines:
                socket.send(lines.pop(0).removeprefix("> "))
                answers = []
                while lines and lines[0].startswith("< "):
                    answers.append(masked(json.loads(lines.pop(0).removeprefix("< "))))
                heard = [masked(json.loads(socket.recv(timeout=10))) for _ in answers]
                assert in_order(heard) == in_order(answers)

    def test_these_are_all(self) -> None:
        assert len(snippets("docs/protocol.md", "text")) == 5

    def test_the_table_of_events_has_all_that_telemetry_announces_with_all_their_fields(self) -> None:
        """Where two kinds share a row, what stands after the semicolon is the second's alone."""
        page = (ROOT / "docs/protocol.md").read_text()
        table = page.partition("more by its kind:")[2].partition("A `snapshot`")[0]
        told: dict[str, tuple[str, ...]] = {}
        for row in re.findall(r"^\| (`[A-Z].*?) \| (.*) \|$", table, re.MULTILINE):
            kinds, fields = (re.sub(r"\(.*?\)", "", cell) for cell in row)
            common, _, own = fields.partition(";")
            *others, last = CODE.findall(kinds)
            told |= {kind: tuple(CODE.findall(common)) for kind in others}
            told[last] = (*CODE.findall(common), *CODE.findall(own))
        beside = len(Event.__struct_fields__)
        announced = [cls for cls in Event.__subclasses__() if cls.__module__ == Event.__module__]
        assert told == {cls.__name__: cls.__struct_fields__[beside:] for cls in announced}


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/protocol.md", "docs/security.md"]
)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("picture", ["demo.svg", "dashboard.png", "dashboard-dark.png", "simulation.png"])
def test_a_picture_is_small_enough_to_load(picture: str) -> None:
    assert (ROOT / "docs" / picture).stat().st_size < 250_000


def test_no_document_names_a_folder_of_the_machine_it_was_written_on() -> None:
    pages = [document for document in (ROOT / "docs").iterdir() if document.suffix != ".png"]
    for document in [*ROOT.glob("*.md"), *pages]:
        assert not re.search(r"(?<![\w.$])/(?:work|root|home|tmp)/", document.read_text()), document


def masked(value: Any) -> Any:
    """A frame without what differs every time."""
    if isinstance(value, dict):
        return {name: "…" if name in VOLATILE else masked(one) for name, one in value.items()}
    return [masked(one) for one in value] if isinstance(value, list) else value


def in_order(frames: list[Any]) -> tuple[list[Any], list[str]]:
    """Frames, those of presence apart: where they stand among the others is left open."""
    of_presence = sorted(text for frame in frames if "presence_" in (text := json.dumps(frame, sort_keys=True)))
    return [frame for frame in frames if "presence_" not in json.dumps(frame)], of_presence
