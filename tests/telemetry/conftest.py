"""Endings to record, and a thread count that must not grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from synapse.telemetry import Finished

DEFAULTS: dict[str, Any] = {
    "agent": "ada", "priority": 5, "attempt": 1, "submitted": 1.0, "admitted": 1.0, "started": 1.25,
    "first_thought": 1.5, "status": "success", "reason": None, "thoughts": 3,
}  # fmt: skip


@pytest.fixture
def finished() -> Callable[..., Finished]:
    """Makes the ending of a query with a given ref."""

    def make(ref: object = "q", at: float = 2.0, **changes: Any) -> Finished:
        return Finished(at=at, node="n1", ref=str(ref), **(DEFAULTS | changes))

    return make


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not [thread for thread in threading.enumerate() if thread not in before]
