"""Agents hear what their readers have read: when that is, what a cut takes, and what is written again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synapse.policies import Disconnect
from synapse.simulation import Environment, Readers, Scenario
from synapse.simulation.mailboxes import GRACE, RETURN, Mailroom
from synapse.simulation.node import Try
from synapse.simulation.readers import Reading
from synapse.simulation.run import Run
from synapse.simulation.world import World

ONE = Scenario(  # it asks after a second; its answer takes a second
    duration=9,
    warmup=0,
    agents={
        "count": 1,
        "think": {"kind": "deterministic", "value": 1},
        "timeout": {"kind": "fixed", "seconds": 100},
        "reading": {"rate": 2},
    },
    node={"service": {"kind": "deterministic", "value": 1}, "timeout": {"kind": "fixed", "seconds": 100}},
)
BACK_IN_A_SECOND = {"agents.connection": {"reconnect": {"kind": "table", "delays": [1.0], "jitter": 0}, "accepts": 1e6}}
TEN_THOUGHTS = {"node.thoughts": 10}  # one every 0.1 s


def run(changes: dict[str, Any]) -> tuple[Run, Reading]:
    done = ONE.replace(changes).run()
    return done, done.reading[0]


class TestAnswers:
    def test_one_is_heard_when_it_has_been_read(self) -> None:
        slow, _ = run({})
        assert slow.latency.longest == pytest.approx(1.5)
        assert slow.latency.mean == pytest.approx(1.5)

    def test_a_closed_agent_begins_to_think_then(self) -> None:
        assert run({"duration": 51})[0].counts.ok == 20  # one every 1 + 1 + 0.5 s
        assert ONE.replace({"duration": 51, "agents.reading": None}).run().counts.ok == 25

    def test_one_that_is_not_read_in_the_end_is_in_flight(self) -> None:
        done, reading = run({"duration": 2.4})
        assert (done.counts.ok, done.counts.in_flight, done.counts.tries_in_flight) == (0, 1, 1)
        assert (reading.put, reading.read) == (1, 0)

    def test_it_is_read_after_the_thoughts_before_it(self) -> None:
        done, reading = run({"duration": 4, "agents.reading.rate": 5, **TEN_THOUGHTS})
        assert done.latency.longest == pytest.approx(0.1 + 11 / 5)
        assert reading.read == 11

    def test_what_has_a_long_way_is_under_way_besides(self) -> None:
        done, _ = run({"cluster.latency": {"kind": "deterministic", "value": 0.25}})
        assert done.latency.longest == pytest.approx(0.25 + 1 + 0.5 + 0.25)

    @pytest.mark.parametrize("kind", ["drop-oldest", "drop-newest", "coalesce"])
    def test_no_mailbox_drops_one(self, kind: str) -> None:
        mailbox = {"kind": kind, "messages": 1}
        done, reading = run({"duration": 5.5, "agents.reading.rate": 0.5, "node.mailbox": mailbox, **TEN_THOUGHTS})
        assert (reading.put, reading.read, reading.dropped) == (11, 2, 9)
        assert done.latency.longest == pytest.approx(0.1 + 2 + 2)

    def test_an_error_is_heard_when_it_has_been_read(self) -> None:
        """The node ends the try after half a second; the agent would wait for longer."""
        done, _ = run({"node.timeout.seconds": 0.5, "duration": 20.5})
        assert (done.counts.sent, done.counts.timeout) == (10, 10)  # one every 1 + 0.5 + 0.5 s


class TestFirstThoughts:
    def test_the_first_that_was_read_counts(self) -> None:
        done, _ = run({"duration": 4, "agents.reading.rate": 5, **TEN_THOUGHTS})
        assert done.first_thought.longest == pytest.approx(0.1 + 1 / 5)

    def test_the_record_says_when_there_was_one(self) -> None:
        queries = ONE.replace({"duration": 5, **TEN_THOUGHTS}).run(queries=True).queries
        assert queries["first_thought"][0] == pytest.approx(1.1)

    def test_if_none_was_the_answer_does(self) -> None:
        mailbox = {"kind": "disconnect", "messages": 2}
        done, _ = run({"duration": 5, "agents.reading.rate": 0.5, "node.mailbox": mailbox, **TEN_THOUGHTS})
        assert done.counts.ok == 1
        assert done.first_thought.longest == done.latency.longest

    def test_an_answer_without_thoughts_has_none(self) -> None:
        done, _ = run({})
        assert (done.counts.ok, done.first_thought.count) == (3, 0)


class TestTimeouts:
    @pytest.mark.parametrize("how", ["leave", "interrupt", "deadline"])
    def test_an_agent_whose_patience_ends_while_its_answer_waits_has_timed_out(self, how: str) -> None:
        done, reading = run({"duration": 22.2, "agents.timeout.seconds": 1.2, "agents.on_timeout": how})
        assert (done.counts.sent, done.counts.ok, done.counts.timeout) == (10, 0, 10)  # one every 1 + 1.2 s
        assert reading.read == 9
        assert (done.useful, done.wasted) == (0, pytest.approx(9))  # of the last, the agent has read nothing yet

    def test_they_learn_how_long_it_took_to_read(self) -> None:
        learns = {"kind": "adaptive", "samples": 20, "warm_up": 5, "least": 0.1, "most": 50}
        slow, fast = (run({"duration": 300, "agents.timeout": learns, "agents.reading.rate": rate}) for rate in (2, 50))
        assert slow[0].counts.timeout == fast[0].counts.timeout == 0
        assert slow[0].latency.mean - fast[0].latency.mean == pytest.approx(0.5 - 0.02)


class TestRefusals:
    def test_one_is_heard_when_it_has_been_read(self) -> None:
        limit = {"kind": "token-bucket", "rate": 1e-6, "burst": 1}
        done, reading = run({"duration": 18, "node.rate_limit": limit})
        assert (done.counts.ok, done.counts.rejected) == (1, 10)  # one every 1 + 0.5 s
        assert reading.read == 11

    def test_that_no_node_could_be_reached_is_heard_at_once(self) -> None:
        done, reading = run({"duration": 9.5, "faults": [{"kind": "node-crash", "at": 0.5}]})
        assert (done.counts.error, reading.put) == (9, 0)


class TestCuts:
    def test_an_answer_that_was_missed_is_written_again_when_the_agent_is_back(self) -> None:
        """The fourth thought overflows the mailbox: three are lost, it and all that follows are missed."""
        mailbox = {"kind": "disconnect", "messages": 2}
        done, reading = run({"duration": 5, "agents.reading.rate": 0.5, "node.mailbox": mailbox, **TEN_THOUGHTS})
        assert done.latency.longest == pytest.approx(0.4 + RETURN + 2)
        assert (reading.put, reading.lost, reading.missed, reading.read, reading.cuts) == (12, 3, 8, 1, 1)

    def test_one_that_was_lost_with_the_connection_is_too(self) -> None:
        done, reading = run(
            {
                "duration": 4.7,
                **BACK_IN_A_SECOND,
                "faults": [{"kind": "reconnect-herd", "at": 2.25}],
            }
        )
        assert done.latency.longest == pytest.approx(1.25 + 1 + 0.5, abs=1e-5)
        assert (reading.put, reading.lost, reading.read) == (2, 1, 1)

    def test_an_agent_that_was_never_written_to_misses_what_is_written_while_it_is_away(self) -> None:
        done, reading = run(
            {
                "duration": 4.7,
                **BACK_IN_A_SECOND,
                "faults": [{"kind": "reconnect-herd", "at": 1.5}],
            }
        )
        assert done.latency.longest == pytest.approx(0.5 + 1 + 0.5, abs=1e-5)
        assert (reading.put, reading.missed, reading.read) == (2, 1, 1)


class Desk:
    """A mailroom whose agent, the only one, reads one message a second and comes back when it is told to."""

    def __init__(self, policy: Any) -> None:
        self.env = Environment()
        self.mailroom = Mailroom(self.env, policy, Readers(rate=1.0))
        self.mailroom.on_cut = lambda row: None
        self.heard: list[tuple[float, str, str | None]] = []

    def write(self, *names: str) -> list[Try]:
        jobs = []
        for name in names:
            job = Try(None, 0, name, 5, "", 1, 0.0)  # type: ignore[arg-type]
            job.status, job.finished = "success", self.env.time()
            self.mailroom.ending(job, self.hear)
            jobs.append(job)
        return jobs

    def hear(self, job: Try) -> None:
        self.heard.append((self.env.time(), job.agent, job.status))


class TestWhatIsWrittenAgain:
    def test_it_comes_in_order_and_never_fills_the_mailbox(self) -> None:
        desk = Desk(Disconnect(messages=2))
        desk.write("a", "b", "c", "d", "e")
        assert not desk.mailroom.reader(0).connected
        desk.env.run(10)
        desk.mailroom.connect(0)
        desk.env.run(100)
        assert desk.heard == [(11 + place, name, "success") for place, name in enumerate("abcde")]
        assert desk.mailroom.reading.cuts == 1

    def test_what_was_read_is_not(self) -> None:
        desk = Desk(Disconnect())
        desk.write("a", "b")
        desk.env.run(1.5)
        desk.mailroom.cut(0)
        desk.mailroom.connect(0)
        desk.env.run(100)
        assert desk.heard == [(1, "a", "success"), (2.5, "b", "success")]

    def test_to_connect_who_was_not_cut_off_is_of_no_effect(self) -> None:
        desk = Desk(Disconnect())
        desk.write("a", "b")
        desk.mailroom.connect(0)
        desk.env.run(100)
        assert [name for _, name, _ in desk.heard] == ["a", "b"]
        assert desk.mailroom.reading.put == 2

    def test_a_second_cut_delays_what_has_not_been_read(self) -> None:
        desk = Desk(Disconnect())
        desk.write("a", "b")
        for cut in (0.5, 2.0):
            desk.env.run(cut)
            desk.mailroom.cut(0)
            desk.mailroom.connect(0)
        desk.env.run(100)
        assert desk.heard == [(1.5, "a", "success"), (3.0, "b", "success")]

    def test_what_nobody_waits_for_is_not(self) -> None:
        desk = Desk(Disconnect())
        first, _ = desk.write("a", "b")
        first.wanted = False
        desk.mailroom.cut(0)
        desk.env.run(10)
        desk.mailroom.connect(0)
        assert desk.heard == [(10, "a", "success")]  # only to be counted
        desk.env.run(100)
        assert desk.heard[1:] == [(11, "b", "success")]
        assert desk.mailroom.reading.put == 3

    @pytest.mark.parametrize(("away", "status"), [(GRACE - 0.1, "success"), (GRACE, "error")])
    def test_an_ending_is_forgotten_after_the_grace(self, away: float, status: str) -> None:
        desk = Desk(Disconnect())
        desk.write("a")
        desk.mailroom.cut(0)
        desk.env.run(away)
        desk.mailroom.connect(0)
        desk.env.run(100)
        assert desk.heard == [(away + 1, "a", status)]

    def test_how_long_one_has_to_wait_its_turn_then_is_no_matter(self) -> None:
        desk = Desk(Disconnect())
        desk.write(*map(str, range(40)))
        desk.mailroom.cut(0)
        desk.mailroom.connect(0)
        desk.env.run(100)
        assert [status for _, _, status in desk.heard] == ["success"] * 40


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    rate=st.sampled_from([0.3, 2, 20, 300]),
    mailbox=st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["disconnect", "drop-oldest", "drop-newest", "coalesce"]),
            "messages": st.integers(1, 6),
        }
    )
    | st.builds(lambda credit: {"kind": "credit", "credit": credit, "messages": credit + 2}, st.integers(1, 6)),
    connection=st.sampled_from([None, {"lifetime": {"kind": "exponential", "mean": 0.5}, "accepts": 50}]),
    arrivals=st.sampled_from([{"kind": "closed"}, {"kind": "poisson", "rate": 30}]),
    timeout=st.sampled_from([0.2, 1, 50]),
    on_timeout=st.sampled_from(["leave", "interrupt", "deadline"]),
    latency=st.sampled_from([0, 0.05]),
    bound=st.sampled_from([0, 50]),
)
def test_no_query_and_no_message_is_lost_or_counted_twice(
    rate: float,
    mailbox: Any,
    connection: Any,
    arrivals: Any,
    timeout: float,
    on_timeout: str,
    latency: float,
    bound: int,
) -> None:
    """The run itself asserts that queries and tries are conserved."""
    world = World(
        Scenario(
            duration=6,
            warmup=0,
            agents={
                "count": 8, "arrivals": arrivals, "think": {"kind": "exponential", "mean": 0.2}, "retry": "full-jitter",
                "timeout": {"kind": "fixed", "seconds": timeout}, "on_timeout": on_timeout,
                "connection": connection, "reading": {"rate": rate},
            },
            cluster={"latency": {"kind": "deterministic", "value": latency}},
            node={"slots": 3, "thoughts": 3, "queue": {"kind": "fifo", "bound": bound}, "mailbox": mailbox},
            faults=[{"kind": "node-crash", "at": 3, "restart_after": 0.5}],
        )
    )  # fmt: skip
    counts = world.run().counts
    assert counts.conserved
    mailroom: Any = world.populations[0].mailroom
    for reader in mailroom._readers.values():
        reading = reader.reading
        waiting = (len(reader.mailbox) + reader._busy) if reader.connected else 0
        assert reading.put == reading.read + reading.dropped + reading.lost + reading.missed + waiting
        assert min(reading.lost, reading.dropped, reading.missed) >= 0
    unread = [job for jobs in mailroom._unread.values() for job in jobs if job.wanted]
    assert counts.tries_in_flight >= len(unread)
