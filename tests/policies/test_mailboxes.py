"""All mailboxes: what was put in is read, dropped or still there; the bounds hold; endings are never lost silently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import Coalesce, Credit, Disconnect, DropNewest, DropOldest, Overflow, PolicyError

KINDS: list[Any] = [
    Disconnect(5, 20),
    Disconnect(5, 20, after=3),
    DropOldest(5, 20),
    DropNewest(5, 20),
    Coalesce(5, 20),
    Credit(3, 5, 20),
]


def numbered(size: int, number: int) -> bytes:
    return number.to_bytes(2) + b"x" * size


def put(box: Any, *messages: bytes, **how: Any) -> list[bytes]:
    return [dropped for message in messages for dropped in box.put(message, 0.0, **how)]


@given(
    policy=st.sampled_from(KINDS),
    script=st.lists(
        st.integers(0, 25) | st.tuples(st.integers(0, 12), st.sampled_from([None, "a", "b", "c"]), st.booleans()),
        max_size=80,
    ),
    gap=st.sampled_from([1, 0, -1]),
)
def test_each_message_is_read_dropped_or_still_waiting_and_the_bounds_hold(
    policy: Any, script: list[Any], gap: int
) -> None:
    """Numbers drain; tuples put: size, stream, whether it must be kept. Time may stand still, or go back."""
    box, now = policy.start(0.0), 0.0
    taken_in: list[bytes] = []
    read: list[bytes] = []
    dropped: list[bytes] = []
    kept: list[bytes] = []
    for number, step in enumerate(script):
        now += gap
        if isinstance(step, int):
            got = box.drain(step)
            assert got or not len(box)
            assert len(got) <= 1 or sum(map(len, got)) <= step
            read += got
        else:
            size, ref, keep = step
            message = numbered(size, number)
            before = (len(box), box.bytes)
            try:
                dropped += box.put(message, now, ref, keep)
            except Overflow:
                assert (len(box), box.bytes) == before
                assert keep or isinstance(policy, (Disconnect, Credit))
            else:
                taken_in.append(message)
                kept += [message] * keep
        assert len(box) == len(taken_in) - len(read) - len(dropped)
        assert box.bytes == sum(map(len, taken_in)) - sum(map(len, read)) - sum(map(len, dropped))
        assert len(box) <= 5
        assert box.bytes <= 20 or len(box) == 1
    read += box.drain(10**9)
    assert sorted(read + dropped) == sorted(taken_in)
    assert set(kept) <= set(read)
    assert len(box) == box.bytes == 0


@given(
    policy=st.sampled_from([kind for kind in KINDS if not isinstance(kind, Coalesce)]),
    script=st.lists(st.integers(0, 9)),
)
def test_what_is_read_is_read_in_the_order_it_was_put_in(policy: Any, script: list[int]) -> None:
    box, read = policy.start(0.0), []
    for number, step in enumerate(script):
        if step == 0:
            read += box.drain(7)
        else:
            try:
                box.put(numbered(step, number), 0.0)
            except Overflow:
                break
    read += box.drain(10**9)
    assert read == sorted(read)


@pytest.mark.parametrize("policy", KINDS)
def test_any_message_passes_an_empty_mailbox(policy: Any) -> None:
    box = policy.start(0.0)
    assert put(box, b"x" * 1000) == []
    assert box.drain(1) == [b"x" * 1000]


@pytest.mark.parametrize("policy", KINDS)
def test_a_mailbox_shows_what_waits(policy: Any) -> None:
    box = policy.start(0.0)
    put(box, b"abc")
    assert "1 messages, 3 bytes" in repr(box)


class TestDropOldest:
    def test_the_reader_gets_the_newest(self) -> None:
        box = DropOldest(3, 1000).start(0.0)
        assert put(box, b"1", b"2", b"3", b"4", b"5") == [b"1", b"2"]
        assert box.drain(10) == [b"3", b"4", b"5"]

    def test_as_many_go_as_a_large_one_needs(self) -> None:
        box = DropOldest(10, 10).start(0.0)
        put(box, b"123", b"456", b"789")
        assert put(box, b"abcdef") == [b"123", b"456"]

    def test_an_ending_stays_and_the_next_oldest_goes(self) -> None:
        box = DropOldest(2, 1000).start(0.0)
        put(box, b"ending", keep=True)
        assert put(box, b"1", b"2") == [b"1"]
        assert box.drain(100) == [b"ending", b"2"]

    def test_where_only_endings_wait_what_may_be_dropped_is_and_an_ending_cuts_the_reader_off(self) -> None:
        box = DropOldest(2, 1000).start(0.0)
        put(box, b"e1", b"e2", keep=True)
        assert put(box, b"thought") == [b"thought"]
        with pytest.raises(Overflow, match="2 messages, 4 bytes wait, and must not be dropped"):
            put(box, b"e3", keep=True)
        assert box.drain(100) == [b"e1", b"e2"]


class TestDropNewest:
    def test_the_reader_gets_the_oldest(self) -> None:
        box = DropNewest(3, 1000).start(0.0)
        assert put(box, b"1", b"2", b"3", b"4", b"5") == [b"4", b"5"]
        assert box.drain(10) == [b"1", b"2", b"3"]

    def test_an_ending_takes_the_place_of_the_youngest_that_may_be_dropped(self) -> None:
        box = DropNewest(3, 1000).start(0.0)
        put(box, b"1", b"2", b"3")
        assert put(box, b"ending", keep=True) == [b"3"]
        assert box.drain(100) == [b"1", b"2", b"ending"]


class TestCoalesce:
    def test_the_reader_gets_the_latest_of_each_stream_where_the_first_stood(self) -> None:
        box = Coalesce().start(0.0)
        put(box, b"a1", ref="a")
        put(box, b"b1", ref="b")
        assert put(box, b"a2", b"a3", ref="a") == [b"a1", b"a2"]
        assert box.drain(100) == [b"a3", b"b1"]

    def test_what_has_been_read_is_not_replaced(self) -> None:
        box = Coalesce().start(0.0)
        put(box, b"a1", ref="a")
        assert box.drain(100) == [b"a1"]
        assert put(box, b"a2", ref="a") == []
        assert box.drain(100) == [b"a2"]

    def test_what_is_of_no_stream_or_must_be_kept_is_not_replaced(self) -> None:
        box = Coalesce().start(0.0)
        put(box, b"1", b"2")
        put(box, b"thought", ref="a")
        assert put(box, b"result", ref="a", keep=True) == []
        assert box.drain(100) == [b"1", b"2", b"thought", b"result"]

    def test_one_that_has_grown_too_large_for_its_place_goes_to_the_end(self) -> None:
        box = Coalesce(10, 10).start(0.0)
        put(box, b"a123", ref="a")
        put(box, b"b123", ref="b")
        assert put(box, b"a12345678", ref="a") == [b"a123", b"b123"]
        assert box.drain(100) == [b"a12345678"]

    def test_at_the_bound_the_oldest_goes_and_its_stream_begins_anew(self) -> None:
        box = Coalesce(2, 1000).start(0.0)
        put(box, b"a1", ref="a")
        put(box, b"b1", ref="b")
        assert put(box, b"c1", ref="c") == [b"a1"]
        assert put(box, b"a2", ref="a") == [b"b1"]
        assert box.drain(100) == [b"c1", b"a2"]
        assert box._latest == {}

    def test_a_reader_is_never_further_behind_than_a_message_a_stream(self) -> None:
        box = Coalesce().start(0.0)
        for number in range(1000):
            put(box, b"%d" % number, ref=number % 3)
            assert len(box) <= 3
        assert box.drain(100) == [b"999", b"997", b"998"]


class TestDisconnect:
    def test_a_reader_whose_oldest_message_waits_too_long_is_cut_off(self) -> None:
        box = Disconnect(after=2.0).start(0.0)
        box.put(b"1", 0.0)
        box.put(b"2", 2.0)
        with pytest.raises(Overflow, match="the oldest of 2 messages waits for 2.1 s"):
            box.put(b"3", 2.1)

    def test_one_that_reads_is_not(self) -> None:
        box = Disconnect(after=2.0).start(0.0)
        for now in range(100):
            box.put(b"1", now)
            assert len(box) <= 3
            if now % 2:
                box.drain(2)


class TestCredit:
    def test_writers_wait_from_so_many_messages_on_until_half_are_read(self) -> None:
        box = Credit(credit=4).start(0.0)
        seen = []
        for _ in range(5):
            put(box, b"x")
            seen.append(box.waits)
        assert seen == [False, False, False, True, True]
        for _ in range(3):
            box.drain(1)
            seen.append(box.waits)
        assert seen[5:] == [True, True, False]

    def test_they_also_wait_once_half_of_the_bytes_wait(self) -> None:
        box = Credit(credit=100, size=20).start(0.0)
        put(box, b"x" * 10)
        assert box.waits
        box.drain(10)
        assert not box.waits

    def test_writers_that_wait_lose_nothing(self) -> None:
        box, written, read, turn = Credit(credit=8, messages=8).start(0.0), 0, 0, 0
        while read < 1000:
            turn += 1
            while not box.waits and written < 1000:
                assert put(box, b"%d" % written) == []
                written += 1
            for message in box.drain(5):
                assert message == b"%d" % read
                read += 1
        assert (written, len(box)) == (1000, 0)

    def test_a_writer_that_does_not_wait_has_the_reader_cut_off(self) -> None:
        box = Credit(credit=2, messages=4).start(0.0)
        with pytest.raises(Overflow):
            put(box, *[b"x"] * 5)

    def test_only_credit_ever_asks_to_wait(self) -> None:
        for policy in KINDS[:-1]:
            assert policy.start(0.0).waits is False

    def test_credit_beyond_the_bound_is_refused(self) -> None:
        with pytest.raises(PolicyError, match="credit: must be at most `messages`, 10; not 64"):
            Credit(messages=10)


@pytest.mark.parametrize("kind", [DropOldest, DropNewest])
@pytest.mark.parametrize(("load", "places", "lost"), [(0.9, 5, 0.126023), (1.2, 10, 0.192586)])
def test_messages_are_lost_as_in_m_m_1_k(kind: Any, load: float, places: int, lost: float) -> None:
    """A reader that takes exponential time a message. The one being read has a place of its own."""
    random = np.random.default_rng(8)
    count = 100_000
    arrivals = np.cumsum(random.exponential(1 / load, count)).tolist()
    readings = random.exponential(1, count).tolist()
    box, free_at, drops = kind(places - 1, 10**9).start(0.0), 0.0, []
    for now, reading in zip(arrivals, readings, strict=True):
        while len(box) and free_at <= now:
            (begun,) = box.drain(0)
            free_at += begun.reading
        message = Message(reading)
        if free_at <= now:
            free_at = now + reading
            drops.append(0.0)
        else:
            drops.append(float(len(box.put(message, now))))
    batches = np.asarray(drops).reshape(40, -1).mean(axis=1)
    assert abs(batches.mean() - lost) <= 3 * batches.std(ddof=1) / np.sqrt(40)


class Message(bytes):
    """A message that knows how long it takes to read."""

    reading: float

    def __new__(cls, reading: float) -> Message:
        message = super().__new__(cls, b"x")
        message.reading = reading
        return message
