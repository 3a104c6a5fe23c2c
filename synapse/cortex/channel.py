"""The channels of the cortex: an agent's own, and the roster of all agents.

`CortexChannel` validates what an agent sends and hands it on; it holds no query. An agent's stream comes
back through PubSub, to every connection of that agent.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, cast

from synapse.channels import Channel, MessageRef, Reply, Stop, error, ok
from synapse.cortex.access import Denial, Grant
from synapse.cortex.admission import Seat
from synapse.cortex.connections import Connection
from synapse.cortex.job import Job
from synapse.cortex.replay import Missed
from synapse.cortex.scheduler import Refusal
from synapse.protocol import (
    LONGEST_AGENT_ID,
    RESERVED_AGENTS,
    Interrupt,
    InvalidMessage,
    Join,
    Pong,
    Query,
    Status,
    is_agent_id,
    parse,
)

if TYPE_CHECKING:
    from synapse.cortex.cortex import Cortex
    from synapse.cortex.socket import CortexSocket


class AuthorizedChannel(Channel):
    """A channel of the cortex: its join needs a grant."""

    grant: Grant
    _seat: Seat | None = None  # from the join on that counts

    @property
    def connection(self) -> CortexSocket:
        """The connection, by its own type."""
        return cast("CortexSocket", self.socket)

    @property
    def cortex(self) -> Cortex:
        """The cortex this channel belongs to."""
        return self.connection.cortex

    @property
    def agent(self) -> str:
        """What follows ``cortex:`` in the topic."""
        return self.topic.partition(":")[2]

    def join(self, payload: Any) -> Reply:
        answer = self._decide(payload)
        if isinstance(answer, Denial):
            self.cortex.refused(self.topic, self.connection, answer.reason)
            return error(answer.reason)
        self.grant = answer
        refusal = self.cortex.admission.may_join(self._seat_wanted())
        if refusal is not None:
            self.cortex.refused(self.topic, self.connection, refusal.reason, refusal.policy, refusal.retry_after)
            return _refused(refusal)
        return ok()

    def _decide(self, payload: Any) -> Grant | Denial:
        """Whether the door opens: that of an agent, unless a subclass says otherwise."""
        return self.cortex.authorizer.authorize(self.agent, payload, self.connection.identity)

    def joined(self) -> None:
        self._seat = self._seat_wanted()
        self.cortex.admission.join(self._seat)

    def terminate(self, reason: str) -> None:  # noqa: ARG002
        if self._seat is not None:
            self.cortex.admission.leave(self._seat)
            self._seat = None

    def _seat_wanted(self) -> Seat:
        """Whose seat a join would take: that of an onlooker, unless a subclass says otherwise."""
        return Seat(self.connection, self.grant.key, None)


class CortexChannel(AuthorizedChannel):
    """``cortex:<agent_id>``: one connection of one agent."""

    _missed: Missed | None = None  # between a resuming join and its end

    def join(self, payload: Any) -> Reply:
        if complaint := _bad_agent_id(self.agent):
            return error(complaint, field="topic")
        reply = super().join(payload)
        if reply.status != "ok":
            return reply
        try:
            return ok({"agent_id": self.agent, **self._resume(payload)})
        except InvalidMessage as problem:
            return invalid(problem)

    def _resume(self, payload: Any) -> dict[str, Any]:
        """What the join's reply says of resuming: nothing to those who have not asked."""
        if not isinstance(payload, dict) or payload.get("resume") is None:
            return {}
        seen = parse(Join, payload).resume or {}
        buffer = self.cortex.absences.buffers.get(self.agent)
        now = self.cortex.clock.time()
        missed = Missed([], list(seen), {}, kept=False) if buffer is None else buffer.missed(seen, now)
        self._missed = missed
        unknown, gaps = [], dict(missed.gaps)
        for ref in missed.unknown:
            job = self.cortex.interrupts.find(self.agent, ref)
            if job is None:
                unknown.append(ref)
            elif job.thoughts > seen[ref]:  # it lives, and what it thought so far was not kept
                gaps[ref] = job.thoughts + 1
        return {"resume": {"kept": missed.kept, "unknown": unknown, "gaps": gaps}}

    def _seat_wanted(self) -> Seat:
        return Seat(self.connection, self.grant.key, self.agent)

    def joined(self) -> None:
        super().joined()
        cortex = self.cortex
        now = cortex.unix_time()
        cortex.arrived(self, Connection(self.connection.id, self.agent, self.grant.key, now))
        if self._missed is not None:
            self.cortex.absences.keep_stream(self.agent)  # only now: the join might have come to nothing
            for message in self._missed.messages:
                self.handle_info(message)
            self._missed = None
        self.appear(now)

    def appear(self, now: float) -> None:
        """Be present, and learn who else is. `now` is Unix time in s."""
        self.cortex.presence.track(self.agent, self, now)
        self.push("presence_state", self.socket.endpoint.presence.list(self.topic))

    def terminate(self, reason: str) -> None:
        super().terminate(reason)
        self.cortex.presence.untrack(self.agent, self)
        self.cortex.departed(self, reason)

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        tape = self.cortex.tape
        if tape is None:
            return self._answer(event, payload, ref)
        here = (self.cortex.clock.time(), self.agent)
        address = (self.connection.id, self.join_ref, ref.ref, self.topic)
        tape.heard(*here, *address, event, payload)
        answer = self._answer(event, payload, ref)
        if event == "query" and isinstance(answer, Reply) and isinstance(payload, dict):
            tape.replied(*here, str(payload.get("ref")), *address, answer)
        return answer

    def _answer(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        try:
            match event:
                case "query":
                    return self._query(payload)
                case "interrupt":
                    self._interrupt(payload, ref)
                    return None
                case "ping":
                    return self._ping()
                case "status":
                    return self._status(payload)
                case "about":
                    return ok(self.cortex.about(self.agent, self.grant))
        except InvalidMessage as problem:
            return invalid(problem)
        return super().handle_in(event, payload, ref)

    def _query(self, payload: Any) -> Reply:
        query = parse(Query, payload)
        handler = self.cortex.handlers.choose(self.agent, self.grant, query.handler or None)
        if handler is None:
            return self._no_handler(query.handler)
        if self.cortex.interrupts.find(self.agent, query.ref) is not None:
            return error(f"ref already in use: {query.ref}", field="ref")
        job = Job(
            self.agent,
            query.ref,
            handler=handler,
            priority=query.priority,
            timeout=None if query.timeout is None else query.timeout / 1000,
            attempt=query.attempt,
            body=payload,
            connection=self.connection.id,
            key=self.grant.key,
            limit=self.cortex.limit_of(self.grant),
        )
        refusal = self.cortex.submit(job)
        if refusal is not None:
            return _refused(refusal)
        self.socket.expect_more()  # the first thoughts
        return ok({"ref": query.ref, "status": "processing"})

    def _no_handler(self, asked: str | None) -> Reply:
        allowed = self.cortex.handlers.of(self.agent, self.grant)
        if not allowed:
            reason = "no handler is open to this agent"
        elif asked is None:
            reason = "handler required: there is none by default"
        else:
            reason = f"handler not available: {asked}"
        return error(reason, field="handler", handlers=list(allowed))

    def _interrupt(self, payload: Any, ref: MessageRef) -> None:
        message = parse(Interrupt, payload)
        self.reply(ref, ok())  # before the ending that it brings about
        self.cortex.interrupts.signal(self.agent, message.ref, message.reason)

    def _ping(self) -> Reply:
        self.socket.endpoint.presence.flush()  # so that a ping's answer also says: this is all the news so far
        timestamp = self.cortex.unix_ms()
        self.push("pong", Pong(timestamp))
        return ok({"pong": timestamp})

    def _status(self, payload: Any) -> Reply:
        message = parse(Status, payload)
        changes = {name: value for name in ("status", "load") if (value := getattr(message, name)) is not None}
        if changes:
            self.cortex.presence.update(self.agent, self, changes)
        return ok()


class RosterChannel(AuthorizedChannel):
    """``cortex:presence``: who is here, of all agents. Read-only; a member does not itself appear."""

    def joined(self) -> None:
        super().joined()
        self.push("presence_state", self.cortex.presence.list())


def _bad_agent_id(agent: str) -> str | None:
    if agent in RESERVED_AGENTS:
        return f"reserved topic: cortex:{agent}"
    if not is_agent_id(agent):
        return f"invalid agent_id: 1 to {LONGEST_AGENT_ID} printable characters"
    return None


def invalid(problem: InvalidMessage) -> Reply:
    """The refusal of a payload that makes no sense."""
    return error(problem.reason, **({} if problem.field is None else {"field": problem.field}))


def _refused(refusal: Refusal) -> Reply:
    more: dict[str, Any] = {"policy": refusal.policy}
    if refusal.retry_after is not None:
        more["retry_after_ms"] = max(1, ceil(refusal.retry_after * 1000))  # or who comes then comes too early
    return error(refusal.reason, **more)
