"""The echo handler understands a small script."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synapse.handlers import echo


def ask(stage: Any, q: str) -> Any:
    async def main() -> Any:
        async with stage({"echo": echo}) as s:
            return await s.ask("echo", q)

    return asyncio.run(main())


def test_a_query_without_a_script_has_three_thoughts_and_is_repeated(stage: Any) -> None:
    asked = ask(stage, "hello")
    assert asked.thoughts == [{"type": "reasoning", "content": f"step {n}"} for n in (1, 2, 3)]
    assert (asked.status, asked.data) == ("success", {"echo": "hello"})


@pytest.mark.parametrize(
    ("q", "thoughts"),
    [
        ("thoughts=5", 5),
        ("thoughts=0", 0),
        ("say thoughts=2 please", 2),
        ("delay_ms=1 thoughts=2", 2),
        ("thoughts=many", 3),
        ("thoughts=-1", 3),
        ("xthoughts=7", 3),
        ("fail=0", 3),
        ("", 3),
    ],
)
def test_each_part_is_optional_and_the_rest_is_ignored(stage: Any, q: str, thoughts: int) -> None:
    asked = ask(stage, q)
    assert (len(asked.thoughts), asked.data) == (thoughts, {"echo": q})


def test_it_fails_on_request_after_its_thoughts(stage: Any) -> None:
    asked = ask(stage, "thoughts=2 fail=1")
    assert len(asked.thoughts) == 2
    assert (asked.status, asked.data) == ("error", {"reason": "echo was asked to fail"})


@pytest.mark.parametrize("part", ["thoughts=100001", "delay_ms=86400001", "thoughts=" + "9" * 50])
def test_more_than_its_bounds_is_an_error_that_names_the_part(stage: Any, part: str) -> None:
    asked = ask(stage, part)
    assert asked.status == "error"
    assert asked.data["reason"].startswith(f"{part} is too much: at most ")


def test_it_can_be_interrupted_while_it_waits(stage: Any) -> None:
    async def main() -> Any:
        async with stage({"echo": echo}) as s:
            asked = s.submit("echo", "delay_ms=3600000")
            s.scheduler.interrupt(asked.job, "enough")
            return await asked.ended()

    assert asyncio.run(main()).status == "interrupted"
