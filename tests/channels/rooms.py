"""The channel classes of these tests."""

from __future__ import annotations

from typing import Any

from synapse.channels import Channel, Message, MessageRef, Reply, Stop, error, ok
from synapse.policies import Disconnect
from tests.support.hall import Hall


class Room(Channel):
    """Does what the events say. `ends` tells how each channel ended, in order."""

    def join(self, payload: Any) -> Reply:
        match payload:
            case {"refuse": reason}:
                self.subscribe("news")
                return error(reason)
            case {"crash": "join"}:
                self.subscribe("news")
                raise RuntimeError("asked to crash in join")
        self.later: list[MessageRef] = []
        self.payload = payload
        return ok({"topic": self.topic})

    def joined(self) -> None:
        if isinstance(self.payload, dict) and self.payload.get("crash") == "joined":
            raise RuntimeError("asked to crash in joined")

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        match event:
            case "echo":
                return ok(payload)
            case "push":
                self.push(event, payload)
            case "shout":
                self.broadcast(event, payload)
            case "whisper":
                self.broadcast_from(event, payload)
            case "later":
                self.later.append(ref)
            case "crash":
                raise RuntimeError("asked to crash")
            case "stop":
                return Stop(payload.get("reason", "normal"), ok("bye") if payload.get("reply") else None)
            case "unspeakable":
                return ok(object())
            case _:
                return super().handle_in(event, payload, ref)
        return None

    def terminate(self, reason: str) -> None:
        room_of(self).ends.append((self.topic, self.declared_join_ref, reason))


class Subscriber(Room):
    """Also hears the topic ``news``."""

    def joined(self) -> None:
        self.subscribe("news")


class Translator(Room):
    """Intercepts broadcasts."""

    intercept = frozenset({"shout", "secret", "poison"})

    def handle_out(self, event: str, payload: Any) -> None:
        if event == "poison":
            raise RuntimeError("asked to crash in handle_out")
        if event != "secret":
            self.push(event, {"translated": payload})


class Listener(Room):
    """Takes what is no broadcast into its own hands."""

    def handle_info(self, message: Message) -> None:
        self.push("info", {"event": message.event, "payload": message.payload})


class Stubborn(Room):
    """Fails even at its end."""

    def terminate(self, reason: str) -> None:
        raise RuntimeError("asked to crash in terminate")


class Building(Hall):
    """A hall with these rooms; how each channel ended stands in `ends`: topic, join_ref, reason."""

    def __init__(self, mailbox: Disconnect | None = None, **options: Any) -> None:
        routes = {
            "room:*": Room,
            "subscriber:*": Subscriber,
            "translator:*": Translator,
            "listener:*": Listener,
            "stubborn:*": Stubborn,
        }
        super().__init__(routes, mailbox, **options)
        self.ends: list[tuple[str, Any, str]] = []
        self.endpoint.building = self  # type: ignore[attr-defined]


def room_of(channel: Channel) -> Building:
    building: Building = channel.socket.endpoint.building  # type: ignore[attr-defined]
    return building
