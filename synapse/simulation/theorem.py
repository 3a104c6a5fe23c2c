"""Which theorem holds for a scenario: what queueing theory says beside what the simulation says."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scipy import stats  # type: ignore[import-untyped]

from synapse import theory
from synapse.policies import (
    GCRA,
    Fifo,
    Fixed,
    FixedTimeout,
    FixedWindow,
    Lifo,
    NoRetry,
    NoTimeout,
    PowerOfTwo,
    Priority,
    Random,
    SlidingLog,
    TokenBucket,
    Unlimited,
)
from synapse.simulation.distributions import Deterministic, Exponential
from synapse.simulation.spec.arrivals import Closed, Poisson
from synapse.theory import TheoryError

if TYPE_CHECKING:
    from synapse.simulation.run import Run
    from synapse.simulation.scenario import Scenario

NEGLIGIBLE = 1e-6  # a probability that is taken for none
END = 10  # timeouts of the agents that are as good as never
MANY = 100_000  # places that are as good as any number


class NoTheorem(Exception):
    """Why none holds."""


class Theorem:
    """What theory says of a scenario.

    Attributes
    ----------
    name : str
        The model's name; empty if none holds.
    why : str
        Why it holds, or why none does.
    result : synapse.theory.Result or None
        All its numbers.
    metrics : dict
        Those that a run has, too, by their names there: see `synapse.simulation.run.METRICS`; and ``refused`` and
        ``abandoned``, the shares of tries that are refused and that their agents call off.
    """

    def __init__(self, name: str, why: str, result: Any = None, metrics: dict[str, float] | None = None) -> None:
        self.name = name
        self.why = why
        self.result = result
        self.metrics = metrics or {}

    def __repr__(self) -> str:
        return f"<Theorem {self.name}: {self.why}>" if self.name else f"<No theorem holds: {self.why}>"

    def beside(self, run: Run) -> list[tuple[str, float, float]]:
        """Name, what theory says and what a run says, of each number that both have."""
        return [(name, value, simulated(run, name)) for name, value in self.metrics.items()]

    def _repr_html_(self) -> str:
        numbers = "".join(f"<tr><th>{name}</th><td>{value:.6g}</td></tr>" for name, value in self.metrics.items())
        title = self.name or "No theorem holds"
        return f"<p><b>{html.escape(title)}</b>: {html.escape(self.why)}</p><table>{numbers}</table>"


def simulated(run: Run, name: str) -> float:
    """A number of a run by the name that a theorem has for it."""
    if name == "refused":
        return run.measured.tries_rejected / max(1, run.measured.tries)
    if name == "abandoned":
        return run.measured.timeout / max(1, run.measured.sent)
    return run.metrics[name]


def theorem(scenario: Scenario) -> Theorem:
    """Which theorem holds for a scenario, or why none does."""
    try:
        _check_what_none_allows(scenario)
        return _closed(scenario) if isinstance(scenario.agents.arrivals, Closed) else _open(scenario)
    except NoTheorem as no:
        return Theorem("", str(no))
    except TheoryError as error:
        return Theorem("", f"there is no steady state: {error}")


def _check_what_none_allows(scenario: Scenario) -> None:
    agents, node, cluster = scenario.agents, scenario.node, scenario.cluster
    obstacles = {
        "faults change the system while it is measured": bool(scenario.faults),
        "connections come and go": agents.connection is not None,
        "a budget keeps some from trying": agents.budget is not None,
        "agents give up after a while": agents.give_up_after is not None,
        "kinds of agents differ in how they wait and try": any(
            (kind.timeout, kind.retry, kind.budget) != (agents.timeout, agents.retry, agents.budget)
            for kind, _ in agents.each_kind()
        ),
        "agents keep to the node of their connection": cluster.per == "connection" and cluster.nodes > 1,
        "agents hear what they have read, and reading takes time": agents.reading is not None,
        "queries and answers are under way for a while": cluster.latency.mean > 0,
        "service takes no time": not node.service.mean,
        "a service is a sum of gaps": node.gap is not None and node.thoughts > 1,
        "the number of servers changes": not isinstance(node.concurrency, (Fixed, type(None))),
        "more queries run at once than there are slots": (
            isinstance(node.concurrency, Fixed) and node.concurrency.limit > node.slots
        ),
    }
    for obstacle, is_there in obstacles.items():
        if is_there:
            raise NoTheorem(obstacle)


def _servers(scenario: Scenario) -> int:
    concurrency = scenario.node.concurrency
    return min(scenario.node.slots, concurrency.limit) if isinstance(concurrency, Fixed) else scenario.node.slots


def _of_all_slots(scenario: Scenario, utilisation: float) -> float:
    """The servers' utilisation, as a share of all slots' time: some may never be used."""
    return utilisation * _servers(scenario) / scenario.node.slots


def _closed(scenario: Scenario) -> Theorem:
    agents, node = scenario.agents, scenario.node
    _nobody_leaves(scenario)
    _only_one(scenario, "agents that think and ask have no independent arrivals at each node")
    _same_for_all(scenario)
    if not isinstance(node.rate_limit, Unlimited):
        raise NoTheorem("agents that are refused come again: their rate limit has no closed form")
    if not isinstance(node.service, Exponential):
        raise NoTheorem("M/M/c//N needs exponential service: with a finite source its law matters")
    servers = _servers(scenario)
    _plain_queue(scenario, lambda: agents.count <= node.queue.bound + servers)
    result = theory.finite_source(agents.count, servers, agents.think.mean, node.service.mean)
    _patient(scenario, result.wait_tail)
    return Theorem(
        "M/M/c//N",
        f"{agents.count} agents think and ask {servers} servers; no timeout, retry or limit matters",
        result,
        {
            "goodput": result.throughput,
            "latency_mean": result.W,
            "wait_mean": result.Wq,
            "utilisation": _of_all_slots(scenario, result.utilisation),
        },
    )


def _open(scenario: Scenario) -> Theorem:
    arrivals, node = scenario.agents.arrivals, scenario.node
    if not isinstance(arrivals, Poisson):
        raise NoTheorem("arrivals are neither Poisson nor of a finite source")
    nodes = scenario.cluster.nodes
    if scenario.agents.patience is not None and _is_plain(scenario):
        return _impatient(scenario, arrivals.rate / nodes)
    _nobody_leaves(scenario)
    if not isinstance(node.rate_limit, Unlimited):
        return _limiter(scenario, arrivals.rate)
    if not isinstance(scenario.agents.retry, NoRetry):
        return _retries(scenario, arrivals.rate)
    if nodes > 1 and not isinstance(scenario.cluster.balancing, Random):
        return _power_of_d(scenario, arrivals.rate / nodes)
    if len({kind.priority for kind, _ in scenario.agents.each_kind()}) > 1:
        return _classes(scenario, arrivals.rate / nodes)
    _same_for_all(scenario)
    return _station(scenario, arrivals.rate / nodes)


def _nobody_leaves(scenario: Scenario) -> None:
    if scenario.agents.patience is not None:
        raise NoTheorem("agents who lose patience are known for one law of service, and no other rule beside it")


def _is_plain(scenario: Scenario) -> bool:
    """Whether nodes are queues by themselves, without limits or retries."""
    return (
        isinstance(scenario.node.rate_limit, Unlimited)
        and isinstance(scenario.agents.retry, NoRetry)
        and (scenario.cluster.nodes == 1 or isinstance(scenario.cluster.balancing, Random))
        and len({kind.priority for kind, _ in scenario.agents.each_kind()}) == 1
    )


def _station(scenario: Scenario, lam: float) -> Theorem:
    """One node of Poisson arrivals, by itself."""
    node, servers = scenario.node, _servers(scenario)
    mu, bound = 1 / node.service.mean, node.queue.bound
    split = "" if scenario.cluster.nodes == 1 else "random balancing splits Poisson arrivals into such; "
    if bound == 0:
        loss = theory.mmck(lam, mu, servers, servers)
        _patient(scenario, loss.wait_tail)
        return _blocking(
            scenario, "M/G/c/c (Erlang B)", split + "no one waits, and the law of service does not matter", loss
        )
    is_exponential = isinstance(node.service, Exponential)
    _plain_queue(scenario, lambda: True)
    is_full = _is_full(lam, mu, servers, bound)
    if is_exponential and is_full:
        finite = theory.mmck(lam, mu, servers, servers + bound)
        _patient(scenario, finite.wait_tail)
        return _blocking(scenario, "M/M/c/K", f"{split}{servers + bound} places", finite)
    if is_exponential:
        result: Any = theory.mmc(lam, mu, servers)
        _patient(scenario, result.wait_tail)
        return _waiting(scenario, "M/M/c", f"{split}Poisson arrivals, exponential service", result)
    if is_full:
        raise NoTheorem("M/G/c/K has no closed form: some are turned away at the queue's bound")
    if isinstance(node.service, Deterministic):
        result = theory.mdc(lam, mu, servers)
        _patient(scenario, result.wait_tail)
        return _waiting(scenario, "M/D/c", f"{split}Poisson arrivals, even service (Crommelin)", result)
    if servers > 1:
        raise NoTheorem("M/G/c has no closed form for more than one server")
    result = theory.mg1(lam, mu, node.service.scv)
    if bound <= MANY and math.exp(-bound / (1 + lam * result.Wq)) > NEGLIGIBLE:  # more vary more than exponential ones
        raise NoTheorem("M/G/1/K has no closed form: some are turned away at the queue's bound")
    _patient(scenario, _as_if_exponential(result.W))
    return _waiting(scenario, "M/G/1", f"{split}Poisson arrivals, one server (Pollaczek and Khinchine)", result)


def _is_full(lam: float, mu: float, servers: int, bound: int) -> bool:
    """Whether some are turned away at the queue's bound, as far as exponential service tells."""
    if bound > MANY:
        return False
    return bool(theory.mmck(lam, mu, servers, servers + bound).p_block > NEGLIGIBLE)


