"""What an idle, joined connection costs, compressed or not. Deflate with context takeover would be 150 KiB."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tests.support.lean import LEAN
from tests.support.server import LiveServer, live_server
from tests.support.wire import Wire

KiB = 1024
CONNECTIONS = 300


def connect(server: LiveServer, stack: ExitStack, compressed: bool, first: int, count: int) -> None:
    """Open connections that stay, each joined to a topic of its own and with a message on its way each way."""
    offer = [ClientPerMessageDeflateFactory()] if compressed else None
    for number in range(first, first + count):
        wire = stack.enter_context(Wire(server.url, offer=offer))
        assert ("permessage-deflate" in wire.response.headers.get("Sec-WebSocket-Extensions", "")) is compressed
        assert wire.ask(f"cortex:idle-{number}", "phx_join", {"api_key": "test-key"})["status"] == "ok"


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_an_idle_connection_costs_little(tmp_path: Path, compressed: bool) -> None:
    with live_server(tmp_path, f"--SynapseApp.compression={compressed}", config=LEAN) as server, ExitStack() as stack:
        process = psutil.Process(server.process.pid)
        connect(server, stack, compressed, 0, 50)  # what is loaded and allocated once, is by now
        before = process.memory_info().rss
        connect(server, stack, compressed, 50, CONNECTIONS)
        each = (process.memory_info().rss - before) / CONNECTIONS
    assert each < 24 * KiB
