"""Concurrency limits: how many queries run at once."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta


class Concurrency(Protocol):
    """The running state of a concurrency limit."""

    @property
    def limit(self) -> int:
        """How many may run now."""

    def on_start(self, now: float) -> None:
        """Note that one started."""

    def on_finish(self, now: float, rtt: float, dropped: bool) -> None:
        """Note that one ended after `rtt` seconds of running, `dropped` if by its timeout."""


class Fixed(msgspec.Struct, frozen=True, tag="fixed", tag_field="kind"):
    """Always the same limit. It hurts when the right number changes with the load behind it.

    Parameters
    ----------
    limit
        Queries at once, at least 1.
    """

    limit: Annotated[int, Meta(ge=1)] = 100

    def start(self, now: float) -> Fixed:  # noqa: ARG002
        """A fixed limit is its own state."""
        return self

    def on_start(self, now: float) -> None:
        """Nothing to learn."""

    def on_finish(self, now: float, rtt: float, dropped: bool) -> None:
        """Nothing to learn."""
