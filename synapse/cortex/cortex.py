"""The cortex: composes one node of the core.

A driver makes a `Cortex` with its clock, its runner and its authorizer, calls `connect` for each connection
that it accepts, and feeds the socket it gets. Everything that happens is announced on `bus`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from synapse._version import __version__
from synapse.channels import Channel, Endpoint, LocalPresence, LocalPubSub, Message, Presence, PubSub, Transport
from synapse.cortex.absence import Absences
from synapse.cortex.access import Authorizer, Grant, HandlerAccess, OpenDoor
from synapse.cortex.channel import CortexChannel, RosterChannel
from synapse.cortex.connections import Connection, ConnectionManager
from synapse.cortex.interrupts import InterruptManager
from synapse.cortex.job import Job
from synapse.cortex.presence import AgentPresence, LoadGauge
from synapse.cortex.router import MessageRouter
from synapse.cortex.scheduler import Clock, Refusal, Runner, Scheduler
from synapse.cortex.socket import CortexSocket
from synapse.policies import Policies, kind_of
from synapse.protocol import ROSTER, About, Serializer
from synapse.telemetry import events

log = logging.getLogger(__name__)
audit = logging.getLogger("synapse.audit")


class Cortex:
    """One node.

    Parameters
    ----------
    clock
        Time, handed in.
    runner
        Does the work of queries.
    epoch
        Unix time (s) at the clock's zero: what turns its time into the timestamps on the wire.
    policies
        The scheduler's rules.
    authorizer
        Decides on joins; everybody is welcome when absent.
    handlers
        Which handlers which agents may use; ``echo`` for all when absent.
    channels
        More topic patterns and their channel classes; they come before the cortex's own.
    pubsub, presence
        Local ones when absent.
    linger
        How long (s) the queries of an agent without a connection go on before they are interrupted with
        the reason ``agent_gone``.
    grace
        How long (s) the stream of an agent without a connection is kept, for it to resume.
    node
        This node's name in events.
    """

    def __init__(
        self,
        clock: Clock,
        runner: Runner,
        *,
        epoch: float = 0.0,
        policies: Policies | None = None,
        authorizer: Authorizer | None = None,
        handlers: HandlerAccess | None = None,
        channels: Mapping[str, type[Channel]] | None = None,
        pubsub: PubSub | None = None,
        presence: Presence | None = None,
        linger: float = 30.0,
        grace: float = 30.0,
        node: str = "local",
    ) -> None:
        self.clock = clock
        self.epoch = epoch
        self.node = node
        self.authorizer = authorizer or OpenDoor()
        self.handlers = handlers or HandlerAccess({"*": ["echo"]})
        self.bus = events.Bus()
        pubsub = LocalPubSub() if pubsub is None else pubsub  # "is None": an empty table is falsy
        if presence is None:
            presence = LocalPresence(pubsub, clock.call_later, node, self._presence_changed)
        routes: dict[str, type[Channel]] = {"cortex:*": CortexChannel, ROSTER: RosterChannel, **(channels or {})}
        self.endpoint = Endpoint(clock, routes, pubsub, presence)
        self.presence = AgentPresence(presence)
        self.connections = ConnectionManager()
        self.router = MessageRouter(pubsub)
        self.scheduler = Scheduler(clock, runner, self, policies, self.bus, node)
        self.interrupts = InterruptManager(self.scheduler.interrupt)
        self.sockets: dict[int, CortexSocket] = {}
        self.slow: set[CortexSocket] = set()  # those that writers should wait for
        self.absences = Absences(clock, linger, grace, self.interrupts)
        self.load = LoadGauge(clock, self.presence, self._load_of)
        self._held: dict[str, list[Callable[[], object]]] = {}
        self._numbers = count(1)

    def __repr__(self) -> str:
        agents, connections = self.connections.count(), len(self.sockets)
        return f"<Cortex {self.node}: {agents} agents, {connections} connections, {self.scheduler!r}>"

    # What the driver calls

    def connect(self, serializer: Serializer, transport: Transport, identity: Any = None) -> CortexSocket:
        """Take a new connection. The driver feeds the returned socket."""
        number = next(self._numbers)
        socket = CortexSocket(self, number, serializer, transport, identity)
        self.sockets[number] = socket
        if self.bus.listeners:
            self.bus.emit(events.Connected(self.clock.time(), self.node, number))
        return socket

    def replace(self, policies: Policies) -> None:
        """Go on under other rules; nothing in flight is lost. A new mailbox policy is for new connections."""
        self.scheduler.replace(policies)

    @property
    def policies(self) -> Policies:
        """The rules in force."""
        return self.scheduler.policies

    def drain(self) -> None:
        """Accept no more queries; those accepted go on."""
        self.scheduler.drain()

    def shut_down(self, code: int, reason: str = "") -> None:
        """End all queries, tell their agents, and close every connection."""
        self.drain()
        self.scheduler.interrupt_all("shutting_down")
        for socket in list(self.sockets.values()):
            try:
                socket.close(code, reason)
            except Exception:
                log.exception("%r could not be closed", socket)
        self.absences.close()
        self.load.close()

    def unix_time(self) -> float:
        """Now, as Unix time in s."""
        return self.epoch + self.clock.time()

    def unix_ms(self) -> int:
        """Now, as Unix time in ms: the timestamps on the wire."""
        return int((self.epoch + self.clock.time()) * 1000)

    # What the channels and sockets call

    def submit(self, job: Job) -> Refusal | None:
        """Ask for a query to be answered. None means accepted.

        Raises
        ------
        ValueError
            If the agent has an unfinished query of that ref.
        """
        self.interrupts.register(job)
        refusal = self.scheduler.submit(job)
        if refusal is not None:
            self.interrupts.unregister(job)
            return refusal
        if (buffer := self.absences.buffers.get(job.agent)) is not None:
            buffer.begin(job.ref)
        self.load.changed(job.agent)
        return None

    def about(self, agent: str, grant: Grant) -> About:
        """What an agent may know of this node; its rules only if it is trusted."""
        return About(
            __version__,
            self.node,
            self.connections.count(),
            len(self.interrupts),
            list(self.handlers.of(agent, grant)),
            self.policies.encode() if grant.trusted else None,
        )

    def arrived(self, channel: CortexChannel, connection: Connection) -> None:
        """An agent has joined by a channel."""
        self.connections.track(channel, connection)
        self.absences.returned(connection.agent)
        if self.bus.listeners:
            self.bus.emit(events.Joined(self.clock.time(), self.node, connection.agent, connection.id))

    def departed(self, channel: CortexChannel, reason: str) -> None:
        """An agent's channel has ended."""
        agent = channel.agent
        connection = self.connections.untrack(agent, channel)
        if connection is None:
            return
        self.resume(agent)
        if not self.connections.get(agent):
            self.absences.left(agent)
        if self.bus.listeners:
            self.bus.emit(events.Left(self.clock.time(), self.node, agent, connection.id, reason))

    def disconnected(self, socket: CortexSocket, reason: str) -> None:
        """A connection has ended."""
        self.slow.discard(socket)
        if self.sockets.pop(socket.id, None) is not None and self.bus.listeners:
            self.bus.emit(events.Disconnected(self.clock.time(), self.node, socket.id, reason))

    def refused(self, topic: str, socket: CortexSocket, reason: str) -> None:
        """A join was refused: one line in the audit log."""
        audit.warning(
            "join refused: topic=%r connection=%d identity=%r reason=%r", topic, socket.id, socket.identity, reason
        )

    def emit_dropped(self, socket: CortexSocket, messages: int, size: int) -> None:
        """A slow reader has lost messages."""
        if self.bus.listeners:
            self.bus.emit(
                events.Dropped(
                    self.clock.time(), self.node, socket.id, messages, size, kind_of(type(self.policies.mailbox))
                )
            )

    # For handlers that write faster than is read

    def lagging(self, agent: str) -> bool:
        """Whether who thinks for an agent should wait for its readers."""
        return bool(self.slow) and self.connections.lagging(agent)

    def hold(self, agent: str, resume: Callable[[], object]) -> None:
        """Call `resume` once, when the agent's readers have caught up or gone."""
        self._held.setdefault(agent, []).append(resume)

    def resume(self, agent: str) -> None:
        """One of an agent's readers has caught up or gone."""
        if agent in self._held and not self.lagging(agent):
            for resume in self._held.pop(agent):
                resume()

    # The scheduler's outlet

    def thought(self, job: Job, thought: Any) -> None:
        """Deliver a thought to its agent."""
        buffer = self.absences.buffers.get(job.agent) if self.absences.buffers else None
        if buffer is None:
            self.router.broadcast_thought(job.agent, job.ref, thought, self.unix_ms())
            return
        seq = job.thoughts + 1
        buffer.thought(job.ref, seq, self.router.broadcast_thought(job.agent, job.ref, thought, self.unix_ms(), seq))

    def ended(self, job: Job, data: Any) -> None:
        """Deliver an ending to its agent."""
        self.interrupts.unregister(job)
        try:
            ending = self._tell_ending(job, data)
        except Exception:
            log.exception("the ending of %r has no JSON form", job)
            job.status, job.reason = "error", "result has no JSON form"
            ending = self._tell_ending(job, {"reason": job.reason})
        if (buffer := self.absences.buffers.get(job.agent)) is not None:
            buffer.ending(job.ref, ending, self.clock.time())
        self.absences.query_ended(job.agent)
        self.load.changed(job.agent)

    def _tell_ending(self, job: Job, data: Any) -> Message:
        if job.status == "interrupted":
            return self.router.broadcast_interrupted(job.agent, job.ref, job.reason or "")
        latency_ms = round(((job.finished or job.submitted) - job.submitted) * 1000, 3)
        return self.router.broadcast_result(job.agent, job.ref, job.status, data, latency_ms)  # type: ignore[arg-type]

    def _load_of(self, agent: str) -> float:
        return len(self.interrupts.of_agent(agent)) / self.scheduler.limit

    def _presence_changed(self, topic: str, joins: int, leaves: int) -> None:
        if self.bus.listeners:
            self.bus.emit(events.PresenceChanged(self.clock.time(), self.node, topic, joins, leaves))
