"""Scenarios whose answers are known, by theorem.

Service takes 10 ms in the mean, and each answer is told in services, so that it is the number that tables for μ = 1
print. Every query goes through the live server's scheduler, and every limit is a policy of the live server.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from synapse import theory
from synapse.simulation import Run, Scenario

SERVICE = 0.01  # s
ENDLESS = {"kind": "fifo", "bound": 10**9}

BARE = Scenario().replace(
    agents={"count": 1, "arrivals": {"kind": "poisson", "rate": 1}, "timeout": "none"},
    node={"slots": 1, "service": {"kind": "exponential", "mean": SERVICE}, "timeout": "none", "queue": ENDLESS},
)
"""M/M/1, with an endless queue and endless patience."""


SHARES = ("P(W>0)", "utilisation", "refused", "admitted", "abandoned")
SELDOM = 2e-3  # a share of arrivals that is too small to be seen in a short run


@dataclass(frozen=True)
class Exact:
    """What a number must be.

    Attributes
    ----------
    value
        The number.
    half
        How far its own 95 % confidence interval goes to each side, where it was simulated elsewhere.
    """

    value: float
    half: float = 0.0


@dataclass(frozen=True)
class Case:
    """A scenario, and what must come out of it.

    Attributes
    ----------
    group, name
        The theorem, and the numbers that it was given.
    scenario
        What to simulate, but for how long.
    rate
        Arrivals, 1/s, in the mean.
    settles
        Its relaxation time, s.
    exact
        Names of `NUMBERS`, and what they must be.
    in_tests
        Whether the tests have it, too, at a smaller size.
    """

    group: str
    name: str
    scenario: Scenario
    rate: float
    settles: float
    exact: dict[str, Exact]
    in_tests: bool = True

    def __str__(self) -> str:
        return f"{self.group} {self.name}"

    def seed(self, seed: int) -> int:
        """A seed of its own: with the same one, all cases would have the same luck."""
        return int.from_bytes(blake2b(f"{seed} {self}".encode(), digest_size=6).digest(), "big")

    def sized(self, arrivals: int, settle: float = 5.0, least: float = 0.0) -> Scenario:
        """The scenario with about so many arrivals after a warm-up of `settle` relaxation times.

        It is measured for `least` relaxation times at least: a run within one of them is one look.
        """
        warmup = self.settles * settle
        measured = max(arrivals / self.rate, self.settles * least)
        return self.scenario.replace(warmup=warmup, duration=warmup + measured)


def numbers(run: Run) -> dict[str, float]:
    """What a run says; durations in services. All of it was counted after the warm-up."""
    measured = run.measured
    return {
        "Wq": run.wait.mean / SERVICE,
        "P(W>0)": 1 - float(run.wait.counts[0]) / run.wait.count if run.wait.count else math.nan,
        "utilisation": run.utilisation,
        "refused": measured.tries_rejected / measured.tries,
        "admitted": 1 - measured.tries_rejected / measured.tries,
        "abandoned": measured.timeout / measured.sent,
        "X": run.goodput * SERVICE,
        "R": run.latency.mean / SERVICE,
    }


def battery() -> list[Case]:
    """All cases."""
    parts = (_mmc, _mmck, _erlang_a, _mmcd, _mdc, _mg1, _limiters, _sliding_counter, _finite_source, _power_of_d)
    return [case for part in parts for case in part()]


def _case(
    group: str, name: str, lam: float, changes: dict[str, Any], settles: float, exact: dict[str, Any], in_tests: bool
) -> Case:
    """A case whose rate and relaxation time are told for μ = 1."""
    scenario = BARE.replace({"agents.arrivals.rate": lam / SERVICE, **changes})
    return Case(group, name, scenario, lam / SERVICE, settles * SERVICE, _known(exact), in_tests)


def _known(exact: dict[str, Any]) -> dict[str, Exact]:
    """Those that a simulation of some thousand arrivals can say something about: not shares of nearly none, or all."""
    values = {name: value if isinstance(value, Exact) else Exact(float(value)) for name, value in exact.items()}
    return {name: value for name, value in values.items() if name not in SHARES or SELDOM < value.value < 1 - SELDOM}


def _settles(lam: float, c: int, scv: float = 1.0) -> float:
    """About the relaxation time of M/G/c with μ = 1, in services: exact for M/M/1 (Morse 1955)."""
    return (1 + scv) / 2 / min(1.0, (math.sqrt(c) - math.sqrt(lam)) ** 2)


def _mmc() -> Iterator[Case]:
    tested = {(1, 0.5), (1, 0.8), (2, 0.8), (4, 0.9), (8, 0.5), (8, 0.9), (32, 0.95)}
    for c in (1, 2, 4, 8, 16, 32, 64):
        for rho in (0.5, 0.8, 0.9, 0.95):
            lam = rho * c
            result = theory.mmc(lam, 1, c)
            exact = {"P(W>0)": result.p_wait, "Wq": result.Wq, "utilisation": rho}
            if result.p_wait < SELDOM:
                continue
            in_tests = (c, rho) in tested
            yield _case("M/M/c", f"c={c} ρ={rho}", lam, {"node.slots": c}, _settles(lam, c), exact, in_tests)


def _mmck() -> Iterator[Case]:
    listed = [(rho, 1, places) for places in (1, 2, 5, 10, 20) for rho in (0.5, 0.8, 0.9, 1.0, 1.2)]
    tested = {(0.8, 1, 1), (0.5, 1, 2), (0.9, 1, 5), (1.2, 1, 10), (1.0, 1, 20), (7.2, 8, 16), (9.6, 8, 16)}
    for lam, c, places in [*listed, (7.2, 8, 16), (9.6, 8, 16)]:
        result = theory.mmck(lam, 1, c, places)
        if result.p_block < SELDOM:
            continue
        exact = {"refused": result.p_block, "utilisation": result.utilisation}
        if places > c:
            exact["Wq"] = result.Wq
        changes = {"node.slots": c, "node.queue.bound": places - c}
        yield _case(
            "M/M/c/K", f"c={c} K={places} λ={lam}", lam, changes, places, exact, (lam, c, places) in tested
        )  # fmt: skip


def _erlang_a() -> Iterator[Case]:
    listed = [(7.2, 8, 0.5), (8, 8, 0.5), (9.6, 8, 0.5), (9.6, 8, 1), (9.6, 8, 2), (16, 8, 0.5), (102, 100, 1)]
    listed += [(102, 100, 0.1), (102, 100, 10), (120, 100, 0.5)]
    tested = {(7.2, 0.5), (8, 0.5), (9.6, 2), (16, 0.5), (102, 1)}
    for lam, c, theta in listed:
        result = theory.erlang_a(lam, 1, c, theta)
        patience = {"kind": "exponential", "mean": SERVICE / theta}
        yield _case(
            "M/M/c+M", f"c={c} λ={lam} θ={theta}", lam, {"node.slots": c, "agents.patience": patience},
            2 / min(1, theta), _impatient(result), (lam, theta) in tested,
        )  # fmt: skip


def _mmcd() -> Iterator[Case]:
    listed = [(7.2, 8, 0.5), (8, 8, 0.5), (9.6, 8, 0.5), (9.6, 8, 1), (9.6, 8, 2), (16, 8, 1)]
    listed += [(0.9, 1, 1), (0.9, 1, 5), (1.2, 1, 5)]
    tested = {(7.2, 0.5), (9.6, 1), (16, 1), (0.9, 1), (1.2, 5)}
    for lam, c, patience in listed:
        result = theory.mmcd(lam, 1, c, patience)
        law = {"kind": "deterministic", "value": SERVICE * patience}
        yield _case(
            "M/M/c+D", f"c={c} λ={lam} D={patience}", lam, {"node.slots": c, "agents.patience": law},
            2 + 3 * patience, _impatient(result), (lam, patience) in tested,
        )  # fmt: skip


def _impatient(result: theory.Impatient) -> dict[str, Any]:
    return {
        "P(W>0)": result.p_wait,
        "abandoned": result.p_abandon,
        "Wq": result.Wq,
        "utilisation": result.utilisation,
    }


def _mdc() -> Iterator[Case]:
    law = {"kind": "deterministic", "value": SERVICE}
    tested = {(2, 0.5), (4, 0.8), (8, 0.9)}
    for c in (2, 4, 8, 16):
        for rho in (0.5, 0.8, 0.9, 0.95):
            lam = rho * c
            exact = {"Wq": theory.mdc(lam, 1, c).Wq}
            changes = {"node.slots": c, "node.service": law}
            yield _case(
                "M/D/c", f"c={c} ρ={rho}", lam, changes, _settles(lam, c, 0), exact, (c, rho) in tested
            )  # fmt: skip


def _mg1() -> Iterator[Case]:
    laws: dict[str, tuple[float, dict[str, Any]]] = {
        "D": (0.0, {"kind": "deterministic", "value": SERVICE}),
        "E4": (0.25, {"kind": "erlang", "mean": SERVICE, "shape": 4}),
        "M": (1.0, {"kind": "exponential", "mean": SERVICE}),
        "H2 cv²=4": (4.0, {"kind": "hyperexponential", "mean": SERVICE, "cv": 2.0}),
    }
    for name, (scv, law) in laws.items():
        for rho in (0.5, 0.8, 0.9, 0.95):
            exact = {"Wq": theory.mg1(rho, 1, scv).Wq}
            in_tests = rho in (0.5, 0.8)
            yield _case("M/G/1", f"{name} ρ={rho}", rho, {"node.service": law}, _settles(rho, 1, scv), exact, in_tests)


BRIEF = {"node.slots": 1000, "node.service": {"kind": "deterministic", "value": SERVICE / 1000}}
"""A server that is never busy: who is refused is refused by the limit."""


def _limited(name: str, load: float, limit: dict[str, Any], settles: float, value: Any, in_tests: bool) -> Case:
    """A limit of one a `SERVICE`, and so many times as many asks."""
    changes = {**BRIEF, "node.rate_limit": {**limit, "per": "global"}}
    return _case(limit["kind"], f"{name} load={load}", load, changes, settles, {"admitted": value}, in_tests)


def _limiters() -> Iterator[Case]:
    loads = (0.5, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
    rate = 1 / SERVICE
    for load in loads:
        for burst in (1, 2, 5, 10, 20, 50):
            value = theory.token_bucket(load, 1, burst).admitted
            if value > 1 - SELDOM:
                continue
            in_tests = (load, burst) in {(0.5, 1), (0.8, 2), (0.9, 5), (1.0, 10), (1.2, 20), (1.5, 50), (2.0, 2)}
            bucket = {"kind": "token-bucket", "rate": rate, "burst": burst}
            yield _limited(f"b={burst}", load, bucket, min(burst**2, burst / abs(load - 1 or 0.01)), value, in_tests)
            if burst in (2, 10):
                yield _limited(f"b={burst}", load, {**bucket, "kind": "gcra"}, burst**2, value, in_tests and load == 1)
        for limit in (5, 10, 50):
            window = {"limit": limit, "window": limit * SERVICE}
            fixed = theory.fixed_window(load, limit, limit).admitted
            log = theory.sliding_log(load, limit, limit).admitted
            in_tests = (load, limit) in {(0.5, 5), (0.8, 10), (0.9, 50), (1.0, 10), (1.2, 50), (2.0, 5)}
            for kind, value in (("fixed-window", fixed), ("sliding-log", log)):
                if value < 1 - SELDOM:
                    yield _limited(f"L={limit}", load, {"kind": kind, **window}, limit, value, in_tests)


def _sliding_counter() -> Iterator[Case]:
    """It has no closed form: these were simulated by another program."""
    for load, limit, value in ((0.9, 5, 0.7194), (1.0, 10, 0.7787), (1.2, 50, 0.7905), (2.0, 10, 0.4416)):
        counter = {"kind": "sliding-counter", "limit": limit, "window": limit * SERVICE}
        yield _limited(f"L={limit}", load, counter, limit, Exact(value, 0.0003), True)


def _finite_source() -> Iterator[Case]:
    """Closed agents, as a scenario has them unless it says otherwise. They think for `think` services."""
    listed = [(2000, 12, 200), (2000, 11, 200), (200, 8, 80), (60, 2, 40), (60, 2, 25), (20, 4, 4), (20, 4, 1)]
    for agents, c, think in listed:
        result = theory.finite_source(agents, c, think, 1)
        changes = {
            "agents.arrivals": {"kind": "closed"},
            "agents.count": agents,
            "agents.think": {"kind": "exponential", "mean": think * SERVICE},
            "node.slots": c,
        }
        exact = {"X": result.throughput, "R": result.W, "utilisation": result.utilisation}
        scenario = BARE.replace(changes)
        yield Case(
            "M/M/c//N", f"N={agents} c={c} Z={think}", scenario, float(result.throughput) / SERVICE,
            SERVICE * think, _known(exact),
        )  # fmt: skip


NODES = 500


def _power_of_d() -> Iterator[Case]:
    """The theorem is for infinitely many nodes; what so many differ from that goes as 1/n, and is allowed for."""
    for d in (2, 3):
        for lam in (0.5, 0.7, 0.8, 0.9, 0.95):
            wait = float(theory.power_of_d(lam, 1, d).Wq)
            changes = {
                "cluster.nodes": NODES,
                "cluster.balancing": {"kind": "power-of-two", "choices": d},
                "agents.arrivals.rate": NODES * lam / SERVICE,
            }
            in_tests = (d, lam) in {(2, 0.5), (2, 0.7), (2, 0.9), (3, 0.8)}
            yield _case(
                "power of d", f"d={d} λ={lam}, {NODES} nodes", NODES * lam, changes,
                1 / (1 - lam), {"Wq": Exact(wait, _few(d, lam) * wait)}, in_tests,
            )  # fmt: skip


def _few(d: int, lam: float) -> float:
    """How much more `NODES` nodes let wait than infinitely many, at most, as a share.

    It goes as 1/n (Mitzenmacher 1996), so this was measured with 50 nodes: 0.59 and 1.31 of 1/n with two choices, 1.55
    and 2.72 with three, at loads of 0.5 and 0.9.
    """
    return 0.4 * (d - 1) / (1 - lam) / NODES
