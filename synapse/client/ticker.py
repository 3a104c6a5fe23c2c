"""Wakes an event loop 20 times a second while something is awaited there.

A notebook's stop button sends SIGINT, and Python handles it when the main thread next runs Python code.
A loop that sleeps in ``select`` does not, so ipykernel's interruption of an awaiting cell comes seconds late
(ipykernel issue 881). Measured with the ticker: 24 to 75 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

PERIOD = 0.05  # seconds


class _Ticker:
    """One for each loop, however many await in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting = 0
        self._handle: asyncio.TimerHandle | None = None
        self._later = loop.call_later

    def start(self) -> None:
        self.waiting += 1
        if self._handle is None:
            self._tick()

    def stop(self) -> None:
        self.waiting -= 1
        if self.waiting == 0 and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = self._later(PERIOD, self._tick)


_tickers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Ticker] = WeakKeyDictionary()


@contextmanager
def ticking() -> Iterator[None]:
    """Keep the running loop awake inside the ``with`` statement."""
    loop = asyncio.get_running_loop()
    ticker = _tickers.get(loop)
    if ticker is None:
        ticker = _tickers[loop] = _Ticker(loop)
    ticker.start()
    try:
        yield
    finally:
        ticker.stop()
