"""Where a server's rules are read and replaced: over its REST API, or at hand, if it runs in this process.

Both run in the IO thread. The rules travel as tables, as they are written in TOML and JSON.
"""

from __future__ import annotations

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from synapse.client.discovery import Target, jupyter_token
from synapse.client.errors import ServerError
from synapse.policies import Policies

if TYPE_CHECKING:
    from synapse.server.embedded import EmbeddedServer

PATIENCE = 10.0  # seconds for an answer

Table: TypeAlias = Mapping[str, Any]


class Rules(Protocol):
    """A server's rules."""

    @property
    def url(self) -> str:
        """Where the server is."""

    async def read(self) -> Table:
        """Those in force."""

    async def replace(self, parts: Table) -> Table:
        """Replace some of them. Returns those in force then."""


class RestRules:
    """Those of another process, which asks who we are: Jupyter's token, of the target or of our parent's file."""

    def __init__(self, target: Target, environ: Mapping[str, str] = os.environ) -> None:
        parts = urlsplit(target.url)
        scheme = parts.scheme.replace("ws", "http", 1)
        self.url = f"{scheme}://{parts.netloc}{parts.path.removesuffix('/websocket')}"
        self._target = target
        self._environ = environ

    async def read(self) -> Table:
        return await self._request("GET")

    async def replace(self, parts: Table) -> Table:
        return await self._request("PUT", msgspec.json.encode(parts))

    async def _request(self, method: str, body: bytes | None = None) -> Table:
        # A thread, as urllib blocks: it asks the same proxies and the same certificates as the socket does.
        return await asyncio.get_running_loop().run_in_executor(None, self._ask, method, body)

    def _ask(self, method: str, body: bytes | None) -> Table:
        request = urllib.request.Request(f"{self.url}/api/policies", body, method=method)  # noqa: S310  http or https
        request.add_header("Content-Type", "application/json")
        if token := jupyter_token(self._target, self._environ):
            request.add_header("Authorization", f"token {token}")
        proxies = urllib.request.ProxyHandler({} if self._target.is_loopback else None)
        trust = urllib.request.HTTPSHandler(context=self._target.trust)
        try:
            with urllib.request.build_opener(proxies, trust).open(request, timeout=PATIENCE) as answer:
                return msgspec.json.decode(answer.read(), type=dict[str, Any])
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(self.url, _message(error), error.code) from None
        except (OSError, msgspec.DecodeError) as error:
            raise ServerError(self.url, str(getattr(error, "reason", error))) from None


class EmbeddedRules:
    """Those of the cortex in this process: nobody to ask, no door in between."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.url = server.url.removesuffix("/websocket")
        self._server = server

    async def read(self) -> Table:
        return self._server.service.cortex.policies.encode()

    async def replace(self, parts: Table) -> Table:
        self._server.service.cortex.replace(Policies.decode({**await self.read(), **parts}))
        return await self.read()


class _Refusal(msgspec.Struct):
    """Jupyter's JSON for an error."""

    message: str | None = None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        said = msgspec.json.decode(error.read(), type=_Refusal).message
    except msgspec.DecodeError:
        said = None  # a page, from something in between
    return f"{error.code} {said or error.reason}"
