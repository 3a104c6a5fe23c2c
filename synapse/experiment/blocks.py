"""Blocks: replications of one point that a worker runs in one task, and the loop that hands them out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from typing import Any

import msgspec

from synapse.experiment.design import Point
from synapse.experiment.engine import engine
from synapse.experiment.errors import StudyError
from synapse.experiment.measure import measure
from synapse.experiment.pools import workers_of
from synapse.experiment.shipping import Parcel
from synapse.experiment.store import Store

SHORTEST = 0.2  # s that a task should take at least, beside which handing it out is nothing
PATIENCE = 1.0  # s after which what has come is written, though nothing more has


class Block(msgspec.Struct, frozen=True):
    """A task.

    Attributes
    ----------
    key : str
        The point's.
    scenario : Parcel
        Its scenario, with the policies that are defined in a notebook or another package: see `shipping`.
    seed : int
        The study's.
    reps : tuple of int
        Which replications.
    engine : str
        Of who asks; a worker with another one refuses.
    """

    key: str
    scenario: Parcel
    seed: int
    reps: tuple[int, ...]
    engine: str


def work(block: Block) -> list[dict[str, Any]]:
    """Run a block. This is what workers do.

    Raises
    ------
    StudyError
        If the worker has another version of Synapse.
    """
    if block.engine != engine():
        raise StudyError("executor", f"its workers run synapse {engine()}; must be {block.engine}, as here")
    scenario = block.scenario.open()
    return [measure(scenario, block.seed, rep, block.key) for rep in block.reps]


class Missing:
    """What is still to do, in blocks: a few replications of each point in turn, so that all points fill evenly.

    Parameters
    ----------
    wanted
        How many replications of each point.
    store
        What there is already.
    seed
        The study's.
    """

    def __init__(self, wanted: Sequence[tuple[Point, int]], store: Store, seed: int) -> None:
        most = {point.key: (point, 0) for point, _ in wanted}
        for point, reps in wanted:
            most[point.key] = (point, max(reps, most[point.key][1]))
        lacking = (
            (point, [rep for rep in range(reps) if not store.has(point.key, rep)]) for point, reps in most.values()
        )
        self._queue = deque((point, deque(reps)) for point, reps in lacking if reps)
        self._times: dict[str, list[float]] = {}
        self._seed = seed
        self.wanted = sum(reps for _, reps in most.values())
        self.left = sum(len(reps) for _, reps in self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue)

    def learn(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note how long replications took."""
        for row in rows:
            self._times.setdefault(row["key"], []).append(row["wall"])

    def pop(self) -> tuple[Point, Block]:
        """The next block, long enough to be worth a task as far as that is known."""
        point, reps = self._queue.popleft()
        size = self._size(point.key)
        taken = tuple(reps.popleft() for _ in range(min(size, len(reps))))
        if reps:
            self._queue.append((point, reps))
        return point, Block(point.key, Parcel(point.scenario), self._seed, taken, engine())

    def _size(self, key: str) -> int:
        times = self._times.get(key) or [time for each in self._times.values() for time in each]
        return math.ceil(SHORTEST / max(sum(times) / len(times), 1e-6)) if times else 1


def compute(
    wanted: Sequence[tuple[Point, int]], store: Store, pool: Executor, seed: int, progress: bool = False
) -> None:
    """Run what is missing and put it into the store. Whatever ends it, what has come by then is kept.

    Raises
    ------
    Exception
        What a replication raised, with a note that says at which point.
    """
    missing = Missing(wanted, store, seed)
    if not missing:
        return
    under_way: dict[Future[list[dict[str, Any]]], Point] = {}
    with _bar(missing, progress) as advance:
        try:
            while missing or under_way:
                most = 2 * workers_of(pool)
                while missing and len(under_way) < most:
                    point, block = missing.pop()
                    under_way[pool.submit(work, block)] = point
                for future in wait(under_way, PATIENCE, FIRST_COMPLETED).done:
                    rows = _rows(future, under_way.pop(future))
                    missing.learn(rows)
                    store.add(rows)
                    advance(len(rows))
                store.flush(only_if_due=True)
        finally:
            for future in under_way:
                future.cancel()
            store.flush()


@contextmanager
def _bar(missing: Missing, shown: bool) -> Iterator[Callable[[int], object]]:
    """What tells how many replications more are there."""
    if not shown:
        yield lambda count: None  # noqa: ARG005
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    with tqdm(total=missing.wanted, initial=missing.wanted - missing.left, unit="run") as bar:
        yield bar.update


def _rows(future: Future[list[dict[str, Any]]], point: Point) -> list[dict[str, Any]]:
    try:
        return future.result()
    except Exception as error:
        error.add_note(f"at {point.values}")
        raise
