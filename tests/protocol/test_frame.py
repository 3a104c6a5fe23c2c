"""Frames and encoded messages as values."""

from __future__ import annotations

import pytest

from synapse.protocol import Encoded, Frame


def test_a_frame_has_phoenix_five_fields_in_their_order() -> None:
    assert Frame.__struct_fields__ == ("join_ref", "ref", "topic", "event", "payload")


def test_a_frame_never_changes() -> None:
    frame = Frame("1", "2", "t", "e", {})
    with pytest.raises(AttributeError):
        frame.topic = "other"  # type: ignore[misc]


def test_an_encoded_message_is_as_long_as_its_bytes() -> None:
    assert len(Encoded(b"12345")) == 5


def test_an_encoded_message_starts_with_nothing_framed() -> None:
    assert Encoded(b"").framed == {}


def test_an_encoded_message_shows_its_bytes() -> None:
    assert repr(Encoded(b"x", binary=True)) == "Encoded(b'x', binary=True)"
