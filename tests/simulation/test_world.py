"""A replication: nothing is lost, chance is exactly reproducible, and to look at it changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from synapse.cortex import Scheduler
from synapse.policies import FixedTimeout, PolicyError
from synapse.simulation import Scenario
from synapse.simulation.node import Try
from synapse.simulation.population import Population
from synapse.simulation.tally import OUTCOMES
from synapse.simulation.world import World
from tests.simulation.strategies import scenarios

CROWDED = Scenario(
    duration=20,
    warmup=2,
    agents={
        "count": 100,
        "think": {"kind": "exponential", "mean": 1},
        "timeout": {"kind": "fixed", "seconds": 0.5},
        "retry": {"kind": "full-jitter", "tries": 3},
    },
    cluster={"nodes": 2},
    node={"slots": 2, "queue": {"kind": "fifo", "bound": 10}},
    faults=[{"kind": "slow-down", "at": 5, "width": 3}],
)
OPEN = CROWDED.replace({"agents.arrivals": {"kind": "poisson", "rate": 60}})


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_whatever_happens_no_query_is_lost_or_counted_twice(scenario: Scenario) -> None:
    """The run itself asserts sent = ok + error + timeout + rejected + given up + in flight, for each kind."""
    run = scenario.run(queries=True)
    counts = run.counts
    assert counts.sent == sum(getattr(counts, outcome) for outcome in OUTCOMES) + counts.in_flight
    assert counts.tries >= counts.sent - counts.given_up
    statuses = run.queries["status"].value_counts()
    assert sum(run.refusals.values()) >= statuses.get("rejected", 0)
    assert 0 <= run.utilisation <= 1 + 1e-9
    assert run.useful + run.wasted <= scenario.duration * scenario.cluster.nodes * scenario.node.slots + 1e-6


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_the_same_seed_gives_the_same_run_whether_anyone_looks_or_not(scenario: Scenario) -> None:
    seen: list[float] = []
    watched = scenario.run(seed=3, queries=True, progress=seen.append)
    assert watched.digest == scenario.run(seed=3, queries=False).digest
    assert seen == [1.0, 2.0, 3.0]


def test_who_has_no_connection_for_too_long_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try waits for a connection; when there is one at last, the agent's patience is over."""
    tried: list[tuple[float, float]] = []
    expect = Population._expect

    def noted(self: Population, job: Try) -> None:
        tried.append((self._env.time(), job.until))
        expect(self, job)

    monkeypatch.setattr(Population, "_expect", noted)
    run = Scenario(
        duration=20,
        warmup=0,
        agents={
            "count": 50,
            "think": {"kind": "exponential", "mean": 0.3},
            "give_up_after": 1,
            "retry": "full-jitter",
            "connection": {},
        },
        node={"slots": 1, "queue": {"kind": "fifo", "bound": 0}},
        faults=[{"kind": "node-crash", "at": 5, "restart_after": 5}],
    ).run()
    assert run.counts.given_up > 0
    assert len(tried) == run.counts.tries
    assert all(now < until for now, until in tried)


def test_a_finer_look_changes_no_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = CROWDED.run(queries=True)
    monkeypatch.setattr("synapse.simulation.observer.STEP", 0.01)
    finer = CROWDED.run(queries=True)
    assert finer.queries.equals(usual.queries)
    assert finer.counts == usual.counts
    assert len(finer.looks["time"]) > 50 * len(usual.looks["time"])


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import sys; from synapse.simulation import Scenario\n"
        "print(Scenario.from_toml(sys.stdin.read()).run(seed=5, queries=True).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=CROWDED.to_toml(),
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert digests == {CROWDED.run(seed=5, queries=True).digest}


def test_seeds_and_replications_differ() -> None:
    digests = {CROWDED.run(seed=seed, replication=number).digest for seed in (1, 2) for number in (0, 1)}
    assert len(digests) == 4


class _Noted:
    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.notes: dict[int, list[float]] = {}

    def draw(self, row: int) -> float:
        number: float = self.rows.draw(row)
        self.notes.setdefault(row, []).append(number)
        return number


