"""Readers behind mailboxes: what they get, what they lose, how stale it is, and who has to wait for them."""

from __future__ import annotations

from math import log1p
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import Coalesce, Credit, Disconnect, DropNewest, DropOldest
from synapse.simulation.env import Environment
from synapse.simulation.readers import Reader, Reading, Writer, per_byte, per_message
from synapse.theory import mmck

ONE_A_SECOND = per_message(1.0)
POLICIES: list[Any] = [Disconnect(5, 500), DropOldest(5, 500), DropNewest(5, 500), Coalesce(5, 500), Credit(3, 5, 500)]


class Bench:
    def __init__(self, policy: Any, speed: Any = ONE_A_SECOND, **how: Any) -> None:
        self.env = Environment()
        self.reader = Reader(self.env, policy, speed, **how)

    @property
    def reading(self) -> Reading:
        return self.reader.reading

    def put(self, *times: float, size: int = 1, **how: Any) -> None:
        for time in times:
            self.env.call(time - self.env.time(), lambda _: self.reader.put(size, **how), None)

    def waiting(self) -> int:
        r = self.reading
        return r.put - r.read - r.dropped - r.lost - r.missed


def exponential(rate: float, seed: object) -> Any:
    """Gaps, or reading times whatever the size."""
    uniform = Random(str(seed)).random
    return lambda size=0: -log1p(-uniform()) / rate


class TestSpeed:
    def test_one_message_is_read_after_the_other(self) -> None:
        bench = Bench(Disconnect(), per_message(2.0))
        bench.put(0, 0, 0)
        bench.env.run(1.01)
        assert (bench.reading.read, len(bench.reader.mailbox)) == (2, 0)
        bench.env.run(None)
        assert (bench.env.time(), bench.reading.read) == (1.5, 3)

    def test_a_large_one_takes_longer_if_it_is_bytes_that_count(self) -> None:
        bench = Bench(Disconnect(), per_byte(100.0))
        bench.put(0, size=50)
        bench.put(0, size=200)
        bench.env.run(None)
        assert bench.env.time() == 2.5

    def test_what_is_read_is_as_old_as_it_has_waited(self) -> None:
        bench = Bench(Disconnect(), per_message(1.0))
        bench.put(0, 0, 0, 10)
        bench.env.run(None)
        assert (bench.reading.mean_age, bench.reading.oldest) == ((0 + 1 + 2 + 0) / 4, 2)
        assert Reading().mean_age == 0

    def test_the_most_that_has_waited_is_known(self) -> None:
        bench = Bench(Disconnect())
        bench.put(0, 0, 0, size=7)
        bench.env.run(None)
        assert (bench.reading.most, bench.reading.most_bytes) == (2, 14)


class TestWhoWaitsForIt:
    def test_is_told_when_a_message_has_been_read(self) -> None:
        bench, told = Bench(Disconnect()), list[float]()
        bench.put(0, 0, on_read=lambda: told.append(bench.env.time()))
        bench.env.run(None)
        assert told == [1.0, 2.0]

    def test_may_answer_with_the_next(self) -> None:
        bench, told = Bench(Disconnect(1, 100)), list[float]()

        def again() -> None:
            told.append(bench.env.time())
            bench.reader.put(1, on_read=again)

        bench.put(0, on_read=again)
        bench.env.run(3.5)
        assert told == [1.0, 2.0, 3.0]

    def test_hears_nothing_of_one_that_was_dropped_or_lost(self) -> None:
        bench, told = Bench(DropNewest(1)), list[str]()
        for name in ("lost", "lost too", "dropped"):
            bench.put(0, on_read=lambda name=name: told.append(name))
        bench.env.run(0.5)
        bench.reader.cut()
        bench.reader.connect()
        bench.put(0.6, on_read=lambda: told.append("read"))
        bench.env.run(None)
        assert told == ["read"]
        assert (bench.reading.lost, bench.reading.dropped) == (2, 1)


