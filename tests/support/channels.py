"""The channel of the golden transcripts, and the door that knows their key."""

from __future__ import annotations

from typing import Any, ClassVar

from synapse.channels import MessageRef, Reply, Stop, ok
from synapse.cortex import CortexChannel, Denial, Grant

KEY = "test-key"


class KeyDoor:
    """An authorizer that wants one API key, in the words of the specification's server."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:
        key = payload.get("api_key") if isinstance(payload, dict) else None
        if key is None:
            return Denial("api_key required")
        return Grant("the key") if key == self.key else Denial("unauthorized")


class TestChannel(CortexChannel):
    """An agent's channel with the ``test:`` events of ``tests/golden/README.md``.

    Mount it the public way: ``channels={"cortex:golden-*": TestChannel}``. A join payload with
    ``"test:presence": false`` keeps the member out of presence, for crowds.
    """

    __test__: ClassVar[bool] = False  # for pytest: no test case

    def join(self, payload: Any) -> Reply:
        self.appears = not isinstance(payload, dict) or payload.get("test:presence") is not False
        return super().join(payload)

    def appear(self, now: float) -> None:
        if self.appears:
            super().appear(now)

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        match event:
            case "test:echo":
                return ok(payload)
            case "test:push":
                self.push(event, payload)
                return None
            case "test:shout":
                self.broadcast(event, payload)
                return None if isinstance(payload, bytes) else ok()
            case "test:noreply":
                return None
            case "test:crash":
                raise RuntimeError("asked to crash")
            case "test:stop":
                return Stop()
            case "test:stop_reply":
                return Stop(reply=ok({"bye": True}))
            case "test:stop_abnormal":
                return Stop("abnormal")
            case "test:meta":
                self.socket.endpoint.presence.update(self.topic, self.agent, self, payload)
                return ok()
        return super().handle_in(event, payload, ref)
