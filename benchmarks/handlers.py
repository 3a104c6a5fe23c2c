"""A handler to measure with: it never ends."""

from __future__ import annotations

from synapse.handlers import Query, Think


def spin(query: Query, think: Think) -> None:
    """A plain function, so it has a worker thread of its own, and keeps it busy for ever."""
    while True:
        pass
