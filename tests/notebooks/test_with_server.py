"""The tutorials in kernels that a Jupyter server has started, as a reader in JupyterLab runs them.

``scripts/test`` runs them by nbval without a server around them; here is the other half.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.kernel import kernel_of
from tests.support.server import LiveServer, live_server

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def agents(server: LiveServer) -> list[str]:
    return [agent["agent"] for agent in server.get("/api/agents")["agents"]]


def test_the_quickstart_runs_on_the_server_that_started_its_kernel(server: LiveServer) -> None:
    """Every cell runs; the agent is on this server, not on an embedded one; and none is left in the end."""
    notebook = nbformat.read(QUICKSTART, as_version=4)
    with kernel_of(server, QUICKSTART.name) as kernel:
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            outputs = kernel.run(cell.source)
            assert "error" not in {output["output_type"] for output in outputs}, (cell.id, outputs)
            assert "embedded" not in str(outputs), cell.id
            if cell.id == "connect":
                assert not outputs  # nothing was started, so nothing is announced
                assert kernel.text("agent.url").strip() == server.url
                assert agents(server) == [kernel.text("agent.id").strip()]
                assert agents(server)[0].startswith("01_quickstart-")
    assert agents(server) == []


def test_the_policies_are_put_on_that_server_and_the_old_ones_back(server: LiveServer) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "02_policies.ipynb", as_version=4)
    before = server.get("/api/policies")
    with kernel_of(server, "02_policies.ipynb") as kernel:
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            outputs = kernel.run(cell.source)
            assert "error" not in {output["output_type"] for output in outputs}, (cell.id, outputs)
            assert "embedded" not in str(outputs), cell.id
            assert server.get("/api/policies") == before, cell.id
    assert agents(server) == []


def test_a_kernel_finds_its_server_by_the_parent_process_too(server: LiveServer) -> None:
    """Without the variables, as in a kernel that got a clean environment, the parent's runtime file says where."""
    with kernel_of(server, "another.ipynb") as kernel:
        assert kernel.run("import os; del os.environ['SYNAPSE_URL'], os.environ['SYNAPSE_API_KEY']") == []
        assert kernel.run("import synapse; agent = synapse.connect()") == []
        url = kernel.text("agent.url").strip()
        assert url.replace("localhost", "127.0.0.1") == server.url  # the file names the host as Jupyter does
        assert kernel.text("agent.ask('6 * 7', handler='kernel').data['result']").strip() == "42"


def test_the_notebooks_pass_nbval_with_a_server_around_them(server: LiveServer) -> None:
    """The saved outputs hold there as well. This is the command of ``scripts/test`` in a terminal of JupyterLab.

    Those that simulate, and have a server in their last cells alone, are left to ``scripts/test``.
    """
    live = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.name.startswith(("03", "04")))
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-sanitize-with", "tests/nbval.cfg",
        "--nbval-current-env", "--nbval-cell-timeout=60", *map(str, live),
    ]  # fmt: skip
    environment = {**os.environ, "SYNAPSE_URL": f"{server.url}?token={server.token}"}
    environment.pop("SYNAPSE_API_KEY", None)
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
