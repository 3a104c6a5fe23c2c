"""The virtual driver: a cluster with thousands of agents, under the same rules as the live server.

A simulated node runs the cortex's own `Scheduler`, with the policies that guard the live one, on SimPy's clock. This
room knows no server, handler, client or event loop.

>>> from synapse.simulation import Scenario
>>> scenario = Scenario(duration=30, agents={"count": 200})
>>> run = scenario.run(seed=1)
>>> run.counts.sent == run.counts.ok + run.counts.in_flight
True
"""

from synapse.simulation.env import COMPILED, Environment, Timer
from synapse.simulation.histogram import Histogram
from synapse.simulation.run import Run
from synapse.simulation.scenario import Scenario, ScenarioError
from synapse.simulation.spec import Agents, Cluster, Connection, Kind, Node, Presence, Readers
from synapse.simulation.tally import Counts
from synapse.simulation.theorem import Theorem

__all__ = [
    "COMPILED",
    "Agents",
    "Cluster",
    "Connection",
    "Counts",
    "Environment",
    "Histogram",
    "Kind",
    "Node",
    "Presence",
    "Readers",
    "Run",
    "Scenario",
    "ScenarioError",
    "Theorem",
    "Timer",
]
