"""One running server for all foreign clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lean import LEAN, failures
from tests.support.server import LiveServer, live_server

CHANNELS = """
c.SynapseApp.channels = {
    "cortex:client-*": "tests.support.rooms.VisitorChannel",
    "realtime:*": "tests.support.rooms.RealtimeRoom",
}
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the cortex's own channels, and the tests' for ``cortex:client-*`` and ``realtime:*``."""
    with live_server(tmp_path_factory.mktemp("server"), config=LEAN + CHANNELS) as running:
        yield running
        assert failures(running, but="asked to crash") == []


@pytest.fixture(scope="package")
def environment(server: LiveServer) -> dict[str, str]:
    """What scenarios are told of the server."""
    return told(server)


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same for a server that compresses."""
    options = "--SynapseApp.compression=True"
    with live_server(tmp_path_factory.mktemp("compressing"), options, config=LEAN + CHANNELS) as running:
        yield told(running)
        assert failures(running) == []


def told(server: LiveServer) -> dict[str, str]:
    """A server's address and keys, as scenarios expect them."""
    return {
        "CORTEX_ENDPOINT": server.url.removesuffix("/websocket"),
        "CORTEX_KEY": server.api_key,
        "CORTEX_TOKEN": server.token,
    }