@pytest.mark.parametrize(
    "change",
    [
        {"agents.retry": "none"},
        {"agents.timeout.seconds": 0.1},
        {"node.queue": "lifo"},
        {"cluster.nodes": 3},
        {"node.rate_limit": {"kind": "token-bucket", "rate": 0.5, "burst": 1}},
        {"agents.budget": {"kind": "retry-budget"}},
        {"faults": []},
        {"agents.count": 70},
    ],
    ids=str,
)
def test_a_change_of_policy_leaves_every_agents_own_draws_alone(change: dict[str, Any]) -> None:
    """The n-th pause of an agent, and the work of its n-th query, whatever has become of those before."""
    drawn = []
    for scenario in (CROWDED, CROWDED.replace(change)):
        world = World(scenario)
        population: Any = world.populations[0]
        thinks, works = _Noted(population._think), _Noted(population._chance.rows("service", scenario.node.service))
        population._think, population._work._first = thinks, works.draw
        world.run()
        drawn.append((thinks.notes, works.notes))
    for before, after in zip(*drawn, strict=True):
        compared = 0
        for row in set(before) & set(after):
            length = min(len(before[row]), len(after[row]))
            assert before[row][:length] == after[row][:length]
            compared += length
        assert compared > 300


@pytest.mark.parametrize(
    "change",
    [{}, {"agents.budget": {"kind": "circuit-breaker", "least": 3}}, {"agents.retry": "none"}],
    ids=str,
)
def test_each_arrival_draws_its_own_work_whether_it_may_be_tried_or_not(change: dict[str, Any]) -> None:
    """So the n-th arrival is the same work under any policy: they draw in turn."""
    world = World(OPEN.replace(change))
    population: Any = world.populations[0]
    drawn: list[float] = []
    stream = population._work._in_sequence
    population._work._in_sequence = iter(lambda: drawn.append(next(stream)) or drawn[-1], None)
    run = world.run()
    assert len(drawn) == run.counts.sent > 1000
    assert run.counts.given_up > 0 or "agents.budget" not in change


def test_arrivals_of_agents_with_connections_draw_from_rows_of_their_own() -> None:
    """Who has none asks later, so that they do not draw in turn."""
    population: Any = World(OPEN.replace({"agents.connection": {}})).populations[0]
    assert population._work._in_sequence is None


def test_a_node_runs_the_cortexs_own_scheduler() -> None:
    world = World(CROWDED)
    assert {type(node.scheduler) for node in world.cluster.nodes} == {Scheduler}


ENDLESS = Scenario(
    duration=600,
    warmup=0,
    agents={"count": 10, "think": {"kind": "exponential", "mean": 10}, "timeout": {"kind": "none"}},
    node={"slots": 4, "service": {"kind": "deterministic", "value": 40}, "timeout": {"kind": "none"}},
)
"""Answers that come after the usual timeout of 30 s, for agents who wait for ever."""

CLOSED_AND_OPEN = pytest.mark.parametrize(
    "arrivals", [{"kind": "closed"}, {"kind": "poisson", "rate": 0.2}], ids=["closed", "open"]
)
ON_TIMEOUT = pytest.mark.parametrize("how", ["leave", "interrupt", "deadline"])


