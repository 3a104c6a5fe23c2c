"""How far a run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[float], object]
"""Is called with the time reached, s."""


@contextmanager
def telling(progress: bool | Progress, duration: float) -> Iterator[Progress]:
    """What tells how far a run is: nothing, a bar, or the function given."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda now: None  # noqa: ARG005
    else:
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        with tqdm(total=duration, unit="s", unit_scale=True) as shown:
            yield lambda now: shown.update(now - shown.n)
