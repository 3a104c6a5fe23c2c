"""Deadlines without a clock: the session's own little `call_at`."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Timer:
    """One deadline. `cancel` may be called at any time, any number of times."""

    __slots__ = ("_timers", "callback", "when")

    def __init__(self, timers: Timers, when: float, callback: Callable[[float], None]) -> None:
        self._timers = timers
        self.when = when
        self.callback: Callable[[float], None] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._timers.count_cancelled()


class Timers:
    """A heap of deadlines. Time comes in with `run`; nothing here waits."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, when: float, callback: Callable[[float], None]) -> Timer:
        """Call ``callback(now)`` in the first `run` at or after `when`."""
        timer = Timer(self, when, callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    @property
    def next(self) -> float | None:
        """The earliest deadline, None if there is none."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Call everything that is due, earliest first."""
        while (when := self.next) is not None and when <= now:
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(now)

    def count_cancelled(self) -> None:
        """A timer's word that it was cancelled."""
        # Most reply deadlines are cancelled long before they are due; without this they would pile up until then.
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
