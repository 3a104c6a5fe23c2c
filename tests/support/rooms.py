"""Channels for clients that no one here wrote."""

from __future__ import annotations

from typing import Any

from synapse.channels import Channel, MessageRef, Reply, Stop, error, ok
from tests.support.channels import TestChannel


class VisitorChannel(TestChannel):
    """An agent's channel with the ``test:`` events, and ``test:disconnect``, which ends the whole connection."""

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        if event == "test:disconnect":
            self.socket.close()
            return None
        return super().handle_in(event, payload, ref)


class RealtimeRoom(Channel):
    """A room as Supabase's clients expect it, on topics ``realtime:*``.

    They broadcast ``{type, event, payload}`` under the event ``broadcast``, appear by ``presence`` with
    ``{event: "track", payload}``, and say in their join payload's ``config`` whether they want replies.
    A room named ``realtime:closed`` lets nobody in. The ``test:`` events are the tests' own.
    """

    def join(self, payload: Any) -> Reply:
        self.config = payload["config"]
        return error("closed") if self.topic == "realtime:closed" else ok()

    def joined(self) -> None:
        self.push("presence_state", self.socket.endpoint.presence.list(self.topic))

    def terminate(self, reason: str) -> None:
        self.socket.endpoint.presence.untrack(self.topic, self.key, self)

    @property
    def key(self) -> str:
        """The presence key: the client's wish, or one of its connection."""
        wish: str = self.config["presence"].get("key", "")
        return wish or f"client-{id(self.socket)}"

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        match event:
            case "broadcast":
                send = self.broadcast if self.config["broadcast"].get("self") else self.broadcast_from
                send(event, payload)
                return ok() if self.config["broadcast"].get("ack") else None
            case "presence":
                return self._presence(payload["event"], payload.get("payload"))
            case "test:crash":
                raise RuntimeError("asked to crash")
            case "test:disconnect":
                self.socket.close()
                return None
        return super().handle_in(event, payload, ref)

    def _presence(self, event: str, meta: Any) -> Reply:
        presence = self.socket.endpoint.presence
        if event == "untrack":
            presence.untrack(self.topic, self.key, self)
        elif presence.update(self.topic, self.key, self, meta) is None:
            presence.track(self.topic, self.key, meta, self)
        return ok()
