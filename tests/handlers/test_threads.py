"""Threads of handlers take short turns, so that the event loop need not wait long for its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from synapse.handlers.threads import NICE, TURN, Threads


@pytest.fixture
def usual() -> Iterator[float]:
    """The interpreter's own interval between turns."""
    before = sys.getswitchinterval()
    yield before
    assert sys.getswitchinterval() == before


def test_turns_are_short_while_a_function_runs(usual: float) -> None:
    during = asyncio.run(Threads(1).run(sys.getswitchinterval, "one"))
    assert during == pytest.approx(TURN, rel=0.02)
    assert sys.getswitchinterval() == usual


def test_they_stay_short_until_the_last_of_all_has_ended(usual: float) -> None:
    """Also across the pools of two servers in one process."""

    async def main() -> None:
        first, second = threading.Event(), threading.Event()
        early = asyncio.ensure_future(Threads(1).run(first.wait, "early"))
        late = asyncio.ensure_future(Threads(1).run(second.wait, "late"))
        await asyncio.sleep(0)
        first.set()
        await early
        assert sys.getswitchinterval() == pytest.approx(TURN, rel=0.02)
        second.set()
        await late

    asyncio.run(main())


def test_a_function_that_fails_gives_them_back(usual: float) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Threads(1).run(lambda: 1 // 0, "failing"))


def test_an_interval_that_somebody_made_shorter_stays(usual: float) -> None:
    sys.setswitchinterval(TURN / 2)
    try:
        during = asyncio.run(Threads(1).run(sys.getswitchinterval, "one"))
        assert during == pytest.approx(TURN / 2, rel=0.02)
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_the_event_loop_goes_first_on_the_core_that_a_thread_shares_with_it() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert asyncio.run(Threads(1).run(niceness, "one")) == min(19, before + NICE)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
