"""A cortex without a Jupyter Server around it: on a free loopback port, for one process.

What `synapse.connect()` falls back to where no server started this kernel (plain Python, nbval, VS Code).
"""

from __future__ import annotations

import secrets
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from synapse.server.auth import DoorKeeper, KeyRing
from synapse.server.handshake import open_websocket, refuse
from synapse.server.service import Service, Settings


class EmbeddedWebSocketHandler(RequestHandler):
    """The upgrade of an embedded cortex: strangers only, each join needs the key."""

    def initialize(self, service: Service) -> None:
        self.service = service

    async def get(self) -> None:
        """Answer the upgrade request. A browser's page of another origin has no business here."""
        origin = self.request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != self.request.host:
            refuse(self, 403)
            return
        await open_websocket(self, self.service, None)


class EmbeddedServer:
    """A running embedded cortex.

    Attributes
    ----------
    url : str
        Where to connect.
    api_key : str
        What opens its door; made at random for this process, which is trusted with every handler.
    service : Service
        The cortex and its handlers.
    """

    def __init__(self, service: Service, http: HTTPServer, port: int, api_key: str) -> None:
        self.service = service
        self.url = f"ws://127.0.0.1:{port}/cortex/websocket"
        self.api_key = api_key
        self._http = http

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.url}>"

    async def stop(self) -> None:
        """Stop it and leave nothing behind."""
        self._http.stop()
        await self.service.stop()
        await self._http.close_all_connections()


async def start_embedded(**service_options: Any) -> EmbeddedServer:
    """Start an embedded cortex on the running loop.

    Parameters
    ----------
    **service_options
        For `Service`, where its own defaults do not do.
    """
    api_key = secrets.token_urlsafe(24)
    keys = KeyRing()
    keys.add("embedded", api_key, trusted=True)
    options: dict[str, Any] = {
        "settings": Settings(stop_grace=0.0),  # it ends with its process, which has nothing to wait for
        "handlers": {"*": ["echo", "kernel", "worker:*"]},
        "trusted_handlers": ["kernel"],
    }
    service = Service(**{**options, "authorizer": DoorKeeper(keys), "node": "embedded", **service_options})
    http = HTTPServer(Application([(r"/cortex/websocket/?", EmbeddedWebSocketHandler, {"service": service})]))
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    http.add_sockets(sockets)
    return EmbeddedServer(service, http, sockets[0].getsockname()[1], api_key)
