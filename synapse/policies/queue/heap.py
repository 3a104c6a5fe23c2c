"""A heap whose entries may leave from the middle."""

from __future__ import annotations

import heapq
from typing import Any, Generic, TypeVar

X = TypeVar("X")

Entries = dict[int, tuple[int, X]]  # id(item) -> its number, item: who is really there


class Heap(Generic[X]):
    """Items by rank, lowest first, over a table of who is really there, which heaps may share.

    Who leaves the table leaves a hole in the heap; `sweep` drops holes once they outnumber those who stay. Each ask
    costs O(log n) amortised. Its length counts the holes.
    """

    __slots__ = ("_entries", "_heap")

    def __init__(self, entries: Entries[X]) -> None:
        self._entries = entries
        self._heap: list[tuple[Any, int, X]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, rank: Any, number: int, item: X) -> None:
        """Put one in that stands in the table under `number`."""
        heapq.heappush(self._heap, (rank, number, item))

    def first(self) -> X | None:
        """The lowest that is there."""
        heap = self._heap
        while heap:
            _, number, item = heap[0]
            if self._is_there(number, item):
                return item
            heapq.heappop(heap)
        return None

    def sweep(self) -> None:
        """Drop the holes, if there are many."""
        if len(self._heap) > 2 * len(self._entries) + 16:
            self._heap = [entry for entry in self._heap if self._is_there(entry[1], entry[2])]
            heapq.heapify(self._heap)

    def _is_there(self, number: int, item: X) -> bool:
        entry = self._entries.get(id(item))
        return entry is not None and entry[0] == number
