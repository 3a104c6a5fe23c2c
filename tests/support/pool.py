"""The pool of worker processes that studies run on, put away after a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import loky
import pytest


@pytest.fixture(scope="module", autouse=True)
def pool_is_put_away() -> Iterator[None]:
    """Worker processes stay for the next study; after these tests there is none."""
    yield
    loky.get_reusable_executor().shutdown(wait=True)