def _waiting(scenario: Scenario, name: str, why: str, result: Any) -> Theorem:
    metrics = {
        "goodput": result.lam * scenario.cluster.nodes,
        "latency_mean": result.W,
        "wait_mean": result.Wq,
        "utilisation": _of_all_slots(scenario, result.utilisation),
    }
    return Theorem(name, why, result, metrics)


def _blocking(scenario: Scenario, name: str, why: str, result: Any) -> Theorem:
    metrics = {
        "goodput": result.throughput * scenario.cluster.nodes,
        "latency_mean": result.W,
        "wait_mean": result.Wq,
        "utilisation": _of_all_slots(scenario, result.utilisation),
        "refused": result.p_block,
    }
    return Theorem(name, why, result, metrics)


def _impatient(scenario: Scenario, lam: float) -> Theorem:
    _same_for_all(scenario)
    node, servers, patience = scenario.node, _servers(scenario), scenario.agents.patience
    if not isinstance(node.service, Exponential):
        raise NoTheorem("M/M/c with impatience needs exponential service")
    if not isinstance(node.queue, (Fifo, Priority)):
        raise NoTheorem("M/M/c with impatience is first come, first served")
    mu, bound = 1 / node.service.mean, node.queue.bound
    if isinstance(patience, Exponential):
        name, result = "M/M/c+M (Erlang A)", theory.erlang_a(lam, mu, servers, 1 / patience.mean)
        leaving = (lam / (servers * mu + waiting / patience.mean) for waiting in range(1, min(bound, MANY) + 1))
        overflow = math.exp(min(0.0, sum(map(math.log, leaving))))  # of the birth and death process, as a bound
    elif isinstance(patience, Deterministic):
        name, result = "M/M/c+D", theory.mmcd(lam, mu, servers, patience.value)
        overflow = float(stats.poisson.sf(bound - 1, lam * patience.value))  # who waits has come since
    else:
        raise NoTheorem("patience is neither exponential nor always the same: see `synapse.theory.mmcg`")
    if overflow > NEGLIGIBLE:
        raise NoTheorem("some are turned away at the queue's bound, others lose patience")
    _patient(scenario, result.wait_tail)
    return Theorem(
        name,
        "whoever waits too long leaves; whoever is served stays",
        result,
        {
            "goodput": result.throughput * scenario.cluster.nodes,
            "wait_mean": result.Wq,
            "utilisation": _of_all_slots(scenario, result.utilisation),
            "abandoned": result.p_abandon,
        },
    )


