"""Daemon threads for handlers that are plain functions: bounded, and never waited for at exit.

Python cannot stop a thread. So a thread whose query has ended keeps its place under the bound until its
function returns, and a daemon thread dies with the process rather than holding it up. An executor would do
neither: its idle count forgets stuck threads and the interpreter joins them at exit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from synapse.handlers.errors import HandlerError, Interrupted

log = logging.getLogger("synapse.handlers")

TURN = 0.0002
"""How long a thread may keep the interpreter from the event loop while handlers' threads are at work, in s.

Only one thread runs Python at a time. Beside one that never pauses the loop waits for its turn each time it wakes,
several times a query, and Python's own 5 ms make each wait felt (`benchmarks/README.md`). It costs the busy thread
about a twentieth of its time.
"""

NICE = 10
"""By how much a handler's thread is nicer than the event loop's, where threads have a niceness of their own (Linux).

Where both share a core the kernel else lets a thread that never pauses finish its slice, 3 ms and more, before the
loop gets the core.
"""


class Threads:
    """Runs functions in at most `limit` daemon threads.

    Parameters
    ----------
    limit
        How many may be alive at once, those included whose query has ended but whose function has not.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"max_threads: must be at least 1, not {limit}")
        self.limit = limit
        self._alive: set[threading.Thread] = set()
        self._none_left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._alive)

    def __repr__(self) -> str:
        return f"<Threads {len(self)}/{self.limit}>"

    async def run(self, function: Callable[[], Any], name: str) -> Any:
        """Await a function that runs in a thread. When this is cancelled the thread goes on unheard.

        Raises
        ------
        HandlerError
            If no thread is free.
        """
        if len(self) >= self.limit:
            raise HandlerError(
                f"no worker thread is free: max_threads = {self.limit} are at work, or stuck after their query ended"
            )
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        thread = threading.Thread(target=self._work, args=(function, loop, outcome), name=name, daemon=True)
        thread.start()
        self._alive.add(thread)
        self._none_left.clear()
        result, error = await outcome
        if error is not None:
            raise error
        return result

    async def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` s until none is left. Whether none is."""
        if self._alive:
            try:
                await asyncio.wait_for(self._none_left.wait(), timeout)
            except TimeoutError:
                log.warning("%d handler threads have not heeded the end of their query", len(self))
        return not self._alive

    def _work(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[Any]) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            _step_back()
            with _short_turns():
                result = function()
        except BaseException as raised:  # even SystemExit must end the query, not just the thread
            error = raised
        try:
            loop.call_soon_threadsafe(self._ended, threading.current_thread(), outcome, result, error)
        except RuntimeError:
            log.debug("a handler thread ended after its event loop had closed")

    def _ended(
        self, thread: threading.Thread, outcome: asyncio.Future[Any], result: Any, error: BaseException | None
    ) -> None:
        self._alive.discard(thread)
        if not self._alive:
            self._none_left.set()
        if not outcome.done():
            outcome.set_result((result, error))
        elif error is not None and not isinstance(error, Interrupted):
            log.info("%s: failed after its query had ended", thread.name, exc_info=error)


def _step_back() -> None:
    """Let the event loop's thread go first on their core."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))


_lock = threading.Lock()
_at_work = 0
_usual = sys.getswitchinterval()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Threads take turns of `TURN` at most until the last of those in here has left: it is a setting of the process."""
    global _at_work, _usual  # noqa: PLW0603
    with _lock:
        if not _at_work:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(TURN, _usual))
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1
            if not _at_work:
                sys.setswitchinterval(_usual)
