"""The fixtures of the client's tests, and a look for what they left behind."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from synapse.client import io
from tests.client.fake import PATIENCE, FakeCortex


@pytest.fixture
def cortex() -> Iterator[FakeCortex]:
    fake = FakeCortex()
    yield fake
    fake.stop()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelManager]:
    kernel = KernelManager(kernel_name="python3", transport="ipc")
    kernel.start_kernel()
    yield kernel
    kernel.shutdown_kernel(now=True)
    kernel.cleanup_resources()
    kernel.context.destroy()


@pytest.fixture
def client(kernel: KernelManager) -> Iterator[BlockingKernelClient]:
    client = kernel.client()
    client.start_channels()
    client.wait_for_ready(PATIENCE)
    yield client
    client.stop_channels()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test finds a server of the person who runs it."""
    for name in ("SYNAPSE_URL", "SYNAPSE_API_KEY", "JPY_PARENT_PID", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test closes what it opened: no task remains in the IO thread, and no thread but that one is new."""
    before = set(threading.enumerate())
    yield
    thread = io._by_process.get(os.getpid())
    if thread is None or not thread.usable:
        return

    async def others() -> set[Any]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    end = time.monotonic() + PATIENCE
    while left := thread.call(others()):
        assert time.monotonic() < end, f"left behind: {left}"
    new = {each.name for each in threading.enumerate() if each not in before and each.is_alive()}
    assert new <= {io.NAME, "asyncio_0"}  # asyncio_0: the loop's resolver of host names
