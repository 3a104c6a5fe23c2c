"""Fixtures: one JupyterLab and one Chromium for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.lab import chromium, find_chromium, lab_server
from tests.support.server import LiveServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser there is nothing to see."""
    if find_chromium() is None:
        missing = pytest.mark.skip(reason="no Chromium found: install it, on Debian by `apt-get install chromium`")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(missing)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, chromium(playwright) as running:
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with lab_server(tmp_path_factory.mktemp("lab")) as running:
        yield running
