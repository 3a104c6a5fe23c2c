"""``worker:<name>``: one worker's place on the server."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from synapse.channels import MessageRef, Reply, Stop, error, ok
from synapse.cortex import AuthorizedChannel, CortexChannel, Denial, Grant
from synapse.cortex.channel import invalid
from synapse.handlers.worker.pool import Seat, WorkerPool
from synapse.protocol import WORKER, InvalidMessage, parse
from synapse.protocol.work import Done, Thoughts, WorkerJoin, WorkerJoined

log = logging.getLogger("synapse.handlers")

LONGEST_NAME = 255


class WorkerChannel(AuthorizedChannel):
    """One worker, see `synapse.handlers.worker.pool`.

    Attributes
    ----------
    pool : WorkerPool
        Where it takes its seat. Said by the class, as sockets make channels: see `channel_of`.
    max_bytes : int
        The largest message that the server reads.
    """

    pool: ClassVar[WorkerPool]
    max_bytes: ClassVar[int]

    _worker: Seat

    @property
    def name(self) -> str:
        """Under which name it works."""
        return self.topic.removeprefix(WORKER)

    def join(self, payload: Any) -> Reply:
        if not 1 <= len(self.name) <= LONGEST_NAME or not self.name.isprintable() or "*" in self.name:
            reason = f"invalid worker name: 1 to {LONGEST_NAME} printable characters without a star"
            return error(reason, field="topic")
        reply = super().join(payload)
        if reply.status != "ok":
            return reply
        try:
            concurrency = parse(WorkerJoin, payload).concurrency
        except InvalidMessage as problem:
            return invalid(problem)
        self._worker = Seat(self.name, f"{self.connection.id}", self, concurrency)
        self._held: set[str] = set()  # jobs whose thoughts wait for their reader
        return ok(WorkerJoined(self.max_bytes))

    def _decide(self, payload: Any) -> Grant | Denial:
        return self.cortex.authorizer.authorize_worker(self.name, payload, self.connection.identity)

    def joined(self) -> None:
        super().joined()
        log.info("worker %r is here: connection %d, %s", self.name, self.connection.id, self.grant.key)
        self._show()
        self.pool.arrived(self._worker)

    def terminate(self, reason: str) -> None:
        log.info("worker %r has gone: connection %d, %s", self.name, self.connection.id, reason)
        super().terminate(reason)
        self._show()
        self.pool.left(self._worker)

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        try:
            match event:
                case "thoughts":
                    return self._thoughts(parse(Thoughts, payload), ref)
                case "done":
                    return self._done(parse(Done, payload).check())
        except InvalidMessage as problem:
            return invalid(problem)
        return super().handle_in(event, payload, ref)

    def _thoughts(self, message: Thoughts, ref: MessageRef) -> Reply | None:
        job = message.job
        if job in self._held:
            return error("too early: wait for the reply to the thoughts before", field="thoughts")

        def taken() -> None:
            self._held.discard(job)
            self.reply(ref, ok())

        self._held.add(job)
        if self.pool.think(self._worker, job, message.thoughts, taken):
            return None
        self._held.discard(job)
        return error(f"no one listens: {job}", field="job")

    def _done(self, message: Done) -> Reply:
        self._held.discard(message.job)
        return ok() if self.pool.done(self._worker, message) else error(f"no such job: {message.job}", field="job")

    def _show(self) -> None:
        """Say in the presence of the agents of this connection what they serve."""
        channels = self.socket.channels.values()
        serves = sorted(channel.name for channel in channels if isinstance(channel, WorkerChannel))
        for channel in channels:
            if isinstance(channel, CortexChannel):
                self.cortex.presence.update(channel.agent, channel, {"serves": serves})


def channel_of(pool: WorkerPool, max_bytes: int) -> type[WorkerChannel]:
    """The channel class of a pool's workers, to be mounted at ``worker:*``."""
    return type("WorkerChannel", (WorkerChannel,), {"pool": pool, "max_bytes": max_bytes})
