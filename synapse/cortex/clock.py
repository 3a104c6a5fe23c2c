"""Time, as a driver hands it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """What `Clock.call_later` returns."""

    def cancel(self) -> object:
        """Call it off."""


class Clock(Protocol):
    """Time, handed in. An asyncio loop is one; so is a simulation's environment."""

    def time(self) -> float:
        """Now, in s, from any origin, never going back."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call back after `delay` seconds, not before this turn has ended."""
