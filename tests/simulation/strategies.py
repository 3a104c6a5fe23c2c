"""Scenarios by hypothesis: short, small, and with everything in them."""

from __future__ import annotations

from hypothesis import strategies as st

from synapse.simulation import Scenario

laws = st.sampled_from(
    [
        {"kind": "exponential", "mean": 0.1},
        {"kind": "deterministic", "value": 0.1},
        {"kind": "lognormal", "mean": 0.1, "cv": 2.0},
        {"kind": "uniform", "low": 0.0, "high": 0.3},
    ]
)
arrivals = st.sampled_from(
    [
        {"kind": "closed"},
        {"kind": "poisson", "rate": 40},
        {"kind": "regular", "rate": 40},
        {"kind": "mmpp", "rates": [0, 100], "stays": [1, 1]},
        {"kind": "diurnal", "rate": 40, "swing": 1, "period": 2},
    ]
)
timeouts = st.sampled_from(
    [
        {"kind": "none"},
        {"kind": "fixed", "seconds": 0.3},
        {"kind": "fixed", "seconds": 30},
        {"kind": "per-priority", "seconds": [0.1, 0.5]},
        {"kind": "adaptive", "least": 0.1, "most": 1, "samples": 20, "warm_up": 5},
    ]
)
retries = st.sampled_from(
    [
        {"kind": "none"},
        {"kind": "full-jitter", "base": 0.05, "tries": 3},
        {"kind": "decorrelated", "base": 0.05, "tries": 4},
    ]
)
budgets = st.sampled_from(
    [
        None,
        {"kind": "retry-budget", "ratio": 0.1, "burst": 1},
        {"kind": "adaptive-throttle", "k": 1.2, "window": 2},
        {"kind": "circuit-breaker", "least": 3, "window": 1, "cooldown": 0.5},
    ]
)
queues = st.sampled_from(
    [
        {"kind": "fifo", "bound": 5},
        {"kind": "fifo", "bound": 0},
        {"kind": "lifo", "bound": 3},
        {"kind": "adaptive-lifo", "bound": 9, "target": 0.1},
        {"kind": "priority", "bound": 4},
        {"kind": "codel", "bound": 20},
        {"kind": "deadline", "bound": 20},
        {"kind": "fair-share", "bound": 5},
    ]
)
concurrencies = st.sampled_from(
    [
        None,
        {"kind": "fixed", "limit": 1},
        {"kind": "fixed", "limit": 9},
        {"kind": "aimd", "initial": 3, "least": 1, "most": 9, "timeout": 0.2, "period": 0},
        {"kind": "vegas", "initial": 2, "most": 9, "period": 0},
    ]
)
limits = st.sampled_from(
    [
        {"kind": "unlimited"},
        {"kind": "token-bucket", "rate": 2, "burst": 2},
        {"kind": "sliding-log", "limit": 3, "window": 1},
    ]
)
balancings = st.sampled_from(["random", "round-robin", "least-loaded", "power-of-two", "consistent-hash"])
fault_lists = st.lists(
    st.sampled_from(
        [
            {"kind": "node-crash", "at": 1.0, "restart_after": 0.5},
            {"kind": "node-crash", "rate": 1.0, "restart_after": 0.2},
            {"kind": "node-crash", "at": 2.0, "node": 0},
            {"kind": "slow-node", "at": 0.5, "width": 1, "factor": 5},
            {"kind": "slow-down", "at": 0.5, "width": 1, "factor": 5},
            {"kind": "dependency-slow-down", "rate": 1, "width": 0.2},
            {"kind": "slow-node", "at": 1.5, "node": 0},
            {"kind": "load-pulse", "at": 1.0, "width": 1, "factor": 6},
            {"kind": "load-pulse", "rate": 2, "width": 0.1, "factor": 0.5},
            {"kind": "reconnect-herd", "at": 1.5, "share": 0.7},
            {"kind": "netsplit", "at": 1.0, "groups": [[0]], "heal_after": 1},
        ]
    ),
    max_size=3,
)
kinds = st.sampled_from(
    [
        [],
        [{"name": "gold", "priority": 0}, {"name": "free", "share": 3, "timeout": {"kind": "fixed", "seconds": 0.2}}],
        [
            {"name": "slow", "service": {"kind": "deterministic", "value": 0.3}},
            {"name": "b", "key": "b", "retry": "none"},
        ],
    ]
)
connections = st.sampled_from([None, {}, {"lifetime": {"kind": "exponential", "mean": 1}, "accepts": 50, "backlog": 4}])
readings = st.sampled_from([None, None, {"rate": 20, "size": 100}])
mailboxes = st.sampled_from(
    [
        {"kind": "disconnect", "messages": 3},
        {"kind": "drop-oldest", "messages": 2},
        {"kind": "coalesce", "messages": 2},
        {"kind": "credit", "credit": 2, "messages": 50},
    ]
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any scenario of 4 s with a dozen agents."""
    connection, presence = draw(connections), draw(st.none() | st.just({}))
    faults = [
        fault
        for fault in draw(fault_lists)
        if not (fault["kind"] == "netsplit" and presence is None)
        and not (fault["kind"] == "reconnect-herd" and connection is None)
    ]
    return Scenario(
        duration=4,
        warmup=draw(st.sampled_from([0, 1])),
        agents={
            "count": draw(st.integers(2, 16)),
            "arrivals": draw(arrivals),
            "think": draw(laws),
            "timeout": draw(timeouts),
            "on_timeout": draw(st.sampled_from(["leave", "interrupt", "deadline"])),
            "patience": draw(st.none() | laws),
            "give_up_after": draw(st.none() | st.just(0.4)),
            "retry": draw(retries),
            "retry_on": draw(st.sampled_from([["rejected"], ["timeout", "error"], ["rejected", "timeout", "error"]])),
            "budget": draw(budgets),
            "budget_per": draw(st.sampled_from(["agent", "kind"])),
            "kinds": draw(kinds),
            "connection": connection,
            "reading": draw(readings),
        },
        cluster={
            "nodes": draw(st.integers(1, 3)),
            "balancing": draw(balancings),
            "per": draw(st.sampled_from(["query", "connection"])),
            "stale": draw(st.sampled_from([0, 0.5])),
            "latency": draw(st.just({"kind": "deterministic", "value": 0}) | laws),
        },
        node={
            "slots": draw(st.integers(1, 3)),
            "service": draw(laws),
            "thoughts": draw(st.sampled_from([0, 1, 4])),
            "gap": draw(st.none() | st.just({"kind": "exponential", "mean": 0.02})),
            "stops": draw(st.booleans()),
            "queue": draw(queues),
            "concurrency": draw(concurrencies),
            "timeout": draw(timeouts),
            "rate_limit": draw(limits),
            "mailbox": draw(mailboxes),
        },
        faults=faults,
        presence=presence,
    )