class TestStall:
    def test_a_reader_that_stalls_takes_nothing_more_until_it_is_over(self) -> None:
        bench = Bench(Disconnect())
        bench.put(0, 0)
        bench.env.call(0.5, lambda _: bench.reader.stall(5.0), None)
        bench.env.run(5.4)
        assert bench.reading.read == 1
        bench.env.run(None)
        assert (bench.env.time(), bench.reading.read) == (6.5, 2)

    def test_an_idle_one_does_neither(self) -> None:
        bench = Bench(Disconnect())
        bench.reader.stall(5.0)
        bench.reader.stall(3.0)
        bench.put(1)
        bench.env.run(None)
        assert (bench.env.time(), bench.reading.read) == (6.0, 1)

    def test_one_stall_may_be_made_longer(self) -> None:
        bench = Bench(Disconnect())
        bench.reader.stall(2.0)
        bench.env.call(1.0, lambda _: bench.reader.stall(4.0), None)
        bench.put(1.5)
        bench.env.run(None)
        assert (bench.env.time(), bench.reading.read) == (6.0, 1)


class TestCut:
    def test_a_reader_whose_mailbox_overflows_is_cut_off_and_what_waits_is_lost(self) -> None:
        cuts: list[float] = []
        bench = Bench(Disconnect(2, 100), on_cut=lambda: cuts.append(bench.env.time()))
        bench.put(0, 0, 0, 0.5, 0.6)
        bench.env.run(None)
        r = bench.reading
        assert (r.put, r.lost, r.missed, r.read, r.cuts) == (5, 3, 2, 0, 1)
        assert cuts == [0.5]
        assert not bench.reader.connected

    def test_one_that_comes_back_starts_clean(self) -> None:
        bench = Bench(Disconnect(2, 100))
        bench.put(0, 0, 0, 0)
        bench.env.call(0.5, lambda _: bench.reader.connect(), None)
        bench.put(0.6, 0.7)
        bench.env.run(None)
        r = bench.reading
        assert (r.put, r.lost, r.missed, r.read) == (6, 3, 1, 2)
        assert bench.env.time() == 2.6  # what it was reading when it was cut off is not read

    def test_to_cut_or_connect_twice_is_of_no_effect(self) -> None:
        bench = Bench(Disconnect())
        bench.reader.connect()
        bench.put(0)
        bench.env.run(0.5)
        bench.reader.cut()
        bench.reader.cut()
        assert (bench.reading.cuts, bench.reading.lost) == (1, 1)

    def test_a_stall_without_a_connection_ends_with_the_next(self) -> None:
        """Otherwise its end would make the reader read two messages at once."""
        bench = Bench(Disconnect(), per_message(1.0))
        bench.reader.cut()
        bench.reader.stall(0.5)
        bench.reader.connect()
        bench.put(0, 0, 0)
        bench.env.run(None)
        assert (bench.env.time(), bench.reading.read) == (3.0, 3)

    def test_a_stall_ends_with_the_connection(self) -> None:
        bench = Bench(Disconnect())
        bench.reader.stall(100.0)
        bench.reader.cut()
        bench.reader.connect()
        bench.put(1)
        bench.env.run(50)
        assert bench.reading.read == 1

    def test_nobody_waits_for_one_that_is_cut_off(self) -> None:
        bench = Bench(Credit(credit=1))
        ready: list[float] = []
        bench.put(0, 0)
        bench.env.call(0.1, lambda _: bench.reader.when_ready(lambda: ready.append(bench.env.time())), None)
        bench.env.call(0.2, lambda _: bench.reader.cut(), None)
        bench.env.run(0.3)
        assert ready == [0.2]
        bench.reader.when_ready(lambda: ready.append(bench.env.time()))
        assert ready == [0.2, 0.3]


@pytest.mark.parametrize(("load", "places", "blocked"), [(0.9, 5, 0.126023), (1.2, 10, 0.192586), (0.8, 2, 0.262295)])
@pytest.mark.parametrize("policy", [DropNewest, DropOldest])
def test_a_bounded_mailbox_loses_what_m_m_1_k_blocks(policy: Any, load: float, places: int, blocked: float) -> None:
    """One message is being read, so the mailbox has one place less. 20 replications."""
    assert mmck(load, 1.0, 1, places).p_block == pytest.approx(blocked, abs=1e-6)
    shares = []
    for seed in range(20):
        bench = Bench(policy(places - 1), exponential(1.0, f"{seed} reads"))
        Writer(bench.env, bench.reader, exponential(load, f"{seed} writes"))
        bench.env.run(4000.0)
        shares.append(bench.reading.dropped / bench.reading.put)
    assert abs(np.mean(shares) - blocked) <= 3 * np.std(shares, ddof=1) / 20**0.5


