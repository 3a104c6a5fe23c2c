"""Fixtures for tests against a real Jupyter Server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import LiveServer, live_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the configuration as it comes, and one API key, ``test-key``."""
    home: Path = tmp_path_factory.mktemp("server")
    with live_server(home) as running:
        yield running
