"""A channel to measure with, mounted by configuration: it passes what it hears on to all members."""

from __future__ import annotations

from typing import Any

from synapse.channels import Channel, MessageRef, Reply, Stop


class ShoutChannel(Channel):
    """Broadcasts every ``shout``; no reply."""

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        if event == "shout":
            self.broadcast("shout", payload)
            return None
        return super().handle_in(event, payload, ref)