def _classes(scenario: Scenario, lam: float) -> Theorem:
    node = scenario.node
    if not isinstance(node.queue, Priority) or not isinstance(node.service, Exponential):
        raise NoTheorem("classes need a priority queue and one exponential law of service")
    if any(kind.service is not None for kind, _ in scenario.agents.each_kind()):
        raise NoTheorem("classes differ in service")
    shares: dict[int, float] = {}
    for kind, size in scenario.agents.each_kind():
        priority = 5 if kind.priority is None else kind.priority
        shares[priority] = shares.get(priority, 0.0) + size / scenario.agents.count
    mu, servers = 1 / node.service.mean, _servers(scenario)
    if lam >= servers * mu:
        raise NoTheorem(f"there is no steady state: {lam:g} queries/s come to a node that can answer {servers * mu:g}")
    if _is_full(lam, mu, servers, node.queue.bound):
        raise NoTheorem("some are turned away at the queue's bound, and which depends on their class")
    result = theory.cobham([lam * shares[priority] for priority in sorted(shares)], mu, servers)
    _patient(scenario, _as_if_exponential(float(result.W.max())))
    mean = sum(shares[priority] * wait for priority, wait in zip(sorted(shares), result.Wq.tolist(), strict=True))
    return Theorem("M/M/c with priorities", "classes share one law of service (Cobham)", result, {"wait_mean": mean})


