"""Which theorem holds, and that the simulation agrees with it. The full battery is `scripts/validate`'s."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from synapse.simulation import Scenario
from synapse.simulation.theorem import simulated

FAR = {"kind": "fixed", "seconds": 1e5}
OPEN = Scenario(
    duration=700,
    warmup=50,
    agents={"arrivals": {"kind": "poisson", "rate": 6.4}, "timeout": FAR},
    node={
        "slots": 8,
        "service": {"kind": "exponential", "mean": 1},
        "timeout": FAR,
        "queue": {"kind": "fifo", "bound": 10_000},
    },
)
OVERLOAD = {"agents.arrivals.rate": 9.6}
ONE_SLOT = {"node.slots": 1, "agents.arrivals.rate": 0.7}


def changed(changes: dict[str, Any]) -> Scenario:
    return OPEN.replace(changes)


CLASSES = {
    "node.queue": {"kind": "priority", "bound": 9999},
    "agents.kinds": [{"name": "a", "priority": 0}, {"name": "b", "priority": 9}],
    **ONE_SLOT,
}
MG1 = {"node.service": {"kind": "erlang", "mean": 1, "shape": 4}, **ONE_SLOT}
HOLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mmc": ("M/M/c", {}),
    "random": ("M/M/c", {"cluster.nodes": 2, "cluster.balancing": "random", "agents.arrivals.rate": 12}),
    "mmck": ("M/M/c/K", {"node.queue.bound": 8, **OVERLOAD}),
    "erlang b": (
        "M/G/c/c (Erlang B)",
        {"node.queue.bound": 0, "node.service": {"kind": "pareto", "mean": 1, "alpha": 4}},
    ),
    "mdc": ("M/D/c", {"node.service": {"kind": "deterministic", "value": 1}}),
    "mg1": ("M/G/1", MG1),
    "erlang a": ("M/M/c+M (Erlang A)", {"agents.patience": {"kind": "exponential", "mean": 2}, **OVERLOAD}),
    "mmcd": ("M/M/c+D", {"agents.patience": {"kind": "deterministic", "value": 0.5}, **OVERLOAD}),
    "token bucket": (
        "rate limit",
        {"node.rate_limit": {"kind": "token-bucket", "rate": 6.4, "burst": 5, "per": "global"}},
    ),
    "sliding log": (
        "rate limit",
        {"node.rate_limit": {"kind": "sliding-log", "limit": 5, "window": 1, "per": "global"}},
    ),
    "priorities": (
        "M/M/c with priorities",
        CLASSES,
    ),
}


@pytest.mark.parametrize("case", HOLDS)
def test_theory_and_simulation_agree(case: str) -> None:
    name, changes = HOLDS[case]
    scenario = OPEN.replace(changes)
    assert scenario.theory().name == name
    _agree(scenario)


def test_they_agree_on_closed_agents() -> None:
    _agree(Scenario(duration=300, agents={"count": 200, "think": {"kind": "exponential", "mean": 4}}))


def _agree(scenario: Scenario) -> None:
    """Within 4 standard errors of 8 replications: each is one of some 40 numbers."""
    theorem = scenario.theory()
    runs = [scenario.run(replication=number, queries=False) for number in range(8)]
    assert theorem.metrics
    for metric, value in theorem.metrics.items():
        values = np.array([simulated(run, metric) for run in runs])
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - value) < 4 * error + 1e-9, (metric, values.mean(), value, error)


def test_without_timeouts_a_theorem_holds_that_a_short_one_breaks() -> None:
    none = changed({"agents.timeout": "none", "node.timeout": "none"})
    assert none.theory().name == "M/M/c"
    assert none.theory().metrics == OPEN.theory().metrics
    for whose in ("agents", "node"):
        short = none.replace({f"{whose}.timeout": {"kind": "fixed", "seconds": 3}})
        assert "a timeout of 3 s matters" in short.theory().why


@pytest.mark.parametrize(("seconds", "name"), [(3, ""), (30, "M/M/c")])
@pytest.mark.parametrize(("patient", "judged"), [("agents", "node"), ("node", "agents")])
def test_where_one_side_has_no_timeout_that_of_the_other_decides(
    patient: str, judged: str, seconds: float, name: str
) -> None:
    timeouts = {f"{patient}.timeout": "none", f"{judged}.timeout": {"kind": "fixed", "seconds": seconds}}
    theorem = changed(timeouts).theory()
    assert theorem.name == name
    assert name or f"a timeout of {seconds} s matters" in theorem.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"faults": [{"kind": "slow-down", "at": 1}]}, "faults change the system"),
        ({"agents.connection": {}}, "connections come and go"),
        ({"agents.reading": {"rate": 100}}, "agents hear what they have read"),
        ({"agents.budget": "adaptive-throttle"}, "a budget keeps some from trying"),
        ({"agents.give_up_after": 3}, "agents give up after a while"),
        ({"agents.kinds": [{"name": "a", "timeout": {"kind": "fixed", "seconds": 1}}]}, "differ in how they wait"),
        ({"agents.kinds": [{"name": "a"}, {"name": "b", "retry": "full-jitter"}]}, "differ in how they wait"),
        ({"cluster.nodes": 2, "cluster.balancing": "random", "cluster.per": "connection"}, "keep to the node"),
        ({"agents.arrivals": "closed", "agents.patience": {"kind": "exponential", "mean": 1}}, "lose patience"),
        ({"cluster.nodes": 2, "agents.patience": {"kind": "exponential", "mean": 1}}, "lose patience"),
        ({"cluster.latency": {"kind": "exponential", "mean": 1}}, "under way for a while"),
        ({"node.concurrency": "vegas"}, "the number of servers changes"),
        ({"node.concurrency": {"kind": "fixed", "limit": 9}}, "more queries run at once than there are slots"),
        ({"agents.arrivals": {"kind": "regular", "rate": 1}}, "neither Poisson nor of a finite source"),
        ({"agents.timeout.seconds": 3}, "a timeout of 3 s matters"),
        ({"node.timeout": "adaptive"}, "timeouts differ"),
        (ONE_SLOT | {"agents.timeout": "none", "agents.retry": "full-jitter"}, "is for a fixed timeout"),
        ({"agents.arrivals.rate": 8.5, "node.queue.bound": 10**9}, "there is no steady state: lam = 8.5 /s"),
        ({"node.service": {"kind": "lognormal", "mean": 1}}, "M/G/c has no closed form"),
        ({"node.queue": "codel"}, "the queue evicts"),
        ({"cluster.nodes": 2, "cluster.balancing": "round-robin"}, "only random balancing"),
        ({"cluster.nodes": 2}, "nodes of one slot"),
        ({"cluster.nodes": 2, "node.slots": 1, "cluster.stale": 1}, "needs fresh loads"),
        ({"node.rate_limit": {"kind": "token-bucket", "rate": 1, "burst": 1}}, "agents ask in turn"),
        ({"agents.retry": "full-jitter"}, "one exponential server"),
        (CLASSES | {"node.queue.bound": 5}, "turned away at the queue's bound, and which"),
        (CLASSES | {"agents.timeout.seconds": 20}, "a timeout of 20 s matters"),
        (MG1 | {"agents.timeout.seconds": 20}, "a timeout of 20 s matters"),
        (
            {
                **ONE_SLOT,
                "agents.arrivals.rate": 0.4,
                "agents.retry": "full-jitter",
                "agents.timeout.seconds": 10,
                "node.queue.bound": 9,
            },
            "before they have waited for their timeout",
        ),
        ({"agents.arrivals": "closed", "node.queue.bound": 5}, "turned away at the queue's bound"),
        ({"agents.arrivals": "closed", "node.service": {"kind": "lognormal", "mean": 1}}, "needs exponential service"),
    ],
)
def test_where_none_holds_it_says_why(changes: dict[str, Any], why: str) -> None:
    theorem = OPEN.replace(changes).theory()
    assert (theorem.name, theorem.metrics) == ("", {})
    assert why in theorem.why
    assert repr(theorem).startswith("<No theorem holds: ")


def test_the_power_of_two_is_for_many_nodes() -> None:
    theorem = changed({"cluster.nodes": 100, "node.slots": 1, "agents.arrivals.rate": 90}).theory()
    assert theorem.metrics["latency_mean"] == pytest.approx(2.6141, abs=1e-4)
    assert "here are 100" in theorem.why


def test_retries_have_a_fixed_point() -> None:
    scenario = changed(
        {**ONE_SLOT, "agents.arrivals.rate": 0.4, "agents.timeout.seconds": 10, "agents.retry": {"kind": "full-jitter"}}
    )
    assert "vulnerable" in scenario.theory().why


def test_it_shows_itself_beside_a_run() -> None:
    theorem, run = Scenario().theory(), Scenario().run()
    assert [name for name, _, _ in theorem.beside(run)] == ["goodput", "latency_mean", "wait_mean", "utilisation"]
    assert "M/M/c//N" in theorem._repr_html_()


POWER = {"cluster.nodes": 20, "cluster.balancing": "power-of-two", "agents.arrivals.rate": 18, "node.slots": 1}
LIMITED = {"node.rate_limit": {"kind": "token-bucket", "rate": 12, "burst": 5, "per": "global"}}
RETRIES = {
    "agents.timeout": {"kind": "fixed", "seconds": 10},
    "agents.retry": {"kind": "full-jitter", "base": 1, "cap": 1, "tries": 3},
    "agents.arrivals.rate": 0.2,
    "node.slots": 1,
    "node.timeout": "none",
}
FILLS: dict[str, tuple[str, dict[str, Any]]] = {
    "impatient": ("turned away", {"node.queue.bound": 1, "agents.patience": {"kind": "exponential", "mean": 1000}}),
    "always as impatient": (
        "turned away",
        {"node.queue.bound": 9, "agents.patience": {"kind": "deterministic", "value": 9}},
    ),
    "power of d at a bound": ("turned away", {"node.queue.bound": 0, **POWER}),
    "power of d and a timeout": ("cuts services short", {"agents.timeout": {"kind": "fixed", "seconds": 1}, **POWER}),
    "limiter": ("turns away", {"node.queue.bound": 0, **LIMITED}),
    "M/G/1 that varies": (
        "turned away",
        {"node.service": {"kind": "lognormal", "mean": 1, "cv": 10}, "node.queue.bound": 40, **ONE_SLOT},
    ),
    "retries after errors": ("after a timeout", {**RETRIES, "agents.retry_on": ["error"]}),
    "retries at a stack": ("first come", {**RETRIES, "node.queue": "lifo"}),
    "retries and a server's timeout": ("own timeout", {**RETRIES, "node.timeout": {"kind": "fixed", "seconds": 2}}),
    "retries of kinds": (
        "for the node",
        {**RETRIES, "agents.kinds": [{"name": "a", "service": {"kind": "exponential", "mean": 0.1}}]},
    ),
    "unstable classes": ("no steady state", {**CLASSES, "agents.arrivals.rate": 2}),
    "no service": ("takes no time", {"node.service": {"kind": "deterministic", "value": 0}}),
}


@pytest.mark.parametrize("case", FILLS)
def test_none_holds_where_its_assumptions_do_not(case: str) -> None:
    why, changes = FILLS[case]
    theorem = OPEN.replace(changes).theory()
    assert theorem.name == ""
    assert why in theorem.why


@pytest.mark.parametrize(("name", "changes"), [("power of d choices", POWER), ("retry fixed point", RETRIES)])
def test_they_hold_where_they_do(name: str, changes: dict[str, Any]) -> None:
    assert OPEN.replace(changes).theory().name == name


@pytest.mark.parametrize(
    "changes", [{}, {"agents.patience": {"kind": "exponential", "mean": 2}}, {"node.queue.bound": 9}]
)
def test_slots_that_a_limit_leaves_alone_are_not_utilised(changes: dict[str, Any]) -> None:
    limited = {"node.concurrency": {"kind": "fixed", "limit": 8}, **changes}
    half = OPEN.replace({**limited, "node.slots": 16}).theory().metrics["utilisation"]
    assert half == pytest.approx(OPEN.replace({**limited, "node.slots": 8}).theory().metrics["utilisation"] / 2)
