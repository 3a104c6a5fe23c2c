"""``cortex:monitor``: an observer's place. Read-only, and for those whom the host itself knows."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synapse.channels import Message, MessageRef, Reply, Stop, error, ok
from synapse.cortex.channel import AuthorizedChannel, invalid
from synapse.protocol import InvalidMessage, parse

MOST_EVENTS = 50_000  # that may wait for an observer to catch up
MOST_BATCHES = 500


class Watch(msgspec.Struct, frozen=True):
    """The payload of an observer's join. `interval_ms` is the time between two batches, in ms."""

    interval_ms: Annotated[int, Meta(ge=16, le=50)] = 33


class Trace(msgspec.Struct, frozen=True):
    """``trace``: the messages of one query, please."""

    agent: str
    ref: str


class MonitorChannel(AuthorizedChannel):
    """One observer."""

    def join(self, payload: Any) -> Reply:
        reply = super().join(payload)
        if reply.status != "ok":
            return reply
        if not (self.grant.trusted or self.cortex.watch_with_keys):
            self.cortex.refused(self.topic, self.connection, "no Jupyter identity")
            return error("unauthorized: the monitor is for Jupyter's users")
        try:
            self._interval = parse(Watch, payload).interval_ms / 1000
        except InvalidMessage as problem:
            return invalid(problem)
        self._backlog: deque[tuple[Message, int]] = deque()
        self._backlog_events = 0
        self._lost = 0
        return ok({"interval_ms": round(self._interval * 1000)})

    def joined(self) -> None:
        super().joined()
        monitor = self.cortex.monitor
        monitor.settle()  # those who share our interval get what was before us
        monitor.watch(self, self._interval)
        self.push("snapshot", monitor.snapshot())

    def terminate(self, reason: str) -> None:
        super().terminate(reason)
        self.cortex.monitor.unwatch(self)

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        match event:
            case "trace":
                return self._trace(payload)
            case "snapshot":
                self._send_snapshot()
                return ok()
        return super().handle_in(event, payload, ref)

    # What the monitor calls

    @property
    def waiting(self) -> bool:
        """Whether batches wait for this observer to catch up."""
        return bool(self._backlog)

    def take(self, message: Message, events: int) -> None:
        """Take a message with so many events in it."""
        if not self._backlog and not self.socket.behind:
            self.deliver(message)
            return
        self._backlog.append((message, events))
        self._backlog_events += events
        while len(self._backlog) > MOST_BATCHES or (self._backlog_events > MOST_EVENTS and len(self._backlog) > 1):
            _, lost = self._backlog.popleft()
            self._backlog_events -= lost
            self._lost += lost

    def catch_up(self) -> None:
        """Send what waits, if that can be; if something was lost, say so, and say how things are."""
        if self.socket.behind:
            return
        backlog, self._backlog, self._backlog_events = self._backlog, deque(), 0
        lost, self._lost = self._lost, 0
        if lost:
            self.push("dropped", {"events": lost})
        for message, _ in backlog:
            self.deliver(message)
        if lost:
            self.push("snapshot", self.cortex.monitor.snapshot())

    def _send_snapshot(self) -> None:
        self.cortex.monitor.settle()
        self.push("snapshot", self.cortex.monitor.snapshot())

    def _trace(self, payload: Any) -> Reply:
        try:
            wanted = parse(Trace, payload)
        except InvalidMessage as problem:
            return invalid(problem)
        tape = self.cortex.tape
        messages = [] if tape is None else tape.of(wanted.agent, wanted.ref)
        complete = bool(messages) and messages[0].event == "query"
        return ok({"agent": wanted.agent, "ref": wanted.ref, "complete": complete, "messages": messages})
