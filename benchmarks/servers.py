"""Servers to measure, each a process pinned to a core: ours, and a bare Tornado echo as the floor of its stack."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

API_KEY = "bench-key"
SERVER_CORE, CLIENT_CORE = 0, 1
PATH = "/cortex/websocket?vsn=2.0.0"  # of ours


@dataclass(frozen=True)
class Server:
    """A running server: its name in tables, its port, the path of its WebSocket, its process."""

    name: str
    port: int
    path: str
    process: psutil.Process

    def cpu(self) -> float:
        """CPU time it has used, in s."""
        times = self.process.cpu_times()
        return times.user + times.system

    def rss(self) -> int:
        """Its resident memory, in bytes."""
        return int(self.process.memory_info().rss)


def pin_client() -> None:
    """Keep this process off the server's core, where there is more than one."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})


def unpin() -> None:
    """Let this process and its children use every core again."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


@contextmanager
def synapse_server(*options: str, policies: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """``jupyter synapse`` on uvloop, with one API key; `policies` come on top of a thousand slots."""
    rules = {"concurrency": {"kind": "fixed", "limit": 1000}, **(policies or {})}
    code = "from synapse.server.app import main; main()"
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "config.py"
        config.write_text("")
        command = [
            sys.executable, "-c", code, f"--config={config}", "--port=0", "--allow-root", "--api-key", API_KEY,
            f"--ServerApp.root_dir={home}", "--ServerApp.jpserver_extensions={'jupyterlab': False}",
            f"--SynapseApp.policies={rules!r}",
            "--SynapseApp.channels={'bench:*': 'benchmarks.channels.ShoutChannel'}", *options,
        ]  # fmt: skip
        environment = {**os.environ, "JUPYTER_RUNTIME_DIR": home, "JUPYTER_CONFIG_DIR": home}
        environment.pop("SYNAPSE_API_KEY", None)
        with _process("synapse", command, r"agents connect to ws://127.0.0.1:(\d+)", environment) as (process, port):
            yield Server("synapse", port, PATH, process)


@contextmanager
def tornado_server(mode: str = "echo") -> Iterator[Server]:
    """Tornado's own WebSocketHandler: ``echo``, or ``fanout``, which writes what it gets to every connection."""
    command = [sys.executable, "-m", "benchmarks.servers", mode]
    with _process("tornado", command, r"listening on (\d+)", dict(os.environ)) as (process, port):
        yield Server("tornado", port, "/", process)


@contextmanager
def _process(
    name: str, command: list[str], ready: str, environment: dict[str, str]
) -> Iterator[tuple[psutil.Process, int]]:
    with tempfile.NamedTemporaryFile() as log:
        started = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=root())
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(started.pid, {SERVER_CORE})
        try:
            yield psutil.Process(started.pid), _port(name, started, Path(log.name), ready)
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _port(name: str, started: subprocess.Popen[bytes], log: Path, ready: str) -> int:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and started.poll() is None:
        if found := re.search(ready, log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')}")


def root() -> Path:
    """The folder that this package stands in."""
    return Path(__file__).parents[1]


async def _serve_tornado(mode: str) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets
    from tornado.web import Application
    from tornado.websocket import WebSocketHandler

    members: set[WebSocketHandler] = set()

    class Handler(WebSocketHandler):
        def check_origin(self, origin: str) -> bool:
            return True

        def open(self) -> None:
            self.set_nodelay(True)
            members.add(self)

        def on_close(self) -> None:
            members.discard(self)

        def on_message(self, message: str | bytes) -> None:
            for member in members if mode == "fanout" else (self,):
                member.write_message(message)

    http = HTTPServer(Application([("/.*", Handler)]))
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    http.add_sockets(sockets)
    print(f"listening on {sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_tornado(sys.argv[1]))
