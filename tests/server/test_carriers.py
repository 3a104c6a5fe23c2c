"""The vigil: a loop stays awake for a moment after it heard something, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from synapse.server.carriers import Vigil


class Loop:
    """As much of an event loop as a vigil needs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[Callable[[], Any]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.due.append(callback)

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


def vigil(seconds: float) -> tuple[Loop, Vigil]:
    loop = Loop()
    return loop, Vigil(cast("asyncio.AbstractEventLoop", loop), seconds)


def test_a_turn_is_due_for_a_moment_after_each_message() -> None:
    loop, watch = vigil(1.0)
    watch.extend()
    loop.turn()
    assert len(loop.due) == 1
    loop.now = 0.9
    watch.extend()
    loop.now = 1.5
    loop.turn()
    assert len(loop.due) == 1, "the second message has prolonged it"
    loop.now = 1.9
    loop.turn()
    assert loop.due == []
    watch.extend()
    assert len(loop.due) == 1


def test_many_messages_need_one_turn() -> None:
    loop, watch = vigil(1.0)
    for _ in range(100):
        watch.extend()
    assert len(loop.due) == 1


def test_zero_switches_it_off() -> None:
    loop, watch = vigil(0.0)
    watch.extend()
    assert loop.due == []
