"""The tape: what is kept of messages, and how much."""

from __future__ import annotations

from synapse.channels import Message
from synapse.cortex import Tape


def said(tape: Tape, number: int, size: int = 0) -> None:
    """A thought of a query ``q<number>``."""
    tape.said(float(number), "a", f"q{number}", Message("cortex:a", "thought", {"n": number, "x": "x" * size}))


def test_what_names_no_query_is_not_kept() -> None:
    tape = Tape()
    for payload in ({"status": "busy"}, {"ref": 7}, [], b"bytes", None):
        tape.heard(0.0, "a", 1, "1", "2", "cortex:a", "status", payload)
    assert len(tape) == 0


def test_at_the_bound_of_messages_the_oldest_go_first() -> None:
    tape = Tape(messages=3)
    for number in range(5):
        said(tape, number)
    assert [bool(tape.of("a", f"q{number}")) for number in range(5)] == [False, False, True, True, True]


def test_at_the_bound_of_bytes_the_oldest_go_first() -> None:
    tape = Tape(size=2500)
    for number in range(4):
        said(tape, number, 1000)
    assert len(tape) == 2
    assert tape.bytes <= 2500


def test_one_message_that_is_larger_than_the_bound_is_kept_alone() -> None:
    tape = Tape(size=100)
    said(tape, 1)
    said(tape, 2, 1000)
    assert (len(tape), len(tape.of("a", "q2"))) == (1, 1)


def test_a_topic_is_quoted_as_json_wants_it() -> None:
    tape = Tape()
    tape.said(0.0, 'a"b', "q1", Message('cortex:a"b', "thought", {}))
    assert bytes(tape.of('a"b', "q1")[0].frame) == b'[null,null,"cortex:a\\"b","thought",{}]'
