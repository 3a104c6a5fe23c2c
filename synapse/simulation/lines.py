"""Many calls that all come after the same delay: a line instead of the schedule."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from synapse.simulation.env import Schedule

FEW = 16  # lapsed ones that are not worth a sweep


class Line:
    """Calls `callback` with each item after `delay`, unless it has lapsed by then.

    Whoever comes first is due first, so one entry on the schedule does for all. Lapsed items leave when they are first,
    or at a sweep: there are never more than twice as many as there were others at the last sweep, and `FEW`.

    Parameters
    ----------
    env
        The clock.
    delay
        In s.
    callback
        What is called.
    lapsed
        Whether an item is of no interest any more.
    """

    __slots__ = ("_armed", "_callback", "_delay", "_env", "_lapsed", "_line", "_room", "_turn_call")

    def __init__(
        self, env: Schedule, delay: float, callback: Callable[[Any], object], lapsed: Callable[[Any], bool]
    ) -> None:
        self._env = env
        self._delay = delay
        self._callback = callback
        self._lapsed = lapsed
        self._line: deque[tuple[float, Any]] = deque()
        self._room = FEW
        self._armed = False
        self._turn_call = self._turn

    def __len__(self) -> int:
        """How many are here, with the lapsed ones."""
        return len(self._line)

    def add(self, item: Any) -> None:
        """Call with this item, too."""
        line = self._line
        line.append((self._env._now + self._delay, item))
        if not self._armed:
            self._armed = True
            self._env.call(self._delay, self._turn_call, None)
        elif len(line) > self._room:
            lapsed = self._lapsed
            self._line = deque(entry for entry in line if not lapsed(entry[1]))
            self._room = 2 * len(self._line) + FEW

    def _turn(self, _: None) -> None:
        """It is the first one's turn; or that of some who have left, and then of the next."""
        line, lapsed, now = self._line, self._lapsed, self._env._now
        while line:
            due, item = line[0]
            if lapsed(item):
                line.popleft()
            elif due > now:
                self._env.call(due - now, self._turn_call, None)
                return
            else:
                line.popleft()
                self._callback(item)
                line = self._line  # a sweep may have made another
        self._armed = False
