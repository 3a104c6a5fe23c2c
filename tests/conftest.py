"""Settings of all tests, and a look for what they left behind."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import settings

# No timing is asserted anywhere: a slow machine is no failure.
settings.register_profile("synapse", deadline=None)
settings.load_profile("synapse")

# A run in the background ignores Ctrl-C, and its children with it: the tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# what lives as long as the process: the client's one IO thread and its resolver, and what refreshes progress bars
KEPT = ("synapse-io", "asyncio_", "tqdm_monitor")
PATIENCE = 5.0  # s for what is being closed to be closed


@pytest.fixture(autouse=True, scope="module")
def nothing_leaks() -> Iterator[None]:
    """A module's tests leave no thread, no child process (a server, a kernel) and no socket behind."""
    before = _held()
    yield
    end = time.monotonic() + PATIENCE
    while (left := _held() - before) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)  # the kernel tells of no such ending
    assert not left, f"left behind: {left}"


def _held() -> set[str]:
    process = psutil.Process()
    threads = {f"thread {each.name}" for each in threading.enumerate() if not each.name.startswith(KEPT)}
    children = {
        f"process {child.pid} {child.name()}" for child in process.children(recursive=True) if not _tracks(child)
    }
    sockets = {f"socket {one.laddr} {one.raddr} {one.status}" for one in process.net_connections("inet")}
    return threads | children | sockets


def _tracks(process: psutil.Process) -> bool:
    """Whether it is one of Python's own resource trackers, which end with this process."""
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return True
