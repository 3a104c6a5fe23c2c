"""The parts of a scenario, as values: what there is and how it behaves, not what happens."""

from synapse.simulation.spec import toml
from synapse.simulation.spec.agents import Agents, Connection, Kind, Readers
from synapse.simulation.spec.arrivals import Arrivals, Bursty, Closed, Diurnal, Poisson, Regular, Trace
from synapse.simulation.spec.cluster import Cluster, Node, Presence
from synapse.simulation.spec.section import Section, units

__all__ = [
    "Agents",
    "Arrivals",
    "Bursty",
    "Closed",
    "Cluster",
    "Connection",
    "Diurnal",
    "Kind",
    "Node",
    "Poisson",
    "Presence",
    "Readers",
    "Regular",
    "Section",
    "Trace",
    "toml",
    "units",
]