def _power_of_d(scenario: Scenario, lam: float) -> Theorem:
    cluster, node = scenario.cluster, scenario.node
    if not isinstance(cluster.balancing, PowerOfTwo):
        raise NoTheorem("only random balancing, and the power of d choices, have a closed form")
    if cluster.stale or cluster.per == "connection":
        raise NoTheorem("the power of d choices needs fresh loads, and a choice for each query")
    if _servers(scenario) > 1 or not isinstance(node.service, Exponential):
        raise NoTheorem("the power of d choices needs nodes of one slot with exponential service")
    _same_for_all(scenario)
    _plain_queue(scenario, lambda: True)
    mu, choices = 1 / node.service.mean, cluster.balancing.choices
    result = theory.power_of_d(lam, mu, choices)
    longest = sum(choices**place for place in range(min(node.queue.bound + 2, 60)))
    if (lam / mu) ** longest > NEGLIGIBLE:  # the share of nodes with so many
        raise NoTheorem("some are turned away at the queue's bound")
    _patient(scenario, _as_if_exponential(result.W))
    why = f"exact for infinitely many nodes (Mitzenmacher); here are {cluster.nodes}"
    return _waiting(scenario, "power of d choices", why, result)


def _limiter(scenario: Scenario, lam: float) -> Theorem:
    node = scenario.node
    limit = node.rate_limit
    _only_one(scenario, "each node limits what comes to it alone")
    if not isinstance(scenario.agents.retry, NoRetry):
        raise NoTheorem("who is refused comes again: arrivals are not Poisson")
    if getattr(limit, "per", "global") != "global" and scenario.agents.count > 1:
        raise NoTheorem("agents ask in turn: what one of them asks is not Poisson")
    match limit:
        case TokenBucket():
            result = theory.token_bucket(lam, limit.rate, limit.burst)
        case GCRA():
            result = theory.token_bucket(lam, limit.rate, limit.burst)
        case FixedWindow():
            result = theory.fixed_window(lam, limit.limit, limit.window)
        case SlidingLog():
            result = theory.sliding_log(lam, limit.limit, limit.window)
        case _:
            raise NoTheorem("this rate limit has no closed form")
    admitted = lam * (1 - float(result.refused))
    if _is_full(admitted, 1 / node.service.mean, _servers(scenario), node.queue.bound):
        raise NoTheorem("the queue's bound turns away some whom the limit lets pass")
    return Theorem("rate limit", "Poisson arrivals at one limiter", result, {"refused": result.refused})


