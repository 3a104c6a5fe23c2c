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
from synapse.policies import Policies, PolicyError
from synapse.protocol import WORKER, Serializer
from synapse.server.auth import BadToken, Identity
from synapse.server.carriers import Vigil
from synapse.server.keystore import StoredKeys
from synapse.server.metrics import Metrics
from synapse.server.probe import ServiceProbe
from synapse.server.tokens import Bearer, Tokens
from synapse.server.websocket import CLOSE_TIMEOUT, WebSocket
from synapse.telemetry import Event, Finished

log = logging.getLogger(__name__)

CLOSE_FACTOR = 4
"""Times `Settings.max_message_bytes`: a message so large closes its connection (1009) before it has been received."""

KEYS_EVERY = 1.0  # s between two looks at the file of keys

SERVICE_RESTART = 1012  # the close code of a graceful stop, as Phoenix's


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a service can be told.

    Parameters
    ----------
    idle_timeout
        Seconds without a byte from a client after which it is disconnected.
    max_message_bytes
        The largest message that is read. A larger one is answered with an error, up to `CLOSE_FACTOR` times that;
        beyond, the connection is closed.
    compression
        Whether permessage-deflate is offered, always without context takeover.
    linger
        Seconds that the queries of an agent without a connection go on.
    resume_grace
        Seconds that its stream is kept, for it to come back and resume.
    resume_bytes
        What the kept streams of all agents may take.
    busy_poll
        Seconds to look out for more after each message before the process sleeps.
    stop_grace
        Seconds that running queries have to end on their own when the service stops.
    watch_with_keys
        Whether an API key opens ``cortex:monitor``, too.
    """

    idle_timeout: Annotated[float, Meta(gt=0)] = 45.0
    max_message_bytes: Annotated[int, Meta(ge=1024)] = 2**20
    compression: bool = False
    linger: Annotated[float, Meta(ge=0)] = 30.0
    resume_grace: Annotated[float, Meta(ge=0)] = 30.0
    resume_bytes: Annotated[int, Meta(ge=0)] = 64 * 2**20
    busy_poll: Annotated[float, Meta(ge=0, le=0.01)] = 0.0001
    stop_grace: Annotated[float, Meta(ge=0)] = 3.0
    watch_with_keys: bool = False


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
    stored_keys
        The keys of a file, which is watched: those who came in by one that is revoked are disconnected.
    node
        This node's name in events.
    loop
        The event loop that it will run on; the running one when absent.

    Raises
    ------
    synapse.handlers.UnknownHandler
        If `handlers` names one that no one provides.
    synapse.policies.PolicyError
        If `policies` have rules for such a one.
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
        stored_keys: StoredKeys | None = None,
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
        if policies is not None:
            self._check_handlers(policies)
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
            max_message=self.settings.max_message_bytes,
            resume_bytes=self.settings.resume_bytes,
            node=node,
            watch_with_keys=self.settings.watch_with_keys,
        )
        self.runner.bind(self.cortex)
        self.workers.bind(self.cortex)
        self.metrics = Metrics(self.cortex)
        self.cortex.monitor.probe = ServiceProbe(self.metrics)
        self.loop = loop
        self.vigil = Vigil(loop, self.settings.busy_poll)
        self._open: set[WebSocket] = set()
        self._all_lost = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        if stored_keys is not None:
            self._watch_keys(stored_keys)

    def load_handlers(self) -> None:
        """Import and make the handlers that agents may use: a bad one is known at the start, no import stalls the loop.

        Raises
        ------
        synapse.handlers.HandlerUnavailable
            If one cannot be imported or made.
        """
        for name in sorted(self._names):
            self.runner.registry.get(name)

    def replace(self, policies: Policies) -> None:
        """Go on under other rules; nothing in flight is lost.

        Raises
        ------
        synapse.policies.PolicyError
            If they name a handler that there is not. Nothing has changed then.
        """
        self._check_handlers(policies)
        self.cortex.replace(policies)

    def _check_handlers(self, policies: Policies) -> None:
        for name in policies.handlers:  # a misspelt one would leave without a limit what it was meant for
            if name.startswith(WORKER):
                if "*" in name:
                    raise PolicyError(f"handlers.{name}", "must be one worker's name; there are no rules for patterns")
            elif name not in self.runner.registry:
                known = ", ".join(sorted(self.runner.registry))
                raise PolicyError(f"handlers.{name}", f"is no handler of this server, which has {known}")

    def connect(
        self, agreed: ServerProtocol, serializer: Serializer, identity: Identity | Bearer | BadToken | None
    ) -> WebSocket:
        """Make the WebSocket of a connection whose handshake has agreed on extensions; a carrier feeds it."""
        protocol = ServerProtocol(state=State.OPEN, max_size=CLOSE_FACTOR * self.settings.max_message_bytes)
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
        if self._watch is not None:
            self._watch.cancel()
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

    def _watch_keys(self, keys: StoredKeys) -> None:
        """Disconnect those whose key is no more, now and every second."""
        for name in keys.take_revoked():
            connections = self.cortex.revoke(f"key:{name}")
            log.info("the key %r is no more: %d connections closed", name, connections)
        self._watch = self.loop.call_later(KEYS_EVERY, self._watch_keys, keys)

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
