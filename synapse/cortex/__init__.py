"""The brain stem: one node of the cortex, pure.

It admits queries, gives them slots, carries thoughts and endings to every connection of their agent, and
interrupts them. Clock, runner and transports are handed in, so the same node runs behind Tornado, on a
virtual clock in tests, and in a simulation.
"""

from synapse.cortex.absence import Absences
from synapse.cortex.access import Authorizer, Denial, Grant, GrantLimit, HandlerAccess, OpenDoor, matches
from synapse.cortex.admission import Admission
from synapse.cortex.channel import AuthorizedChannel, CortexChannel, RosterChannel
from synapse.cortex.clock import Clock, Timer
from synapse.cortex.connections import Connection, ConnectionManager
from synapse.cortex.cortex import Cortex
from synapse.cortex.gauges import Gauges, Snapshot
from synapse.cortex.interrupts import InterruptManager
from synapse.cortex.job import Job, State
from synapse.cortex.monitor import Monitor, Probe
from synapse.cortex.presence import AgentPresence
from synapse.cortex.replay import Missed, ReplayBuffer, ReplayRoom
from synapse.cortex.router import MessageRouter, topic_of
from synapse.cortex.scheduler import Outlet, Refusal, Runner, Scheduler
from synapse.cortex.schedulers import ALL_OTHERS, Schedulers
from synapse.cortex.socket import CortexSocket
from synapse.cortex.tape import Tape, Traced
from synapse.cortex.watching import MonitorChannel

__all__ = [
    "ALL_OTHERS",
    "Absences",
    "Admission",
    "AgentPresence",
    "AuthorizedChannel",
    "Authorizer",
    "Clock",
    "Connection",
    "ConnectionManager",
    "Cortex",
    "CortexChannel",
    "CortexSocket",
    "Denial",
    "Gauges",
    "Grant",
    "GrantLimit",
    "HandlerAccess",
    "InterruptManager",
    "Job",
    "MessageRouter",
    "Missed",
    "Monitor",
    "MonitorChannel",
    "OpenDoor",
    "Outlet",
    "Probe",
    "Refusal",
    "ReplayBuffer",
    "ReplayRoom",
    "RosterChannel",
    "Runner",
    "Scheduler",
    "Schedulers",
    "Snapshot",
    "State",
    "Tape",
    "Timer",
    "Traced",
    "matches",
    "topic_of",
]
