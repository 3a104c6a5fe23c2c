"""A real Jupyter Server with the extension, as a process of its own on a free loopback port."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STARTED = re.compile(r"agents connect to (wss?://\S+)")


@dataclass
class LiveServer:
    """A running server.

    Attributes
    ----------
    url
        Where agents connect, ``ws://127.0.0.1:PORT/BASE/cortex/websocket``.
    token, api_key
        What opens its doors: Jupyter's, and a configured key of the cortex.
    log
        The file that its output goes to.
    """

    process: subprocess.Popen[bytes]
    url: str
    token: str
    api_key: str
    log: Path
    home: Path = field(repr=False)

    @property
    def http(self) -> str:
        """The base of the REST API, ``http://.../cortex``."""
        return self.url.replace("ws", "http", 1).removesuffix("/websocket")

    def get(self, path: str, token: str | None = None) -> Any:
        """GET a JSON answer of the REST API."""
        request = urllib.request.Request(f"{self.http}{path}")
        request.add_header("Authorization", f"token {self.token if token is None else token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Ask it to stop and wait. Returns its exit code."""
        self.process.send_signal(sig)
        return self.process.wait(20)


@contextmanager
def live_server(
    home: Path,
    *options: str,
    config: str = "",
    api_key: str = "test-key",
    port: int = 0,
    env: dict[str, str] | None = None,
    token: str = "",
) -> Iterator[LiveServer]:
    """Start ``jupyter synapse`` with command line `options` and a config file of text `config`; stop it in the end.

    `home` is a folder for all that it writes. It sees no configuration of the machine's user.
    """
    token = token or secrets.token_hex(16)
    config_file = home / "jupyter_server_config.py"
    config_file.write_text(config)
    log = home / "server.log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "JUPYTER_", "JPY_"))
    }
    environment |= {
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
        **(env or {}),
    }
    command = [
        sys.executable,
        "-c",
        "from synapse.server.app import main; main()",
        f"--config={config_file}",
        f"--port={port}",
        "--allow-root",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={home}",
        *(["--api-key", api_key] if api_key else []),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        url = _wait_for_url(process, log)
        yield LiveServer(process, url, token, api_key, log, home)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 90  # a busy machine takes its time
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if found := STARTED.search(text):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)  # another process's log has no event to wait for
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')}")
