"""Two sums over the last while."""

from __future__ import annotations

import math
from collections import deque

PARTS = 12  # in how many steps the window slides


class Window:
    """How many there were in the last `window` seconds, and how many of them were good.

    It slides in `PARTS` steps: bounded memory, O(1) amortised.
    """

    __slots__ = ("_parts", "_step", "good", "total")

    def __init__(self, window: float) -> None:
        self._step = window / PARTS
        self._parts: deque[list[int]] = deque()  # step number, total, good
        self.total = 0
        self.good = 0

    def at(self, now: float) -> list[int]:
        """The part for `now`, once the old ones are gone. Time that goes back stands still."""
        number = math.floor(now / self._step)
        parts = self._parts
        if parts and number <= parts[-1][0]:
            return parts[-1]
        while parts and parts[0][0] <= number - PARTS:
            _, total, good = parts.popleft()
            self.total -= total
            self.good -= good
        part = [number, 0, 0]
        parts.append(part)
        return part

    def add(self, now: float, total: int, good: int) -> None:
        """Count."""
        part = self.at(now)
        part[1] += total
        part[2] += good
        self.total += total
        self.good += good

    def clear(self) -> None:
        """Forget all."""
        self._parts.clear()
        self.total = self.good = 0