def _retries(scenario: Scenario, lam: float) -> Theorem:
    agents, node = scenario.agents, scenario.node
    if _servers(scenario) != 1 or scenario.cluster.nodes != 1 or not isinstance(node.service, Exponential):
        raise NoTheorem("the fixed point of retries is known for one exponential server")
    if agents.on_timeout != "leave" or not isinstance(agents.timeout, FixedTimeout):
        raise NoTheorem("the fixed point of retries is for a fixed timeout that the server does not know of")
    if "timeout" not in agents.retry_on:
        raise NoTheorem("nobody tries again after a timeout")
    if not isinstance(node.queue, (Fifo, Priority)):
        raise NoTheorem("the fixed point of retries is for first come, first served")
    _same_for_all(scenario)
    drained = (node.queue.bound + 1) * node.service.mean
    if not isinstance(node.timeout, NoTimeout) and not (
        isinstance(node.timeout, FixedTimeout) and node.timeout.seconds > 2 * min(drained, END * agents.timeout.seconds)
    ):
        raise NoTheorem("the server's own timeout ends queries")
    tries = getattr(agents.retry, "tries", None)
    retries = float("inf") if tries is None else tries - 1
    if node.queue.bound * node.service.mean < 2 * agents.timeout.seconds:
        raise NoTheorem("the queue's bound turns some away before they have waited for their timeout")
    result = theory.retry_fixed_point(lam, 1 / node.service.mean, agents.timeout.seconds, retries)
    why = f"timeouts and retries at one server, which is {result.region}: a bound, not a safe load"
    metrics = {} if result.region == "doomed" else {"tries_per_query": float(result.amplification)}
    return Theorem("retry fixed point", why, result, metrics)


def _only_one(scenario: Scenario, why: str) -> None:
    if scenario.cluster.nodes > 1:
        raise NoTheorem(f"there are several nodes: {why}")


def _same_for_all(scenario: Scenario) -> None:
    kinds = [kind for kind, _ in scenario.agents.each_kind()]
    first = kinds[0]
    for kind in kinds[1:]:
        if (kind.service, kind.think, kind.priority) != (first.service, first.think, first.priority):
            raise NoTheorem("agents are not all alike")
    if first.service is not None:
        raise NoTheorem("service is said for a kind of agents; say it for the node")


def _plain_queue(scenario: Scenario, has_room: Callable[[], bool]) -> None:
    if not isinstance(scenario.node.queue, (Fifo, Lifo, Priority)):
        raise NoTheorem("the queue evicts, or serves by other things than order and class")
    if not has_room():
        raise NoTheorem("some are turned away at the queue's bound, and come again")


def _as_if_exponential(mean: float) -> Callable[[float], float]:
    """The tail of a time of which only the mean is known, as an estimate."""
    return lambda time: math.exp(-time / mean)


def _patient(scenario: Scenario, wait_tail: Callable[[float], Any]) -> None:
    """See that timeouts are so long that they do not matter."""
    for timeout in (scenario.agents.timeout, scenario.node.timeout):
        if isinstance(timeout, NoTimeout):
            continue
        if not isinstance(timeout, FixedTimeout):
            raise NoTheorem("timeouts differ from query to query")
        half = timeout.seconds / 2
        served_late = _as_if_exponential(scenario.node.service.mean)(half)
        if float(wait_tail(half)) + served_late > NEGLIGIBLE:
            raise NoTheorem(f"a timeout of {timeout.seconds:g} s matters: it cuts services short")
