"""Time that passes only when a test says so."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

MOST_CALLS = 1_000_000


class VirtualTimer:
    """What `VirtualClock.call_later` returns."""

    __slots__ = ("_clock", "callback")

    def __init__(self, clock: VirtualClock, callback: Callable[[], object]) -> None:
        self._clock = clock
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._clock.pending -= 1


class VirtualClock:
    """A `Clock` for the core. Callbacks run in the order of their times, then of their making.

    Attributes
    ----------
    pending : int
        How many callbacks are still to come.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._numbers = count()
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self.pending = 0

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object]) -> VirtualTimer:
        timer = VirtualTimer(self, callback)
        heapq.heappush(self._timers, (self._now + max(0.0, delay), next(self._numbers), timer))
        self.pending += 1
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass; with 0, only end the turn: what was called for at once runs, and what that calls for."""
        end = self._now + seconds
        self._run(lambda at: at <= end)
        self._now = end

    def run_until_idle(self) -> None:
        """Let time pass until nothing is to come any more."""
        self._run(lambda at: True)

    def _run(self, due: Callable[[float], bool]) -> None:
        for _ in range(MOST_CALLS):
            if not self._timers or not due(self._timers[0][0]):
                return
            at, _, timer = heapq.heappop(self._timers)
            callback = timer.callback
            if callback is not None:
                timer.cancel()
                self._now = max(self._now, at)
                callback()
        raise RuntimeError(f"still busy after {MOST_CALLS} calls: something calls itself without end")
