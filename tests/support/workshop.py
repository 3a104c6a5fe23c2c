"""A node in memory whose queries are answered by workers."""

from __future__ import annotations

from typing import Any

from synapse.channels import Socket, Transport
from synapse.cortex import Cortex, HandlerAccess
from synapse.handlers import Dispatch, WorkerPool, channel_of
from synapse.protocol import Frame, Serializer
from tests.support.node import AgentPeer
from tests.support.peer import Host, Peer
from tests.support.runner import ScriptedRunner

MAX_BYTES = 4096


class Workshop(Host):
    """A `Cortex` on a virtual clock, with a `WorkerPool`.

    Parameters
    ----------
    pool
        The pool's own options.
    options
        The cortex's own.
    """

    def __init__(self, pool: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__()
        self.pool = WorkerPool(self.clock, lambda: 0.0, **(pool or {}))
        self.runner = ScriptedRunner(self.clock)
        self.cortex = Cortex(
            self.clock,
            Dispatch(self.runner, self.pool),
            **{
                "handlers": HandlerAccess({"*": ["echo", "worker:*"]}),
                "channels": {"worker:*": channel_of(self.pool, MAX_BYTES)},
                **options,
            },
        )
        self.pool.bind(self.cortex)

    def connect(self, serializer: Serializer, transport: Transport, identity: Any) -> Socket:
        return self.cortex.connect(serializer, transport, identity)

    def agent(self, name: str) -> AgentPeer:
        """A new connection that has joined as an agent."""
        peer = self.peer()
        peer.join(f"cortex:{name}")
        peer.take()
        return AgentPeer(peer, name)

    def worker(self, name: str = "spell", concurrency: int = 1) -> WorkerPeer:
        """A new connection that has joined as a worker."""
        peer = self.peer()
        assert peer.join(f"worker:{name}", {"concurrency": concurrency}) == {"max_bytes": MAX_BYTES}
        return WorkerPeer(peer, name)


class WorkerPeer:
    """A `Peer` that has joined as a worker, with its topic left out of every call."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.topic = f"worker:{name}"

    def given(self) -> list[Frame]:
        """What has come since the last time."""
        return [frame for frame in self.peer.take() if frame.event in ("work", "stop")]

    def work(self) -> str:
        """Take the one query that has come. Returns the number of its job."""
        (frame,) = self.given()
        assert frame.event == "work"
        return str(frame.payload["job"])

    def stopped(self) -> list[tuple[str, str]]:
        """Take what is to be stopped: numbers and reasons."""
        return [(frame.payload["job"], frame.payload["reason"]) for frame in self.given() if frame.event == "stop"]

    def think(self, job: str, *thoughts: Any) -> tuple[str, Any]:
        """Say thoughts. Returns the reply's status and response."""
        return self.peer.ask(self.topic, "thoughts", {"job": job, "thoughts": [*thoughts]})

    def done(self, job: str, data: Any = None, status: str = "success") -> tuple[str, Any]:
        """Say that the work is done. Returns the reply's status and response."""
        return self.peer.ask(self.topic, "done", {"job": job, "status": status, "data": data})
