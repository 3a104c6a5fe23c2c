"""The mailbox between the core and a reader: its bounds, and that nothing is lost below them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import Disconnect, Overflow
from synapse.policies.mailbox import DisconnectMailbox


def mailbox(messages: int = 100, size: int = 1000) -> DisconnectMailbox[bytes]:
    return Disconnect(messages=messages, size=size).start(0.0)


def test_messages_come_out_in_the_order_they_came_in() -> None:
    box = mailbox()
    for message in (b"a", b"b", b"c"):
        assert list(box.put(message, 0.0)) == []
    assert box.drain(1000) == [b"a", b"b", b"c"]


def test_an_empty_mailbox_drains_to_nothing() -> None:
    assert mailbox().drain(1000) == []


def test_it_is_full_at_its_number_of_messages() -> None:
    box = mailbox(messages=2)
    box.put(b"", 0.0)
    box.put(b"", 0.0)
    with pytest.raises(Overflow):
        box.put(b"", 0.0)


def test_it_is_full_at_its_number_of_bytes() -> None:
    box = mailbox(size=10)
    box.put(b"12345", 0.0)
    box.put(b"67890", 0.0)
    with pytest.raises(Overflow, match="2 messages, 10 bytes wait"):
        box.put(b"!", 0.0)


def test_a_refused_message_changes_nothing() -> None:
    box = mailbox(messages=1)
    box.put(b"kept", 0.0)
    with pytest.raises(Overflow):
        box.put(b"refused", 0.0)
    assert (len(box), box.bytes, box.drain(1000)) == (1, 4, [b"kept"])


def test_an_empty_mailbox_takes_even_a_message_above_its_bound() -> None:
    box = mailbox(size=3)
    box.put(b"large", 0.0)
    assert box.drain(1) == [b"large"]


def test_drain_takes_what_fits() -> None:
    box = mailbox()
    for message in (b"aa", b"bb", b"cc"):
        box.put(message, 0.0)
    assert box.drain(5) == [b"aa", b"bb"]


def test_drain_takes_at_least_one() -> None:
    box = mailbox()
    box.put(b"aa", 0.0)
    box.put(b"bb", 0.0)
    assert box.drain(0) == [b"aa"]


@pytest.mark.parametrize(("field", "value"), [("messages", 0), ("size", 0), ("size", "4 MiB")])
def test_a_bound_that_is_none_is_refused(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({"kind": "disconnect", field: value}, Disconnect)


@given(st.lists(st.binary(max_size=8) | st.integers(0, 12), max_size=60))
def test_what_was_taken_in_comes_out_once_and_in_order(script: list[bytes | int]) -> None:
    """Bytes are put, numbers drain; the bounds hold at every moment."""
    box = mailbox(messages=5, size=20)
    taken_in: list[bytes] = []
    came_out: list[bytes] = []
    for step in script:
        if isinstance(step, bytes):
            try:
                box.put(step, 0.0)
            except Overflow:
                assert len(box) == 5 or box.bytes + len(step) > 20
            else:
                taken_in.append(step)
        else:
            came_out += box.drain(step)
        waiting = taken_in[len(came_out) :]
        assert (len(box), box.bytes) == (len(waiting), sum(map(len, waiting)))
        assert len(box) <= 5
        assert box.bytes <= 20
    while len(box):
        came_out += box.drain(20)
    assert came_out == taken_in
