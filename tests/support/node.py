"""A whole node of the cortex in memory."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, cast

from synapse.channels import Socket, Transport
from synapse.cortex import Cortex
from synapse.protocol import Serializer
from tests.support.peer import Host, Peer
from tests.support.runner import ScriptedRunner

EPOCH = 1_795_414_533.0


class Node(Host):
    """A `Cortex` on a virtual clock.

    Parameters
    ----------
    runner
        The kind of runner.
    options
        The cortex's own.

    Attributes
    ----------
    events : list
        All telemetry so far.
    """

    def __init__(self, runner: type[ScriptedRunner] = ScriptedRunner, **options: Any) -> None:
        super().__init__()
        self.runner = runner(self.clock)
        self.cortex = Cortex(self.clock, self.runner, epoch=EPOCH, **options)
        self.scheduler = self.cortex.schedulers.common
        self.events: list[Any] = []
        self.cortex.bus.listen(self.events.append)

    def connect(self, serializer: Serializer, transport: Transport, identity: Any) -> Socket:
        return self.cortex.connect(serializer, transport, identity)

    def agent(self, name: str, vsn: str | None = "2.0.0") -> AgentPeer:
        """A new connection that has joined as an agent; what came of that is taken."""
        peer = self.peer(vsn)
        assert peer.join(f"cortex:{name}") == {"agent_id": name}
        for one in self.peers:
            one.take()
        return AgentPeer(peer, name)

    def announced(self, *kinds: type) -> list[Any]:
        """The telemetry of these kinds."""
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def timers(self) -> int:
        """Timers that are pending, but for the one look at loads that may be due within a second."""
        return self.clock.pending - self.cortex.load.due

    def leftovers(self) -> dict[str, int]:
        """What is still there of anybody: nothing, when all have gone and nothing was forgotten."""
        cortex, endpoint = self.cortex, self.cortex.endpoint
        tables = {
            "timers": self.timers,
            "streams": len(cortex.absences.buffers),
            "jobs": len(self.runner.running),
            "slots": cortex.schedulers.running,
            "queue": cortex.schedulers.waiting,
            "interrupts": len(cortex.interrupts),
            "agents": cortex.connections.count(),
            "sockets": len(cortex.sockets),
            "places": cortex.admission.held,
            "topics": len(cast("Sized", endpoint.pubsub)),
            "presences": len(cast("Sized", endpoint.presence)),
        }
        return {name: size for name, size in tables.items() if size}


class AgentPeer:
    """A `Peer` that has joined one agent's topic, with that topic left out of every call."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.name = name
        self.topic = f"cortex:{name}"

    def ask(self, event: str, payload: Any = None) -> tuple[str, Any]:
        """Send, and return the status and the response of the reply."""
        return self.peer.ask(self.topic, event, payload)

    def send(self, event: str, payload: Any = None) -> None:
        """Send, and leave all that comes for `heard`."""
        self.peer.send(self.topic, event, payload)

    def query(self, ref: str, **fields: Any) -> None:
        """Ask what must be accepted."""
        assert self.ask("query", {"q": "", "ref": ref, **fields}) == ("ok", {"ref": ref, "status": "processing"})

    def refused(self, ref: str, **fields: Any) -> dict[str, Any]:
        """Ask what must be refused, and return why."""
        status, response = self.ask("query", {"q": "", "ref": ref, **fields})
        assert status == "error"
        return cast("dict[str, Any]", response)

    def interrupt(self, ref: str, **fields: Any) -> None:
        """Interrupt a query."""
        assert self.ask("interrupt", {"ref": ref, **fields}) == ("ok", {})

    def heard(self) -> list[tuple[str, Any]]:
        """What has come since the last time, see `Peer.heard`."""
        return self.peer.heard()

    def disconnect(self) -> None:
        """Be gone, without a word."""
        self.peer.disconnect()
