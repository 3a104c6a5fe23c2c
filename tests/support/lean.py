"""What tests of a live server share that only want the cortex of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from tests.support.server import LiveServer

# Configuration: without the other extensions a server starts in half the time.
LEAN = """
c.ServerApp.jpserver_extensions = dict.fromkeys(
    ["jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim"], False)
"""

_TRACEBACK = re.compile(r"^Traceback .*?^(?=\w)(?!Traceback)(.*?)$", re.MULTILINE | re.DOTALL)


def failures(server: LiveServer, but: str = "\0") -> list[str]:
    """The exceptions in the server's log, without those that say `but`."""
    raised = _TRACEBACK.findall(server.log.read_text(errors="replace"))
    return [line for line in raised if but not in line]


def eventually(check: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Ask another process again and again until it is so: it cannot tell us when."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def nobody_connected(server: LiveServer) -> bool:
    """Whether no connection is open."""
    return bool(server.get("/api/health")["connections"] == 0)
