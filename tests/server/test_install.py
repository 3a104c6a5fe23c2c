"""Installing the package enables the extension: from a wheel, editable, and with uv, without a further step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

COLOUR = re.compile(r"\x1b\[\d*m")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A fresh environment that sees this one's packages, but neither our install nor its Jupyter configuration."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "python"


def run(*command: object) -> str:
    """Run a command outside the repository. Returns what it printed."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER", "VIRTUAL_ENV"))
    }
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd="/", env=clean)
    assert done.returncode == 0, done.stdout + done.stderr
    return COLOUR.sub("", done.stdout + done.stderr)


def assert_enabled(python: Path) -> None:
    listing = run(python, "-m", "jupyter_server.extension.serverextension", "list")
    mine = listing[listing.index(str(python.parents[1] / "etc")) :]
    assert "synapse enabled" in mine
    assert "synapse 0.1.0 OK" in mine


NO_DOWNLOADS = ("--no-deps", "--no-build-isolation", "--no-index")


def test_a_wheel_enables_the_extension_and_ships_what_it_needs(environment: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", *NO_DOWNLOADS, "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("jupyter_synapse-*.whl")
    run(environment, "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    assert_enabled(environment)
    where = run(environment, "-c", "import synapse; print(synapse.__file__)")
    assert str(environment.parents[1]) in where
    installed = Path(where.strip()).parent
    assert (installed / "py.typed").exists()
    pages = ROOT / "synapse" / "widgets" / "js"
    assert {file.name for file in (installed / "widgets" / "js").iterdir()} == {file.name for file in pages.iterdir()}
    studies = {file.stem for file in (ROOT / "simulations").glob("*.py")}
    found = run(environment, "-c", "from synapse.experiment.library import pages, shelf; print(shelf(), *pages())")
    where, *names = found.split()
    assert Path(where) == installed / "simulations"
    assert set(names) == studies


def test_an_editable_install_enables_the_extension(environment: Path) -> None:
    run(environment, "-m", "pip", "install", *NO_DOWNLOADS, "--ignore-installed", "--editable", ROOT)
    assert_enabled(environment)


def test_an_editable_install_with_uv_enables_the_extension(environment: Path) -> None:
    run(sys.executable, "-m", "uv", "pip", "install", "--python", environment, *NO_DOWNLOADS, "--editable", ROOT)
    assert_enabled(environment)