class TestNoTimeout:
    @CLOSED_AND_OPEN
    @ON_TIMEOUT
    def test_no_one_ever_times_out_however_long_it_takes(self, arrivals: dict[str, Any], how: str) -> None:
        endless = ENDLESS.replace({"agents.arrivals": arrivals, "agents.on_timeout": how})
        counts, usual = endless.run().counts, endless.replace({"agents.timeout": FixedTimeout()}).run().counts
        assert (counts.timeout, counts.tries_timeout) == (0, 0)
        assert counts.ok >= 40
        assert counts.sent == counts.ok + counts.in_flight
        assert (usual.ok, usual.timeout > 0) == (0, True)

    @CLOSED_AND_OPEN
    @ON_TIMEOUT
    @pytest.mark.parametrize("way", [0.0, 0.05], ids=["near", "far"])
    def test_it_is_as_a_timeout_that_never_comes(self, arrivals: dict[str, Any], how: str, way: float) -> None:
        latency = {"kind": "deterministic", "value": way} if way else Scenario().cluster.latency
        none = ENDLESS.replace({"agents.arrivals": arrivals, "agents.on_timeout": how, "cluster.latency": latency})
        never = none.replace({"agents.timeout": FixedTimeout(1e9), "node.timeout": FixedTimeout(1e9)})
        runs = [scenario.run(queries=True) for scenario in (none, never)]
        assert runs[0].counts == runs[1].counts
        assert runs[0].queries.equals(runs[1].queries)

    @CLOSED_AND_OPEN
    @ON_TIMEOUT
    @pytest.mark.parametrize("retry", ["none", "full-jitter"])
    def test_who_gives_up_after_a_while_still_does(self, arrivals: dict[str, Any], how: str, retry: str) -> None:
        changes = {"agents.arrivals": arrivals, "agents.on_timeout": how, "agents.give_up_after": 10}
        run = ENDLESS.replace({**changes, "agents.retry": retry}).run(queries=True)
        counts = run.counts
        lost = counts.timeout + counts.given_up
        assert (counts.ok, counts.sent, lost > 20) == (0, lost + counts.in_flight, True)
        assert counts.tries == counts.tries_timeout + counts.tries_rejected + counts.tries_in_flight
        if how != "leave":  # the node works no longer for those who have gone
            assert (run.queries["finished"] - run.queries["submitted"]).max() == pytest.approx(10)

    @CLOSED_AND_OPEN
    @ON_TIMEOUT
    def test_the_nodes_own_timeout_ends_what_its_agents_would_wait_for(
        self, arrivals: dict[str, Any], how: str
    ) -> None:
        changes = {"agents.arrivals": arrivals, "agents.on_timeout": how, "node.timeout": FixedTimeout()}
        run = ENDLESS.replace(changes).run(queries=True)
        counts = run.counts
        assert (counts.ok, counts.sent) == (0, counts.timeout + counts.in_flight)
        ended = run.queries[run.queries["status"] == "timeout"]
        assert len(ended) == counts.timeout > 20
        assert (ended["finished"] - ended["submitted"]).to_numpy() == pytest.approx(30)

    @ON_TIMEOUT
    def test_a_kind_without_one_waits_beside_one_that_has_one(self, how: str) -> None:
        kinds = [{"name": "patient"}, {"name": "hasty", "timeout": FixedTimeout()}]
        run = ENDLESS.replace({"agents.kinds": kinds, "agents.on_timeout": how}).run()
        patient, hasty = run.kinds["patient"], run.kinds["hasty"]
        assert (patient.timeout, patient.ok > 0) == (0, True)
        assert (hasty.ok, hasty.timeout > 0) == (0, True)


@pytest.mark.parametrize("arrivals", [{"kind": "closed"}, {"kind": "poisson", "rate": 60}], ids=["closed", "open"])
@ON_TIMEOUT
def test_one_timeout_for_all_is_the_same_however_it_is_said(arrivals: dict[str, Any], how: str) -> None:
    """Each is seen to in another way: by one line for all, or by a call for each try."""
    said: list[dict[str, Any]] = [
        {"kind": "fixed", "seconds": 0.5},
        {"kind": "per-priority", "seconds": [0.5]},
        {"kind": "adaptive", "least": 0.5, "most": 0.5},
    ]
    crowded = CROWDED.replace({"agents.arrivals": arrivals, "agents.on_timeout": how})
    runs = [crowded.replace({"agents.timeout": timeout}).run(queries=True) for timeout in said]
    assert runs[0].counts.tries_timeout > 50
    for run in runs[1:]:
        assert run.counts == runs[0].counts
        assert run.queries.equals(runs[0].queries)


