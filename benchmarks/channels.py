"""Channels to measure with, mounted by configuration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, cast

from synapse.channels import Channel, MessageRef, Reply, Stop, ok
from synapse.cortex import CortexSocket
from synapse.telemetry import events


class ShoutChannel(Channel):
    """Broadcasts every ``shout``; no reply."""

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        if event == "shout":
            self.broadcast("shout", payload)
            return None
        return super().handle_in(event, payload, ref)


class StormChannel(Channel):
    """On ``storm`` with a `rate` (events/s) and `seconds`, puts the telemetry of made-up queries on the node's bus."""

    AGENTS, EVERY = 40, 0.01  # s
    _until = 0.0

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        clock = self.socket.endpoint.clock
        if event == "storm":
            self._until = clock.time() + payload["seconds"]
            self._rate, self._begun, self._sent = payload["rate"], clock.time(), 0
            self._stories = self._stories_of(f"{payload['rate']}-")
            self._blow()
            return ok()
        if event == "calm":
            self._until = 0.0
            return ok()
        return super().handle_in(event, payload, ref)

    def _blow(self) -> None:
        clock = self.socket.endpoint.clock
        now = clock.time()
        if now >= self._until:
            return
        bus = cast("CortexSocket", self.socket).cortex.bus
        due = int((now - self._begun) * self._rate)
        for _ in range(due - self._sent):
            bus.emit(next(self._stories))
        self._sent = due
        clock.call_later(self.EVERY, self._blow)

    def _stories_of(self, prefix: str) -> Iterator[events.Event]:
        """Queries of all agents in turns: submitted, admitted, started, ten thoughts, finished."""
        clock = self.socket.endpoint.clock
        for number in count():
            begun = {}
            for step in range(14):
                for agent in range(self.AGENTS):
                    who, ref, now = f"storm-{agent:02d}", f"{prefix}{number}", clock.time()
                    begun.setdefault(agent, now)
                    yield _step(step, now, who, ref, begun[agent], "error" if (agent + number) % 17 == 0 else "success")


def _step(step: int, now: float, agent: str, ref: str, begun: float, status: str) -> events.Event:
    if step == 0:
        return events.Submitted(now, "bench", agent, ref, 5, "echo")
    if step == 1:
        return events.Admitted(now, "bench", agent, ref, 5)
    if step == 2:
        return events.Started(now, "bench", agent, ref, now - begun)
    if step < 13:
        return events.Thought(now, "bench", agent, ref, step - 2)
    return events.Finished(now, "bench", agent, ref, 5, 1, begun, begun, begun, begun, status, None, 10)
