"""Chance, so that the same seed gives the same bytes, and a change of policy leaves everyone's own lots alone.

All numbers come from streams with names. `Rows` is a stream with a row for each agent: its n-th number depends on
seed, replication, name, agent and n, and on nothing else: not on the other agents, nor how many they are, nor on who
has drawn before. So two runs with the same seed differ by what was changed in between alone (common random numbers).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np

from synapse.simulation.distributions import Array, Law, inversion

BLOCK = 8  # numbers of a row that are drawn at once: 64 bytes an agent
STRIDE = 1 << 40  # numbers between the blocks of one row: rows for 2 ** 37 agents
CHUNK = 4096  # numbers of a plain stream that are drawn at once
WHOLE = (1 << 128) - 1  # the period of the generator


class Variates:
    """The streams of one replication.

    Parameters
    ----------
    seed
        Any whole number, 0 or more.
    replication
        Which one, from 0. Those of one seed are independent.
    """

    def __init__(self, seed: int, replication: int = 0) -> None:
        self.seed = seed
        self.replication = replication

    def __repr__(self) -> str:
        return f"Variates(seed={self.seed}, replication={self.replication})"

    def generator(self, name: str) -> np.random.Generator:
        """The generator of a name, from its start."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.replication, *name.encode()))
        return np.random.Generator(np.random.PCG64(sequence))

    def stream(self, name: str, law: Law | None = None) -> Iterator[float]:
        """Numbers without end: durations by a law, s, or uniform ones from [0, 1)."""
        return chain.from_iterable(block.tolist() for block in self.blocks(name, law))

    def blocks(self, name: str, law: Law | None = None) -> Iterator[Array]:
        """The same numbers, `CHUNK` at once."""
        generator, shape = self.generator(name), shaping(law)
        return (shape(generator.random(CHUNK)) for _ in repeat(None))

    def rows(self, name: str, count: int, law: Law | None = None) -> Rows:
        """A row without end for each of `count` agents."""
        return Rows(self.generator(name), count, law)

    def bundles(self, name: str, count: int, size: int, law: Law | None = None) -> Bundles:
        """A row for each of `count` agents, of which `size` numbers are drawn at once."""
        return Bundles(self.generator(name), count, size, law)


class Rows:
    """A row of numbers for each agent, `BLOCK` of each in memory.

    Block b of all rows lies in the generator's sequence behind ``b * STRIDE``, row after row. The first blocks are
    drawn together, later ones when a row needs them.
    """

    __slots__ = ("_at", "_drawn", "_generator", "_shape", "_values")

    def __init__(self, generator: np.random.Generator, count: int, law: Law | None = None) -> None:
        self._generator = generator
        self._shape = shaping(law)
        self._drawn = [0] * count
        self._values = array("d", self._shape(generator.random(count * BLOCK)).tobytes())
        self._at = count * BLOCK

    def draw(self, row: int) -> float:
        """The next number of a row."""
        drawn = self._drawn[row]
        self._drawn[row] = drawn + 1
        place = drawn % BLOCK
        if drawn and not place:
            self._refill(row, drawn // BLOCK)
        return self._values[row * BLOCK + place]

    def _refill(self, row: int, block: int) -> None:
        generator = self._generator
        start = block * STRIDE + row * BLOCK
        generator.bit_generator.advance((start - self._at) & WHOLE)  # type: ignore[attr-defined]
        self._at = start + BLOCK
        first = row * BLOCK
        self._values[first : first + BLOCK] = array("d", self._shape(generator.random(BLOCK)).tobytes())


class Bundles:
    """A row for each agent of which several numbers are drawn at once. They are drawn when they are needed."""

    __slots__ = ("_at", "_drawn", "_generator", "_shape", "_size")

    def __init__(self, generator: np.random.Generator, count: int, size: int, law: Law | None = None) -> None:
        self._generator = generator
        self._shape = shaping(law)
        self._size = size
        self._drawn = [0] * count
        self._at = 0

    def draw(self, row: int) -> Array:
        """The next numbers of a row."""
        drawn = self._drawn[row]
        self._drawn[row] = drawn + 1
        start = drawn * STRIDE + row * self._size
        self._generator.bit_generator.advance((start - self._at) & WHOLE)  # type: ignore[attr-defined]
        self._at = start + self._size
        return self._shape(self._generator.random(self._size))


def shaping(law: Law | None) -> Callable[[Array], Array]:
    """What makes durations of uniform numbers; without a law it leaves them as they are."""
    return (lambda u: u) if law is None else inversion(law)