class TestStaleness:
    """A writer of 10 messages a second, a reader of one."""

    def run(self, policy: Any, streams: int = 1) -> Reading:
        bench = Bench(policy, per_message(1.0))
        for stream in range(streams):
            Writer(bench.env, bench.reader, exponential(10.0, stream), stream=stream)
        bench.env.run(1000.0)
        return bench.reading

    def test_coalescing_bounds_it_by_the_time_of_one_reading_a_stream(self) -> None:
        assert self.run(Coalesce()).oldest <= 1.0
        assert self.run(Coalesce(), streams=3).oldest <= 3.0

    def test_of_those_that_drop_the_oldest_first_is_the_freshest_and_the_newest_first_the_stalest(self) -> None:
        """A full mailbox of 20: the next is as old as 20 writings, or as 20 readings."""
        oldest, newest = self.run(DropOldest(20)), self.run(DropNewest(20))
        assert oldest.mean_age == pytest.approx(2.0, rel=0.1)
        assert newest.mean_age == pytest.approx(20.0, rel=0.1)
        assert oldest.dropped == pytest.approx(newest.dropped, rel=0.01)
        assert self.run(Coalesce()).mean_age < oldest.mean_age

    def test_without_a_bound_it_and_the_memory_grow_without_one(self) -> None:
        first = Bench(Disconnect(10**6, 2**40))
        Writer(first.env, first.reader, exponential(10.0, 1))
        sizes = []
        for until in (250.0, 500.0, 1000.0):
            first.env.run(until)
            sizes.append(first.reading.most)
        assert sizes == [pytest.approx(9 * until, rel=0.05) for until in (250, 500, 1000)]
        assert first.reading.oldest == pytest.approx(900, rel=0.05)


class TestCredit:
    def test_nothing_is_lost_and_the_writer_goes_at_the_readers_pace(self) -> None:
        bench = Bench(Credit(credit=16), per_message(1.0))
        writer = Writer(bench.env, bench.reader, exponential(10.0, 1))
        bench.env.run(1000.0)
        assert (bench.reading.dropped, bench.reading.lost, bench.reading.cuts) == (0, 0, 0)
        assert bench.reading.most == 16
        assert writer.written == bench.reading.put == pytest.approx(1000, abs=20)
        assert writer.waited == pytest.approx(900, rel=0.02)  # the rest it spends on its gaps

    def test_a_writer_to_a_fast_reader_does_not_wait(self) -> None:
        bench = Bench(Credit(credit=16), per_message(1000.0))
        writer = Writer(bench.env, bench.reader, exponential(10.0, 1))
        bench.env.run(1000.0)
        assert writer.waited == 0
        assert writer.written == pytest.approx(10_000, abs=3 * 100)

    def test_several_writers_share_the_credit_and_no_one_starves(self) -> None:
        bench = Bench(Credit(credit=4), per_message(10.0))
        writers = [Writer(bench.env, bench.reader, exponential(10.0, seed)) for seed in range(4)]
        bench.env.run(1000.0)
        assert bench.reading.most <= 4 + 3  # those who began to write before it was asked
        assert sum(writer.written for writer in writers) == bench.reading.put
        assert all(writer.written == pytest.approx(2500, rel=0.1) for writer in writers)

    def test_a_policy_without_credit_lets_no_one_wait(self) -> None:
        bench = Bench(DropNewest(5))
        writer = Writer(bench.env, bench.reader, exponential(10.0, 1))
        bench.env.run(100.0)
        assert writer.waited == 0


@given(
    policy=st.sampled_from(POLICIES),
    script=st.lists(
        st.tuples(st.just("put"), st.integers(1, 300), st.sampled_from([None, "a", "b"]), st.booleans())
        | st.tuples(st.just("stall"), st.floats(0, 5))
        | st.tuples(st.just("wait"), st.floats(0.1, 5))
        | st.tuples(st.sampled_from(["cut", "connect"])),
        max_size=60,
    ),
)
def test_each_message_is_read_dropped_lost_missed_or_waiting(policy: Any, script: list[Any]) -> None:
    bench = Bench(policy, per_byte(100.0))
    for what, *how in script:
        if what == "wait":
            bench.env.run(bench.env.time() + how[0])
        else:
            getattr(bench.reader, what)(*how)
        assert bench.waiting() - len(bench.reader.mailbox) * bench.reader.connected in (0, 1)
        assert min(bench.reading.lost, bench.reading.dropped, bench.reading.missed) >= 0
    bench.env.run(None)
    assert bench.waiting() == 0
