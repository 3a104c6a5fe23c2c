"""The IO thread: one daemon thread with one event loop for every socket of this process.

Both faces of an agent hand their work to it, so a notebook's own loop is never blocked, never patched and
never needed. The thread starts with the first agent and ends with the process. (The idea is
dask.distributed's LoopRunner.)
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Closer = Callable[[], Coroutine[Any, Any, None]]
log = logging.getLogger(__name__)
NAME = "synapse-io"
AT_EXIT = 5.0  # seconds for everything to close


class IOThread:
    """A running loop in a thread of its own."""

    def __init__(self, name: str = NAME) -> None:
        self.loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._at_exit: dict[Closer, None] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """False after `stop`, and in a forked child, where the thread does not exist."""
        return self._pid == os.getpid() and self._thread.is_alive() and not self.loop.is_closed()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine over there and wait for it. An exception here, such as Ctrl-C, cancels it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this would wait for itself: in the IO thread (a handler) use await synapse.aconnect()")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call a function over there, without waiting. Nothing happens if the thread has stopped."""
        if self.usable:
            self.loop.call_soon_threadsafe(callback, *args)

    def at_exit(self, close: Closer) -> None:
        """Await ``close()`` before the loop stops. The last registered goes first. Call it over there."""
        self._at_exit[close] = None

    def forget(self, close: Closer) -> None:
        """Undo `at_exit`: it is closed already."""
        self._at_exit.pop(close, None)

    def stop(self) -> None:
        """Close everything and end the thread. May be called again."""
        if not self.usable:
            return
        self.call(self._close_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(AT_EXIT)

    async def _close_all(self) -> None:
        # Whatever has not closed in time is closed by the end of the process.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AT_EXIT):
                while self._at_exit:
                    close, _ = self._at_exit.popitem()
                    try:
                        await close()
                    except Exception:  # one that fails must not keep the others open
                        log.exception("%r failed at exit", close)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            if rest := asyncio.all_tasks(self.loop):
                for task in rest:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(rest))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()


_lock = threading.Lock()
_by_process: dict[int, IOThread] = {}  # a forked child starts its own


def io_thread() -> IOThread:
    """The IO thread of this process, started if need be."""
    with _lock:
        thread = _by_process.get(os.getpid())
        if thread is None or not thread.usable:
            thread = _by_process[os.getpid()] = IOThread()
            atexit.register(thread.stop)
        return thread
