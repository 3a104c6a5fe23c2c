"""The cortex: composes one node of the core.

A driver makes a `Cortex` with its clock, its runner and its authorizer, calls `connect` for each connection
that it accepts, and feeds the socket it gets. Everything that happens is announced on `bus`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from synapse._version import __version__
from synapse.channels import Channel, Endpoint, LocalPresence, LocalPubSub, Message, Presence, PubSub, Transport
from synapse.channels.socket import POLICY_VIOLATION
from synapse.cortex.absence import Absences
from synapse.cortex.access import Authorizer, Grant, GrantLimit, HandlerAccess, OpenDoor
from synapse.cortex.admission import Admission
from synapse.cortex.channel import CortexChannel, RosterChannel
from synapse.cortex.clock import Clock
from synapse.cortex.connections import Connection, ConnectionManager
from synapse.cortex.interrupts import InterruptManager
from synapse.cortex.job import Job
from synapse.cortex.monitor import Monitor
from synapse.cortex.presence import AgentPresence, LoadGauge
from synapse.cortex.router import MessageRouter
from synapse.cortex.scheduler import Refusal, Runner
from synapse.cortex.schedulers import Schedulers
from synapse.cortex.socket import CortexSocket
from synapse.cortex.tape import Tape
from synapse.cortex.watching import MonitorChannel
from synapse.policies import Policies, kind_of
from synapse.protocol import MONITOR, ROSTER, About, Serializer
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
        The rules, of all handlers and of some.
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
    resume_bytes
        How much (bytes) the kept streams of all agents may take; then the oldest stream gives up its oldest messages.
    max_message
        The largest message that is read, in bytes. A larger one is answered with an error.
    node
        This node's name in events.
    watch_with_keys
        Whether a grant that is not trusted, a mere API key's, opens ``cortex:monitor``, too.
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
        resume_bytes: int = 64 * 2**20,
        max_message: int = 2**20,
        node: str = "local",
        watch_with_keys: bool = False,
    ) -> None:
        self.clock = clock
        self.epoch = epoch
        self.node = node
        self.authorizer = authorizer or OpenDoor()
        self.handlers = handlers or HandlerAccess({"*": ["echo"]})
        self.bus = events.Bus()
        pubsub = LocalPubSub() if pubsub is None else pubsub  # "is None": an empty table is falsy
        if presence is None:
            # The time of its start tells this life of the node from the one before: a client that outlives a restart
            # would take a meta with a `phx_ref` that it has seen for the old one.
            life = f"{node} {epoch + clock.time()!r}"
            presence = LocalPresence(pubsub, clock.call_later, life, self._presence_changed)
        routes: dict[str, type[Channel]] = {
            "cortex:*": CortexChannel,
            ROSTER: RosterChannel,
            MONITOR: MonitorChannel,
            **(channels or {}),
        }
        policies = policies or Policies()
        self.endpoint = Endpoint(clock, routes, pubsub, presence, policies.connections.channels, max_message)
        self.admission = Admission(clock, policies.connections)
        self.presence = AgentPresence(presence)
        self.connections = ConnectionManager()
        self.router = MessageRouter(pubsub)
        self.schedulers = Schedulers(clock, runner, self, policies, self.bus, node)
        self.interrupts = InterruptManager(self.schedulers.interrupt)
        self.sockets: dict[int, CortexSocket] = {}
        self.slow: set[CortexSocket] = set()  # those that writers should wait for
        self.absences = Absences(clock, linger, grace, self.interrupts, resume_bytes)
        self.monitor = Monitor(self)
        self.watch_with_keys = watch_with_keys
        self.tape: Tape | None = None  # only while somebody watches
        self.load = LoadGauge(clock, self.presence, self._load_of)
        self._key_limits: dict[str, GrantLimit] = {}
        self._held: dict[str, list[Callable[[], object]]] = {}
        self._numbers = count(1)

    def __repr__(self) -> str:
        agents, connections = self.connections.count(), len(self.sockets)
        return f"<Cortex {self.node}: {agents} agents, {connections} connections, {self.schedulers!r}>"

    # What the driver calls

    def connect(self, serializer: Serializer, transport: Transport, identity: Any = None) -> CortexSocket:
        """Take a new connection. The driver feeds the returned socket."""
        number = next(self._numbers)
        socket = CortexSocket(self, number, serializer, transport, identity)
        self.sockets[number] = socket
        self.admission.enter()
        if self.bus.listeners:
            self.bus.emit(events.Connected(self.clock.time(), self.node, number))
        return socket

    def replace(self, policies: Policies) -> None:
        """Go on under other rules; nothing in flight is lost. A new mailbox policy is for new connections."""
        self.schedulers.replace(policies)
        self.admission.replace(policies.connections)
        self.endpoint.max_channels = policies.connections.channels

    @property
    def policies(self) -> Policies:
        """The rules in force."""
        return self.schedulers.policies

    def revoke(self, key: str) -> int:
        """A key opens no door any more: close the connections that came in by it. Returns how many."""
        self._key_limits.pop(key, None)
        doomed = [socket for socket in self.sockets.values() if key in socket.keys]
        for socket in doomed:
            socket.close(POLICY_VIOLATION, "key revoked")
        return len(doomed)

    def drain(self) -> None:
        """Accept no more queries; those accepted go on."""
        self.schedulers.drain()

    def shut_down(self, code: int, reason: str = "") -> None:
        """End all queries, tell their agents, and close every connection."""
        self.drain()
        self.schedulers.interrupt_all("shutting_down")
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

    def limit_of(self, grant: Grant) -> GrantLimit | None:
        """The state of a key's own rate limit, which all its bearers share and no new connection begins afresh."""
        if grant.rate_limit is None:
            return None
        known = self._key_limits.get(grant.key)
        if known is None or known.policy != grant.rate_limit:
            known = self._key_limits[grant.key] = GrantLimit(grant, self.clock.time(), known)
        return known

    def submit(self, job: Job) -> Refusal | None:
        """Ask for a query to be answered. None means accepted.

        Raises
        ------
        ValueError
            If the agent has an unfinished query of that ref.
        """
        self.interrupts.register(job)
        refusal = self.schedulers.submit(job)
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
        if self.sockets.pop(socket.id, None) is None:
            return
        self.admission.release()
        if self.bus.listeners:
            self.bus.emit(events.Disconnected(self.clock.time(), self.node, socket.id, reason))

    def refused(
        self, topic: str, socket: CortexSocket, reason: str, policy: str = "", retry_after: float | None = None
    ) -> None:
        """A join was refused: one line in the audit log."""
        rule = f" policy={policy!r}" if policy else ""
        audit.warning(
            "join refused: topic=%r connection=%d identity=%r reason=%r%s",
            topic, socket.id, socket.identity, reason, rule,
        )  # fmt: skip
        self.emit_refused("join", topic, reason, policy, retry_after)

    def emit_refused(
        self, what: str, topic: str, reason: str, policy: str = "", retry_after: float | None = None
    ) -> None:
        """A ``connection``, a ``join`` or a ``message`` was refused."""
        if self.bus.listeners:
            self.bus.emit(events.Refused(self.clock.time(), self.node, what, topic, reason, policy, retry_after))

    def emit_dropped(self, socket: CortexSocket, messages: int, size: int) -> None:
        """A slow reader has lost messages, by its own mailbox's policy, which may not be today's."""
        if self.bus.listeners:
            kind = kind_of(type(socket.mailbox_policy))
            self.bus.emit(events.Dropped(self.clock.time(), self.node, socket.id, messages, size, kind))

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
            message = self.router.broadcast_thought(job.agent, job.ref, thought, self.unix_ms())
        else:
            seq = job.thoughts + 1
            message = self.router.broadcast_thought(job.agent, job.ref, thought, self.unix_ms(), seq)
            buffer.thought(job.ref, seq, message)
        if self.tape is not None:
            self.tape.said(self.clock.time(), job.agent, job.ref, message)

    def ended(self, job: Job, data: Any) -> None:
        """Deliver an ending to its agent."""
        self.interrupts.unregister(job)
        try:
            ending = self._tell_ending(job, data)
        except Exception:
            log.exception("the ending of %r has no JSON form", job)
            job.status, job.reason = "error", "result has no JSON form"
            ending = self._tell_ending(job, {"reason": job.reason})
        if self.tape is not None:
            self.tape.said(self.clock.time(), job.agent, job.ref, ending)
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
        """How much of a limit an agent's unfinished queries take up, where they take up most."""
        unfinished = Counter(job.scheduler for job in self.interrupts.of_agent(agent))
        return max((count / scheduler.limit for scheduler, count in unfinished.items()), default=0.0)

    def _presence_changed(self, topic: str, joins: int, leaves: int) -> None:
        if self.bus.listeners:
            self.bus.emit(events.PresenceChanged(self.clock.time(), self.node, topic, joins, leaves))
