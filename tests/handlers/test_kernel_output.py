"""From a kernel's messages to thoughts, and how much of them is kept. No kernel runs here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synapse.handlers.kernel.execution import OVERHEAD, Execution
from synapse.handlers.kernel.output import THOUGHT, plain, reason_of, thought_of


def shown(data: dict[str, Any], most: int = 1000, **more: Any) -> Any:
    return thought_of("display_data", {"data": data, **more}, most)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_is_a_thought_of_its_name(name: str) -> None:
    assert thought_of("stream", {"name": name, "text": "hi\n"}, 100) == {"type": name, "content": "hi\n"}


def test_a_display_of_text_alone_is_its_text() -> None:
    assert shown({"text/plain": "42"}) == {"type": "display", "content": "42"}


def test_a_richer_display_brings_its_whole_bundle() -> None:
    bundle = {"text/plain": "<Figure>", "image/png": "iVBO"}
    assert shown(bundle) == {"type": "display", "content": "<Figure>", "data": bundle}


def test_an_update_of_a_named_display_can_be_told() -> None:
    content = {"data": {"text/plain": "50 %"}, "transient": {"display_id": "bar"}}
    assert thought_of("update_display_data", content, 100) == {
        "type": "display",
        "content": "50 %",
        "display_id": "bar",
    }


def test_a_mime_entry_that_is_too_long_is_left_out_and_named() -> None:
    assert shown({"text/plain": "<Figure>", "image/png": "x" * 11, "text/html": "<b>"}, 10) == {
        "type": "display",
        "content": "<Figure>",
        "left_out": ["image/png"],
        "data": {"text/plain": "<Figure>", "text/html": "<b>"},
    }


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    assert thought_of("stream", {"text": "x" * 15}, 10) == {
        "type": "stdout",
        "content": "xxxxxxxxxx… [5 more characters]",
    }


def test_the_kernels_own_think_is_the_thought_itself() -> None:
    thought = {"type": "plan", "content": "look", "depth": 2}
    assert shown({THOUGHT: thought, "text/plain": "look"}) == thought


@pytest.mark.parametrize("forged", [{"type": "x"}, {"content": 1, "self": 2}, "text", {"content": "x" * 2000}])
def test_what_only_looks_like_a_thought_is_a_display(forged: Any) -> None:
    assert shown({THOUGHT: forged, "text/plain": "?"})["type"] == "display"


def test_an_exception_is_its_traceback_without_colours() -> None:
    content = {"ename": "NameError", "evalue": "name 'x'", "traceback": ["\x1b[31mNameError\x1b[39m", "line"]}
    assert thought_of("error", content, 100) == {
        "type": "error",
        "content": "NameError\nline",
        "ename": "NameError",
        "evalue": "name 'x'",
    }


def test_messages_that_say_nothing_to_an_agent_are_no_thoughts() -> None:
    assert thought_of("comm_open", {}, 100) is None
    assert thought_of("clear_output", {}, 100) is None


@pytest.mark.parametrize(
    ("text", "clean"), [("\x1b[0;31mred\x1b[0m", "red"), ("\x1b]8;;http://x\x07link", "link"), ("\ud800", "?")]
)
def test_text_is_cleaned_of_terminal_codes_and_of_what_json_cannot_say(text: str, clean: str) -> None:
    assert plain(text) == clean


def test_the_reason_of_a_failure_is_one_short_line() -> None:
    assert reason_of({"ename": "NameError", "evalue": "no 'x'"}) == "NameError: no 'x'"
    assert reason_of({"ename": "KeyboardInterrupt", "evalue": ""}) == "KeyboardInterrupt"
    assert len(reason_of({"ename": "E", "evalue": "x" * 10**6})) < 1100


def test_an_execution_is_done_when_reply_and_idle_have_both_come_in_any_order() -> None:
    first, second = Execution(100, 1000), Execution(100, 1000)
    first.on_reply({"status": "ok"})
    second.on_iopub("status", {"execution_state": "idle"}, 100)
    assert [first.done, second.done] == [False, False]
    first.on_iopub("status", {"execution_state": "idle"}, 100)
    second.on_reply({"status": "ok"})
    assert [first.done, second.done] == [True, True]


def test_output_beyond_its_room_is_left_out_and_said_so_once() -> None:
    execution = Execution(1000, 100 + OVERHEAD)
    for text in ("kept", "too much", "still too much"):
        execution.on_iopub("stream", {"name": "stdout", "text": text}, 100)
    assert [thought["type"] for thought in execution.take()] == ["stdout", "truncated"]
    assert execution.take() == []


def test_the_result_is_known_even_when_its_thought_is_left_out() -> None:
    execution = Execution(1000, 1)
    execution.on_iopub("execute_result", {"data": {"text/plain": "42"}}, 100)
    assert execution.result == "42"


def test_an_abandoned_execution_keeps_no_output() -> None:
    execution = Execution(1000, 10_000)
    execution.on_iopub("stream", {"text": "a"}, 10)
    execution.abandon()
    execution.on_iopub("stream", {"text": "b"}, 10)
    assert (execution.take(), execution.room) == ([], 0)


def test_waiting_ends_with_a_message_or_with_the_time() -> None:
    async def main() -> None:
        execution = Execution(1000, 10_000)
        assert not await execution.changed(0.001)
        execution.on_iopub("execute_input", {}, 100)
        assert await execution.changed(30)
        assert execution.started

    asyncio.run(main())
