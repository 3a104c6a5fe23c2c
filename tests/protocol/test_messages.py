"""The cortex protocol's messages: what is accepted, and how a refusal names the field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from synapse.protocol import (
    Error,
    Interrupt,
    Interrupted,
    InvalidMessage,
    Ping,
    Pong,
    Query,
    Result,
    Thought,
    encode_json,
    parse,
)
from tests.support.strategies import json_values

ALL: list[Any] = [Query, Interrupt, Ping, Pong, Thought, Result, Interrupted, Error]


class TestQuery:
    def test_q_and_ref_are_enough(self) -> None:
        assert parse(Query, {"q": "why?", "ref": "q1"}) == Query(
            "why?", "q1", priority=5, timeout=None, handler=None, attempt=1
        )

    def test_all_fields_are_read(self) -> None:
        payload = {"q": "", "ref": "q1", "priority": 0, "timeout": 1500, "handler": "kernel", "attempt": 3}
        assert parse(Query, payload) == Query("", "q1", 0, 1500, "kernel", 3)

    def test_unknown_fields_are_ignored(self) -> None:
        assert parse(Query, {"q": "why?", "ref": "q1", "mood": "good"}) == Query("why?", "q1")

    @pytest.mark.parametrize("payload", [{}, {"q": "x"}, {"ref": "q1"}, [], None, "q", b"q", 7])
    def test_a_missing_field_is_answered_with_the_list_of_required_ones(self, payload: Any) -> None:
        with pytest.raises(InvalidMessage) as invalid:
            parse(Query, payload)
        assert (invalid.value.reason, invalid.value.field) == ("missing required fields: q, ref", None)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("q", 7),
            ("q", {}),
            ("q", None),
            ("ref", 7),
            ("ref", ""),
            ("ref", "r" * 256),
            ("priority", -1),
            ("priority", 10),
            ("priority", "5"),
            ("priority", True),
            ("priority", 0.5),
            ("priority", None),
            ("timeout", 0),
            ("timeout", 86_400_001),
            ("timeout", "soon"),
            ("handler", 7),
            ("attempt", 0),
            ("attempt", 1_000_001),
        ],
    )
    def test_an_invalid_field_is_named(self, field: str, value: Any) -> None:
        with pytest.raises(InvalidMessage) as invalid:
            parse(Query, {"q": "why?", "ref": "q1", field: value})
        assert invalid.value.field == field
        assert invalid.value.reason.startswith(f"invalid field: {field}: Expected ")
        assert "$" not in invalid.value.reason

    @pytest.mark.parametrize(
        ("field", "value"), [("ref", "r" * 255), ("priority", 9), ("timeout", 86_400_000), ("timeout", 1)]
    )
    def test_the_bounds_themselves_are_valid(self, field: str, value: Any) -> None:
        assert getattr(parse(Query, {"q": "why?", "ref": "q1", field: value}), field) == value


class TestInterrupt:
    def test_the_user_asked_for_it_when_no_reason_is_given(self) -> None:
        assert parse(Interrupt, {"ref": "q1"}) == Interrupt("q1", "user requested")

    def test_its_ref_is_required(self) -> None:
        with pytest.raises(InvalidMessage, match="^missing required fields: ref$"):
            parse(Interrupt, {"reason": "bored"})

    def test_its_reason_has_an_end(self) -> None:
        with pytest.raises(InvalidMessage) as invalid:
            parse(Interrupt, {"ref": "q1", "reason": "r" * 1001})
        assert invalid.value.field == "reason"


class TestOthers:
    def test_a_ping_has_no_fields(self) -> None:
        assert parse(Ping, {"anything": 1}) == Ping()

    @pytest.mark.parametrize("payload", [None, [], "ping", b""])
    def test_a_ping_that_is_no_object_is_refused(self, payload: Any) -> None:
        with pytest.raises(InvalidMessage, match="^payload must be an object$"):
            parse(Ping, payload)

    def test_a_result_has_one_of_three_statuses(self) -> None:
        with pytest.raises(InvalidMessage) as invalid:
            parse(Result, {"ref": "q1", "status": "great", "data": {}, "latency_ms": 1})
        assert invalid.value.field == "status"

    def test_a_thought_without_a_number_does_not_speak_of_it(self) -> None:
        assert json.loads(encode_json(Thought({"content": "hm"}, "q1", 17))) == {
            "thought": {"content": "hm"},
            "ref": "q1",
            "timestamp": 17,
        }

    def test_an_error_says_only_what_is_known(self) -> None:
        assert json.loads(encode_json(Error("overloaded", retry_after_ms=5))) == {
            "reason": "overloaded",
            "retry_after_ms": 5,
        }

    @pytest.mark.parametrize(
        "message",
        [Result("q1", "success", {"n": [1]}, 2.5), Interrupted("q1", "bored"), Pong(17), Thought("hm", "q1", 17, 3)],
    )
    def test_what_a_server_sends_a_client_can_parse(self, message: msgspec.Struct) -> None:
        kind: Any = type(message)
        assert parse(kind, json.loads(encode_json(message))) == message

    @pytest.mark.parametrize("kind", ALL)
    def test_a_message_never_changes(self, kind: type[msgspec.Struct]) -> None:
        assert kind.__struct_config__.frozen


@given(json_values)
def test_no_payload_raises_anything_but_invalid_message(payload: Any) -> None:
    for kind in ALL:
        for candidate in (
            payload,
            {"q": payload, "ref": payload},
            {"ref": payload, "reason": payload, "timestamp": payload},
        ):
            try:
                message = parse(kind, candidate)
            except InvalidMessage as invalid:
                assert invalid.reason
                assert "None" not in invalid.reason
            else:
                assert isinstance(message, kind)
