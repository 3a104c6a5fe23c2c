"""Vector clocks: who knows how much of whom.

A context says of each replica up to which of its numbers everything is known. Source: Phoenix.Tracker.Clock
(phoenix_pubsub, ``lib/phoenix/tracker/clock.ex``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Ref: TypeAlias = tuple[int, int]
"""A replica: its node's name, and which start of that node it is from."""

Context: TypeAlias = dict[Ref, int]
"""Of each known replica, the number up to which everything is known."""


def dominates(mine: Context, theirs: Context) -> bool:
    """Whether one context knows all that another does, of at least as many replicas."""
    return len(mine) >= len(theirs) and all(mine.get(ref, 0) >= number for ref, number in theirs.items())


def upper_bound(contexts: Iterable[Context]) -> Context:
    """What all contexts together know."""
    bound: Context = {}
    for context in contexts:
        for ref, number in context.items():
            if number >= bound.get(ref, 0):
                bound[ref] = number
    return bound


class Clocks:
    """The contexts heard of, as few of them as together know all: those who sent them are worth asking."""

    __slots__ = ("_known", "contexts")

    def __init__(self) -> None:
        self.contexts: dict[Ref, Context] = {}
        self._known: Context = {}  # by all of them together

    def append(self, ref: Ref, context: Context) -> None:
        """Take in a context: alone if it knows all that the others do, not at all if they know all that it does."""
        if not context:
            return
        if dominates(context, self._known):
            self.contexts, self._known = {ref: context}, context
        elif not dominates(self._known, context):
            self._known = upper_bound((self._known, context))
            self._insert(ref, context)

    def _insert(self, ref: Ref, context: Context) -> None:
        kept = {other: theirs for other, theirs in self.contexts.items() if not dominates(context, theirs)}
        if len(kept) < len(self.contexts) or any(not dominates(theirs, context) for theirs in kept.values()):
            kept = {ref: context, **kept}
        self.contexts = kept
