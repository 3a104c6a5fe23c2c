"""The streams that a population draws from."""

from __future__ import annotations

from collections.abc import Iterator

from synapse.simulation.distributions import Law
from synapse.simulation.variates import Bundles, Rows, Variates


class Chance:
    """Streams by name, each made when it is first needed.

    Parameters
    ----------
    variates
        The replication's.
    kind
        The population's name.
    count
        How many agents it has.
    """

    def __init__(self, variates: Variates, kind: str, count: int) -> None:
        self._variates = variates
        self._kind = kind
        self._count = count
        self._rows: dict[str, Rows] = {}

    def draw(self, name: str, row: int, law: Law | None = None) -> float:
        """The next duration of an agent, by the law that it always is; without one, its next uniform number."""
        rows = self._rows.get(name)
        if rows is None:
            rows = self._rows[name] = self.rows(name, law)
        return rows.draw(row)

    def rows(self, name: str, law: Law | None = None) -> Rows:
        """A row for each agent, of durations by a law, or of uniform numbers."""
        return self._variates.rows(f"{self._kind}/{name}", self._count, law)

    def stream(self, name: str, law: Law | None = None) -> Iterator[float]:
        """One stream for all: for what comes in an order that no policy changes."""
        return self._variates.stream(f"{self._kind}/{name}", law)

    def bundles(self, name: str, size: int, law: Law) -> Bundles:
        """A row for each agent, of `size` durations at once."""
        return self._variates.bundles(f"{self._kind}/{name}", self._count, size, law)
