"""Presence in a cluster, replicated by heartbeat as Phoenix.Tracker does it, and how soon all nodes agree."""

from synapse.simulation.presence.convergence import Convergence
from synapse.simulation.presence.replica_set import Changes, ReplicaSet, Tag
from synapse.simulation.presence.roster import Roster
from synapse.simulation.presence.tracker import Replication, Status, Tracker, Witness

__all__ = ["Changes", "Convergence", "ReplicaSet", "Replication", "Roster", "Status", "Tag", "Tracker", "Witness"]