class TestWhatHappens:
    def test_a_crash_loses_what_is_there_and_the_node_comes_back_empty(self) -> None:
        scenario = CROWDED.replace({"faults": [{"kind": "node-crash", "at": 10, "node": 0, "restart_after": 2}]})
        run = scenario.run(queries=True)
        queries = run.queries
        lost = queries[queries["reason"] == "crash"]
        assert set(lost["node"]) == {"node-0"}
        assert set(lost["finished"]) == {10.0}
        there = queries[(queries["node"] == "node-0") & (queries["submitted"] > 10)]["submitted"]
        assert there.min() > 12
        assert len(there) > 50

    def test_work_goes_on_in_vain_when_the_node_is_not_told(self) -> None:
        wasted = {
            how: CROWDED.replace({"agents.on_timeout": how}).run().metrics["wasted"]
            for how in ("leave", "interrupt", "deadline")
        }
        assert wasted["leave"] > 1.3 * wasted["interrupt"]
        assert wasted["leave"] > 1.3 * wasted["deadline"]

    def test_work_that_does_not_stop_is_wasted_to_its_end(self) -> None:
        scenario = CROWDED.replace({"agents.on_timeout": "interrupt", "node.service": {"kind": "pareto", "mean": 0.2}})
        stops, goes_on = (scenario.replace({"node.stops": stops}).run() for stops in (True, False))
        assert goes_on.wasted > stops.wasted
        assert goes_on.goodput < stops.goodput

    def test_a_budget_bounds_the_tries(self) -> None:
        budget = {"kind": "retry-budget", "ratio": 0.1, "burst": 1}
        free, bounded = CROWDED.run(), CROWDED.replace({"agents.budget": budget, "agents.budget_per": "kind"}).run()
        assert free.counts.tries > 1.2 * free.counts.sent
        assert bounded.counts.tries <= 1.1 * bounded.counts.sent + 1
        assert bounded.counts.given_up > 0

    def test_urgent_agents_wait_less(self) -> None:
        scenario = CROWDED.replace(
            {
                "agents.kinds": [{"name": "urgent", "priority": 0}, {"name": "patient", "priority": 9, "share": 3}],
                "agents.timeout.seconds": 5,
                "node.queue": {"kind": "priority", "bound": 100},
            }
        )
        run = scenario.run()
        assert run.latencies["urgent"].mean < 0.5 * run.latencies["patient"].mean

    def test_a_pulse_brings_more_queries(self) -> None:
        calm = CROWDED.replace({"faults": [], "agents.arrivals": {"kind": "poisson", "rate": 50}})
        pulse = {"kind": "load-pulse", "at": 5, "width": 10, "factor": 4}
        counts = [calm.replace({"faults": faults}).run().counts.sent for faults in ([], [pulse])]
        assert counts[1] == pytest.approx(2.5 * counts[0], rel=0.15)  # (10 + 4 x 10) / 20

    def test_streams_are_told_in_the_record(self) -> None:
        run = Scenario(
            duration=20, warmup=0, agents={"count": 50},
            node={"thoughts": 5, "gap": {"kind": "exponential", "mean": 0.01}},
        ).run(queries=True)  # fmt: skip
        answered = run.queries[run.queries["status"] == "success"]
        assert set(answered["thoughts"]) == {5}
        served = answered["finished"] - answered["started"]
        first = answered["first_thought"] - answered["started"]
        assert (first > 0).all()
        assert (first < served).all()
        assert first.mean() == pytest.approx(0.05, rel=0.3)
        assert (served - first).mean() == pytest.approx(0.04, rel=0.3)

    def test_a_latency_comes_on_top_twice(self) -> None:
        near = Scenario(duration=30, warmup=0, agents={"count": 20})
        far = near.replace({"cluster.latency": {"kind": "deterministic", "value": 0.5}})
        latencies = [scenario.run().latency.mean for scenario in (near, far)]
        assert latencies[1] - latencies[0] == pytest.approx(1.0, abs=0.02)

    def test_stale_loads_herd(self) -> None:
        fresh = Scenario(
            duration=60, agents={"count": 1000}, cluster={"nodes": 8, "balancing": "least-loaded"}, node={"slots": 1}
        )
        waits = [fresh.replace({"cluster.stale": stale}).run().wait.mean for stale in (0, 2)]
        assert waits[1] > 5 * waits[0]

    def test_agents_reconnect_after_a_herd_as_fast_as_nodes_accept(self) -> None:
        run = Scenario(
            duration=60,
            agents={"count": 500, "connection": {"accepts": 100, "backlog": 20}},
            faults=[{"kind": "reconnect-herd", "at": 10}],
        ).run()
        drops, tries, made, connected = run.connections[0]
        assert (drops, made, connected) == (500, 500, 500)
        assert tries > 500

    def test_slow_readers_lose_thoughts_by_the_mailboxs_policy(self) -> None:
        scenario = Scenario(
            duration=20, warmup=0, agents={"count": 20, "reading": {"rate": 1}},
            node={"thoughts": 10, "mailbox": {"kind": "drop-oldest", "messages": 3}},
        )  # fmt: skip
        drops = scenario.run().reading[0]
        credit = scenario.replace({"node.mailbox": {"kind": "credit", "credit": 3}}).run()
        assert drops.dropped > 100
        assert credit.reading[0].dropped == 0
        assert credit.latency.mean > 1.0  # the writers wait for them

    def test_nodes_agree_again_who_is_there_after_a_crash(self) -> None:
        run = Scenario(
            duration=90,
            agents={"count": 50},
            cluster={"nodes": 3},
            presence={},
            faults=[{"kind": "node-crash", "at": 40, "node": 1}],
        ).run()
        assert run.presence is not None
        assert run.presence.fraction_at(39.9) == 1.0
        assert run.presence.fraction_at(41) < 1.0
        converged = run.presence.converged_at(41)
        assert converged is not None
        assert 10 < converged - 40 < 33


