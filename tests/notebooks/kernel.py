"""A kernel that a Jupyter server starts for a notebook, driven over HTTP and WebSocket as JupyterLab drives it."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from tests.support.server import LiveServer

PATIENCE = 60.0  # seconds for one cell, as in scripts/test

Output = dict[str, Any]


class ServerKernel:
    """Runs cells, one after another."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session = uuid.uuid4().hex

    def run(self, code: str) -> list[Output]:
        """Run a cell. Returns its outputs as a notebook file keeps them, neighbouring pieces of a stream as one.

        Raises
        ------
        TimeoutError
            If it is not done within `PATIENCE`.
        """
        request = self._send("execute_request", {"code": code, "allow_stdin": False})
        outputs: list[Output] = []
        missing = {"execute_reply", "idle"}
        deadline = time.monotonic() + PATIENCE
        while missing:
            received = self._socket.recv(deadline - time.monotonic())
            if isinstance(received, bytes):  # a widget's message with buffers: no output of the cell's
                continue
            message = json.loads(received)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            missing -= {kind, content.get("execution_state")}
            if message["channel"] == "iopub":
                _add(outputs, kind, content)
        for output in outputs:
            output.pop("transient", None)
        return outputs

    def text(self, expression: str) -> str:
        """The text of an expression's value."""
        return "".join(output["text"] for output in self.run(f"print({expression})"))

    def _send(self, kind: str, content: dict[str, Any]) -> str:
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": kind,
            "session": self._session,
            "username": "test",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        self._socket.send(json.dumps(message))
        return number


@contextmanager
def kernel_of(server: LiveServer, notebook: str) -> Iterator[ServerKernel]:
    """Open a notebook's session on a server, as JupyterLab does; the kernel ends with the ``with`` statement."""
    model = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
    session = _api(server, "POST", "/api/sessions", model)
    address = urlsplit(server.url)
    url = f"ws://{address.netloc}/api/kernels/{session['kernel']['id']}/channels"
    authorization = {"Authorization": f"token {server.token}"}
    try:
        with connect(url, additional_headers=authorization, max_size=None, proxy=None) as socket:
            yield ServerKernel(socket)
    finally:
        _api(server, "DELETE", f"/api/sessions/{session['id']}")


def _api(server: LiveServer, method: str, path: str, model: Any = None) -> Any:
    body = None if model is None else json.dumps(model).encode()
    url = f"http://{urlsplit(server.url).netloc}{path}"
    headers = {"Authorization": f"token {server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer) if answer.status != 204 else None


def _add(outputs: list[Output], kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        last = outputs[-1] if outputs else {}
        if last.get("name") == content["name"]:
            last["text"] += content["text"]
        else:
            outputs.append({"output_type": "stream", **content})
    elif kind == "update_display_data":  # what the page shows in the end is what a file keeps
        identity = content["transient"]["display_id"]
        for output in outputs:
            if output.get("transient", {}).get("display_id") == identity:
                output.update(data=content["data"], metadata=content["metadata"])
    elif kind in ("display_data", "execute_result", "error"):
        outputs.append({"output_type": kind, **content})
