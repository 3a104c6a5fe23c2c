"""The HTTP side: the upgrade inside Jupyter Server, and the REST API under ``/cortex/api``.

Thin handlers: each says who may call it and turns the cortex's state into a typed answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any, cast

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado.web import authenticated

from synapse._version import __version__
from synapse.cortex import State
from synapse.protocol import encode_json
from synapse.server.auth import Identity
from synapse.server.handshake import open_websocket, refuse
from synapse.server.service import Service

RESOURCE = "synapse"


class JupyterWebSocketHandler(JupyterHandler):
    """The upgrade: open to strangers, whose joins then need a key, and to Jupyter's own users."""

    auth_resource = RESOURCE

    def initialize(self, service: Service) -> None:
        self.service = service

    async def prepare(self) -> None:  # type: ignore[override]
        """Find out who it is, without sending a stranger to the login page."""
        await cast("Awaitable[None]", super().prepare(_redirect_to_login=False))

    @allow_unauthenticated
    async def get(self) -> None:
        """Answer the upgrade request.

        A page of a foreign origin may not use the cookie of who looks at it; a stranger has none to use.
        """
        known = self.current_user is not None
        if known and not self.check_origin():
            refuse(self, 403)
        elif not known and self.get_query_argument("token", None) is not None:
            refuse(self, 403)  # a token that is not ours
        else:
            await open_websocket(self, self.service, await self._identity())

    async def _identity(self) -> Identity | None:
        user = self.current_user
        if user is None:
            return None
        allowed = self.authorizer.is_authorized(self, user, "execute", RESOURCE)
        if isawaitable(allowed):
            allowed = await allowed
        return Identity(user.username) if allowed else None


class Health(msgspec.Struct, frozen=True):
    """How the cortex is. `uptime` is in s."""

    status: str
    version: str
    uptime: float
    agents: int
    connections: int
    running: int
    waiting: int


class AgentInfo(msgspec.Struct, frozen=True):
    """A connected agent. `online_at` is Unix time in s, of its oldest connection."""

    agent: str
    online_at: float
    connections: int
    queries: int
    metas: list[dict[str, Any]]


class QueryInfo(msgspec.Struct, frozen=True):
    """An unfinished query. `age` is in s since its submission."""

    agent: str
    ref: str
    handler: str
    priority: int
    state: str
    age: float
    thoughts: int


class CortexAPIHandler(APIHandler):
    """What the API's handlers share."""

    auth_resource = RESOURCE

    def initialize(self, service: Service) -> None:
        self.service = service

    def answer(self, value: Any) -> None:
        """Finish with a JSON value."""
        self.finish(encode_json(value))


class HealthHandler(CortexAPIHandler):
    """``GET /cortex/api/health``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """How the cortex is."""
        cortex = self.service.cortex
        scheduler = cortex.scheduler
        self.answer(
            Health(
                "draining" if self.service.stopping else "ready",
                __version__,
                round(cortex.unix_time() - self.service.started_at, 3),
                cortex.connections.count(),
                len(cortex.sockets),
                scheduler.running,
                scheduler.waiting,
            )
        )


class AgentsHandler(CortexAPIHandler):
    """``GET /cortex/api/agents``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """All connected agents."""
        cortex = self.service.cortex
        answer = []
        for agent in cortex.connections.list_active():
            connections = cortex.connections.get(agent)
            metas = cortex.endpoint.presence.get(f"cortex:{agent}", agent) or {"metas": []}
            queries = len(cortex.interrupts.of_agent(agent))
            answer.append(AgentInfo(agent, connections[0].online_at, len(connections), queries, metas["metas"]))
        self.answer({"agents": answer})


class QueriesHandler(CortexAPIHandler):
    """``GET /cortex/api/queries``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """All unfinished queries."""
        cortex = self.service.cortex
        now = cortex.clock.time()
        answer = [
            QueryInfo(
                job.agent,
                job.ref,
                job.handler,
                job.priority,
                "waiting" if job.state is State.WAITING else "running",
                round(now - job.submitted, 6),
                job.thoughts,
            )
            for job in cortex.interrupts
        ]
        self.answer({"queries": answer})


def routes(service: Service) -> list[tuple[str, type[JupyterHandler], dict[str, Any]]]:
    """The extension's URL patterns; Jupyter puts its base_url before them."""
    options = {"service": service}
    return [
        (r"/cortex/websocket/?", JupyterWebSocketHandler, options),
        (r"/cortex/api/health", HealthHandler, options),
        (r"/cortex/api/agents", AgentsHandler, options),
        (r"/cortex/api/queries", QueriesHandler, options),
    ]
