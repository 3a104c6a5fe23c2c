"""The HTTP side: the upgrade inside Jupyter Server, and the REST API under ``/cortex/api``.

Thin handlers: each says who may call it and turns the cortex's state into a typed answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from hmac import compare_digest
from inspect import isawaitable
from typing import Annotated, Any, TypeVar, cast

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from msgspec import Meta
from tornado.web import HTTPError, authenticated

from synapse._version import __version__
from synapse.cortex import State
from synapse.policies import Policies, PolicyError
from synapse.protocol import LONGEST_AGENT_ID, encode_json
from synapse.server.auth import BadToken, Identity
from synapse.server.handshake import bearer_token, open_websocket, refuse
from synapse.server.service import Service
from synapse.server.tokens import DAY, Bearer

RESOURCE = "synapse"
T = TypeVar("T")


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

        A page of a foreign origin may not use the cookie of who looks at it; a stranger has none to use. A
        token of ours narrows even a Jupyter user down to what it says; a token of nobody's is refused.
        """
        known = self.current_user is not None
        token = bearer_token(self)
        if token is None:
            token = self._query_token()
        bearer = None if token is None else self.service.tokens.read(token)
        if (known and not self.check_origin()) or (token is not None and bearer is None):
            refuse(self, 403)
            return
        if bearer is not None:
            await open_websocket(self, self.service, bearer)
        else:
            await open_websocket(self, self.service, await self._identity() if known else self._header_token())

    def set_default_headers(self) -> None:
        """None: an answer of the WebSocket has no page's headers, and they take time to make."""

    def _query_token(self) -> str | None:
        """The token in the address, unless it is Jupyter's own, by which the user was recognised."""
        token = self.get_query_argument("token", None)
        ours = token is not None and not compare_digest(token.encode(), (self.token or "").encode())
        return token if ours else None

    def _header_token(self) -> Bearer | BadToken | None:
        """A token of ours in the header where Jupyter's go, too. Of one that is nobody's only a join hears."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        return self.service.tokens.read(token.strip()) or BadToken()

    def check_xsrf_cookie(self) -> None:
        """Nothing to check: only an upgrade does anything here, and no form can ask for one."""

    @allow_unauthenticated
    async def _no_upgrade(self) -> None:
        refuse(self, 400)

    head = post = put = patch = delete = options = _no_upgrade

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


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker. `connection` is its connection's number; `running` of its `concurrency` places are taken."""

    worker: str
    connection: int
    running: int
    concurrency: int


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token is asked for: an agent or a pattern of agents, and for how many seconds."""

    agent: Annotated[str, Meta(min_length=1, max_length=LONGEST_AGENT_ID)]
    max_age: Annotated[float, Meta(gt=0, le=365 * DAY)] = DAY


class TokenAnswer(msgspec.Struct, frozen=True):
    """A token. `expires_at` is Unix time in s."""

    token: str
    agent: str
    expires_at: float


class CortexAPIHandler(APIHandler):
    """What the API's handlers share."""

    auth_resource = RESOURCE

    def initialize(self, service: Service) -> None:
        self.service = service

    def answer(self, value: Any) -> None:
        """Finish with a JSON value."""
        self.finish(encode_json(value))

    def read(self, kind: type[T]) -> T:
        """The request's body.

        Raises
        ------
        HTTPError
            400, with a message that names the field.
        """
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HTTPError(400, f"bad request: {error}") from None


class HealthHandler(CortexAPIHandler):
    """``GET /cortex/api/health``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """How the cortex is."""
        cortex = self.service.cortex
        schedulers = cortex.schedulers
        self.answer(
            Health(
                self.service.metrics.health,
                __version__,
                round(cortex.unix_time() - self.service.started_at, 3),
                cortex.connections.count(),
                len(cortex.sockets),
                schedulers.running,
                schedulers.waiting,
            )
        )


class MetricsHandler(CortexAPIHandler):
    """``GET /cortex/api/metrics``"""

    _track_activity = False  # or scrapes would keep an idle server from its shutdown

    @authenticated
    @authorized
    def get(self) -> None:
        """All metrics, in Prometheus' text format."""
        text, content_type = self.service.metrics.exposition()
        self.finish(text, set_content_type=content_type)


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
            metas = cortex.presence.get(agent) or {"metas": []}
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


class WorkersHandler(CortexAPIHandler):
    """``GET /cortex/api/workers``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """All workers, and how many queries wait for those of each name."""
        pool = self.service.workers
        crews = pool.workers()
        self.answer(
            {
                "workers": [
                    WorkerInfo(name, int(seat.name), len(seat.jobs), seat.concurrency)
                    for name, seats in crews.items()
                    for seat in seats
                ],
                "waiting": {name: pool.waiting(name) for name in crews},
            }
        )


class AgentHandler(CortexAPIHandler):
    """``DELETE /cortex/api/agents/<id>``"""

    @authenticated
    @authorized
    def delete(self, agent: str) -> None:
        """Disconnect every connection of an agent."""
        if not self.service.cortex.connections.disconnect(agent):
            raise HTTPError(404, f"no such agent is connected: {agent}")
        self.set_status(204)
        self.finish()


class TokensHandler(CortexAPIHandler):
    """``POST /cortex/api/tokens``"""

    @authenticated
    @authorized
    def post(self) -> None:
        """Issue a token."""
        request = self.read(TokenRequest)
        token, bearer = self.service.tokens.issue(request.agent, self.current_user.username, request.max_age)
        self.set_status(201)
        self.answer(TokenAnswer(token, bearer.agent, bearer.expires_at))


class PoliciesHandler(CortexAPIHandler):
    """``GET`` and ``PUT /cortex/api/policies``"""

    @authenticated
    @authorized
    def get(self) -> None:
        """The rules in force."""
        self.answer(self.service.cortex.policies.encode())

    @authenticated
    @authorized
    def put(self) -> None:
        """Replace the rules; parts that are absent stay as they are."""
        parts = self.read(dict[str, Any])
        current = self.service.cortex.policies.encode()
        try:
            policies = Policies.decode({**current, **parts})
            self.service.replace(policies)
        except PolicyError as error:
            raise HTTPError(400, f"bad policies: {error}") from None
        self.log.info("policies replaced by %s: %s", self.current_user.username, parts)
        self.answer(policies.encode())


def routes(service: Service) -> list[tuple[str, type[JupyterHandler], dict[str, Any]]]:
    """The extension's URL patterns; Jupyter puts its base_url before them."""
    options = {"service": service}
    return [
        (r"/cortex/websocket/?", JupyterWebSocketHandler, options),
        (r"/cortex/api/health", HealthHandler, options),
        (r"/cortex/api/metrics", MetricsHandler, options),
        (r"/cortex/api/agents", AgentsHandler, options),
        (r"/cortex/api/agents/([^/]+)", AgentHandler, options),
        (r"/cortex/api/workers", WorkersHandler, options),
        (r"/cortex/api/tokens", TokensHandler, options),
        (r"/cortex/api/queries", QueriesHandler, options),
        (r"/cortex/api/policies", PoliciesHandler, options),
    ]
