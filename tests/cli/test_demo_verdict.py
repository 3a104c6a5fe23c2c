"""The verdict on a demo: what is not as it should be is found, and named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.cli.demo.play import Heard
from synapse.cli.demo.script import REASON, Ask
from synapse.cli.demo.verdict import Recorded, problems

ASKS = [
    Ask("ada", "thoughts=2", "a question", thoughts=2, data={"echo": "thoughts=2"}),
    Ask("alan", "thoughts=200 delay_ms=50", "to be interrupted", status="interrupted", interrupt_after=8),
]
HEARD = [
    Heard(ASKS[0], "r1", "success", 2, {"echo": "thoughts=2"}, latency=0.1),
    Heard(ASKS[1], "r1", "interrupted", 8, reason=REASON, latency=0.4, interrupt=0.001),
]
RECORDED = [Recorded("ada", "r1", "success", 2), Recorded("alan", "r1", "interrupted", 8)]


def found(
    first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, recorded: list[Recorded] = RECORDED
) -> str:
    """The problems, in one text, when the agents heard something else than they should."""
    heard = [msgspec.structs.replace(HEARD[0], **first or {}), msgspec.structs.replace(HEARD[1], **second or {})]
    return "\n".join(problems(ASKS, heard, recorded))


def test_nothing_is_said_when_all_is_well() -> None:
    assert problems(ASKS, HEARD, RECORDED) == []


def test_a_query_without_an_ending() -> None:
    assert problems(ASKS, HEARD[:1], RECORDED[:1]) == ["1 of 2 queries got no ending"]


@pytest.mark.parametrize("status", ["error", "timeout", "interrupted", "lost", "refused"])
def test_an_ending_that_the_script_does_not_want(status: str) -> None:
    said = found({"status": status, "reason": "because"})
    assert f"ada's query r1 (a question): ended as {status} (because), not as success" in said


def test_an_interrupted_query_that_went_on_to_its_result() -> None:
    said = found(second={"status": "success", "thoughts": 200, "reason": None})
    assert "ended as success, not as interrupted" in said


def test_an_interruption_for_another_reason() -> None:
    assert "because of 'agent_gone', not of 'seen enough'" in found(second={"reason": "agent_gone"})


def test_a_thought_that_got_lost_on_the_way() -> None:
    said = found({"thoughts": 1})
    assert "1 thoughts came, not 2" in said
    assert "the server recorded success after 2 thoughts, the agent heard success after 1" in said


def test_a_result_that_says_something_else() -> None:
    assert "echo should be 'thoughts=2'" in found({"data": {"echo": "thoughts=3"}})
    assert "its result is None" in found({"data": None})


@pytest.mark.parametrize(("rows", "count"), [(RECORDED[1:], 0), ([RECORDED[0], *RECORDED], 2)])
def test_a_query_must_have_been_recorded_once(rows: list[Recorded], count: int) -> None:
    assert f"the server recorded {count} endings, not 1" in found(recorded=rows)


def test_a_record_that_says_something_else() -> None:
    said = found(recorded=[Recorded("ada", "r1", "timeout", 2), RECORDED[1]])
    assert "the server recorded timeout after 2 thoughts, the agent heard success after 2" in said


def test_a_recorded_query_that_nobody_asked() -> None:
    said = found(recorded=[*RECORDED, Recorded("eve", "r9", "success", 0)])
    assert said == "the server recorded queries whose endings nobody heard: {'success': 1}"


def test_a_refused_query_needs_no_record() -> None:
    said = found({"status": "refused", "reason": "no", "latency": None}, recorded=RECORDED[1:])
    assert said == "ada's query r1 (a question): ended as refused (no), not as success"
