"""A service: one cortex on an asyncio loop, with its handlers, from start to stop.

What the Jupyter extension and the embedded server have in common.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from websockets.protocol import State
from websockets.server import ServerProtocol

from synapse.channels import Channel
from synapse.cortex import Authorizer, Cortex, HandlerAccess
from synapse.handlers import (
    Dispatch,
    HandlerRegistry,
    HandlerRunner,
    HandlerUnavailable,
    UnknownHandler,
    WorkerPool,
    channel_of,
)
from synapse.policies import Policies
from synapse.protocol import WORKER, Serializer
from synapse.server.auth import Identity
from synapse.server.carriers import Vigil
from synapse.server.metrics import Metrics
from synapse.server.tokens import Bearer, Tokens
from synapse.server.websocket import CLOSE_TIMEOUT, WebSocket
from synapse.telemetry import Event, Finished

log = logging.getLogger(__name__)

SERVICE_RESTART = 1012  # the close code of a graceful stop, as Phoenix's


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a service can be told.

    Parameters
    ----------
    idle_timeout
        Seconds without a byte from a client after which it is disconnected.
    max_message_bytes
        The largest message a client may send.
    compression
        Whether permessage-deflate is offered, always without context takeover.
    linger
        Seconds that the queries of an agent without a connection go on.
    resume_grace
        Seconds that its stream is kept, for it to come back and resume.
    busy_poll
        Seconds to look out for more after each message before the process sleeps.
    stop_grace
        Seconds that running queries have to end on their own when the service stops.
    """

    idle_timeout: Annotated[float, Meta(gt=0)] = 45.0
    max_message_bytes: Annotated[int, Meta(ge=1024)] = 2**20
    compression: bool = False
    linger: Annotated[float, Meta(ge=0)] = 30.0
    resume_grace: Annotated[float, Meta(ge=0)] = 30.0
    busy_poll: Annotated[float, Meta(ge=0, le=0.01)] = 0.0001
    stop_grace: Annotated[float, Meta(ge=0)] = 3.0


class Service:
    """One node, running.

    Parameters
    ----------
    handlers
        Agent patterns to the names of the handlers they may use.
    trusted_handlers
        Handlers that a mere API key does not open.
    handler_options
        Keyword arguments of handlers that are classes, by name; those of ``worker`` are for the `WorkerPool`.
    authorizer
        Decides on joins.
    secret
        What tokens are signed with; one of this process alone when absent.
    policies, settings
        The rules, and the rest.
    channels
        More topic patterns and their channel classes.
    node
        This node's name in events.
    loop
        The event loop that it will run on; the running one when absent.

    Raises
    ------
    synapse.handlers.UnknownHandler
        If `handlers` names one that no one provides.
    synapse.handlers.HandlerUnavailable
        If the options for workers make no sense.
    """

    def __init__(
        self,
        *,
        handlers: Mapping[str, list[str]],
        trusted_handlers: list[str],
        handler_options: Mapping[str, Mapping[str, Any]] | None = None,
        authorizer: Authorizer,
        secret: bytes | None = None,
        policies: Policies | None = None,
        settings: Settings | None = None,
        channels: Mapping[str, type[Channel]] | None = None,
        node: str = "local",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        loop = loop or asyncio.get_running_loop()
        self.settings = settings or Settings()
        self.tokens = Tokens(secret or secrets.token_bytes(32))
        self.stopping = False
        self.started_at = time.time()
        names = {name for allowed in handlers.values() for name in allowed if not name.startswith(WORKER)}
        options = dict(handler_options or {})
        of_workers = options.pop("worker", {})
        registry = HandlerRegistry.discover(sorted(names), options)
        for name in trusted_handlers:  # a misspelt one would open what it was meant to guard
            if name not in registry and not name.startswith(WORKER):
                raise UnknownHandler(name, list(registry))
        self.runner = HandlerRunner(registry)
        self.workers = _pool(loop, of_workers)
        self._names = names
        self.cortex = Cortex(
            loop,
            Dispatch(self.runner, self.workers),
            epoch=self.started_at - loop.time(),
            policies=policies,
            authorizer=authorizer,
            handlers=HandlerAccess(handlers, trusted_handlers),
            channels={f"{WORKER}*": channel_of(self.workers, self.settings.max_message_bytes), **(channels or {})},
            linger=self.settings.linger,
            grace=self.settings.resume_grace,
            node=node,
        )
        self.runner.bind(self.cortex.scheduler, self.cortex)
        self.workers.bind(self.cortex.scheduler, self.cortex)
        self.metrics = Metrics(self.cortex)
        self.loop = loop
        self.vigil = Vigil(loop, self.settings.busy_poll)
        self._open: set[WebSocket] = set()
        self._all_lost = asyncio.Event()

    def load_handlers(self) -> None:
        """Import and make the handlers that agents may use: a bad one is known at the start, no import stalls the loop.

        Raises
        ------
        synapse.handlers.HandlerUnavailable
            If one cannot be imported or made.
        """
        for name in sorted(self._names):
            self.runner.registry.get(name)

    def connect(self, agreed: ServerProtocol, serializer: Serializer, identity: Identity | Bearer | None) -> WebSocket:
        """Make the WebSocket of a connection whose handshake has agreed on extensions; a carrier feeds it."""
        protocol = ServerProtocol(state=State.OPEN, max_size=self.settings.max_message_bytes)
        protocol.extensions = agreed.extensions
        websocket = WebSocket(protocol, self.loop, self.settings.idle_timeout, self._lost)
        websocket.socket = self.cortex.connect(serializer, websocket, identity)
        self._open.add(websocket)
        self._all_lost.clear()
        return websocket

    async def stop(self) -> None:
        """Let running queries end, end the others, close every connection, and leave nothing behind."""
        if self.stopping:
            return
        self.stopping = True
        self.metrics.close()
        self.cortex.drain()
        if len(self.cortex.interrupts) and self.settings.stop_grace:
            await self._queries_end(self.settings.stop_grace)
        self.cortex.shut_down(SERVICE_RESTART, "service restart")
        if self._open:
            await _within(self._all_lost, CLOSE_TIMEOUT + 1)
        await self.runner.close()

    async def _queries_end(self, seconds: float) -> None:
        """Wait until no accepted query is left, for so long at most."""
        ended = asyncio.Event()

        def check(event: Event) -> None:
            if isinstance(event, Finished) and not len(self.cortex.interrupts):
                ended.set()

        stop_listening = self.cortex.bus.listen(check)
        try:
            await _within(ended, seconds)
        finally:
            stop_listening()

    def _lost(self, websocket: WebSocket) -> None:
        self._open.discard(websocket)
        if not self._open:
            self._all_lost.set()


def _pool(loop: asyncio.AbstractEventLoop, options: Mapping[str, Any]) -> WorkerPool:
    try:
        return WorkerPool(loop, random.random, **options)
    except (TypeError, ValueError) as error:  # a PolicyError is one
        raise HandlerUnavailable(f"worker: {error}") from error


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        log.warning("gave up waiting after %g s", seconds)
