"""Load: the work that is offered, as a share of what all slots together can do."""

from __future__ import annotations

from synapse.experiment.errors import StudyError
from synapse.simulation import Scenario
from synapse.simulation.spec.arrivals import Bursty, Closed, Trace

LOAD = "load"


def at_load(scenario: Scenario, load: float) -> Scenario:
    """The same scenario with as many queries, or agents, as make this load.

    With an open process the rate of arrivals is set. Closed agents' number is, rounded to a whole one, so that they
    offered this load if every answer came without a wait.

    Parameters
    ----------
    load
        Mean service times the rate of queries, over the number of slots; 1 is as much as can be done.

    Raises
    ------
    StudyError
        If the load is no positive number, or arrivals are recorded ones.
    """
    if isinstance(load, bool) or not isinstance(load, (int, float)) or not load > 0:
        raise StudyError(LOAD, f"must be a number > 0; not {load!r}")
    agents = scenario.agents
    arrivals = agents.arrivals
    slots = scenario.cluster.nodes * scenario.node.slots
    service, think = _means(scenario)
    if isinstance(arrivals, Closed):
        count = round(load * slots * (think + service) / service)
        return scenario.replace({"agents.count": max(count, 1, len(agents.kinds))})
    if isinstance(arrivals, Trace):
        raise StudyError(LOAD, "cannot be set for recorded arrivals: vary `agents.arrivals.speed`")
    rate = load * slots / service
    if isinstance(arrivals, Bursty):
        return scenario.replace({"agents.arrivals.rates": [each * rate / arrivals.rate for each in arrivals.rates]})
    return scenario.replace({"agents.arrivals.rate": rate})


def _means(scenario: Scenario) -> tuple[float, float]:
    """Mean service and mean think, s, over all agents."""
    node = scenario.node
    gaps = node.gap.mean * max(0, node.thoughts - 1) if node.gap is not None else 0.0
    kinds = scenario.agents.each_kind()
    total = sum(count for _, count in kinds)
    service = sum(count * (kind.service or node.service).mean for kind, count in kinds) / total + gaps
    think = sum(count * (kind.think or scenario.agents.think).mean for kind, count in kinds) / total
    if not service > 0:
        raise StudyError(LOAD, "cannot be set where queries need no service")
    return service, think
