"""Timeouts: by when a query must have ended, counted from its submission."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class FixedTimeout(msgspec.Struct, frozen=True, tag="fixed", tag_field="kind"):
    """The same patience for every query that names none of its own.

    It hurts when it is shorter than the answers it waits for: then all work is wasted work.

    Parameters
    ----------
    seconds
        From submission to the latest ending, in s.
    """

    seconds: Annotated[float, Meta(gt=0)] = 30.0

    def start(self, now: float) -> FixedTimeout:  # noqa: ARG002
        """A fixed timeout is its own state."""
        return self

    def deadline(self, now: float, asked: float | None) -> float:
        """When a query submitted `now` must have ended; `asked` is its own timeout in s, if it named one."""
        return now + (self.seconds if asked is None else asked)