@pytest.mark.parametrize("kinds", [[], [{"name": "a"}, {"name": "b"}]])
def test_a_limit_for_each_connection_is_one_for_each_agent_until_it_has_a_new_one(kinds: list[dict[str, Any]]) -> None:
    limit = {"kind": "token-bucket", "rate": 0.5, "burst": 1, "per": "agent"}
    scenario = Scenario.decode(
        {
            "duration": 30,
            "agents": {"count": 100, "think": {"kind": "exponential", "mean": 1}, "kinds": kinds},
            "node": {"rate_limit": limit},
        }
    )
    per_connection = scenario.replace({"node.rate_limit.per": "connection"})
    assert per_connection.run().goodput == scenario.run().goodput
    breaking = per_connection.replace({"agents.connection": {"lifetime": {"kind": "exponential", "mean": 2}}})
    assert breaking.run().goodput > 1.2 * scenario.run().goodput


@pytest.mark.parametrize("chance", [{"seed": -1}, {"seed": 1.5}, {"replication": -1}])
def test_a_chance_that_is_none_is_refused_by_name(chance: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(chance))}: must be a whole number >= 0"):
        Scenario().run(**chance)


@pytest.mark.parametrize("path", ["node.service", "agents.think", "agents.kinds[0].service"])
def test_a_file_of_values_is_refused_by_the_field_that_names_it(tmp_path: Path, path: str) -> None:
    file = tmp_path / "values.txt"
    file.write_text("1 2\n2 3\n")
    scenario = Scenario(agents={"kinds": [{"name": "a"}]}).replace({path: {"kind": "empirical", "file": str(file)}})
    with pytest.raises(PolicyError, match="must have one number a line, not 2") as caught:
        scenario.run()
    assert caught.value.path == f"{path}.file"


def test_what_is_saved_elsewhere_finds_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("values.txt").write_text("0.05\n")
    Path("elsewhere").mkdir()
    Path("here.toml").write_text('node.service = {kind = "empirical", file = "values.txt"}')
    made = Scenario().replace({"node.service": {"kind": "empirical", "file": "values.txt"}})
    for scenario in (Scenario.load("here.toml"), made):
        scenario.save("elsewhere/saved.toml")
        assert Scenario.load("elsewhere/saved.toml").node.service.mean == 0.05
