"""The server's rules from a notebook: read and replaced over REST, or in this very process if it is embedded here."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Protocol

from synapse.client import discovery
from synapse.client.discovery import Target
from synapse.client.errors import SynapseError
from synapse.client.io import IOThread, io_thread
from synapse.client.opening import embedded
from synapse.policies import Policies

PATIENCE = 10.0  # s


class Door(Protocol):
    """Where the rules are."""

    def get(self) -> dict[str, Any]:
        """All parts."""

    def put(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Replace some parts. Returns all."""


class Rules:
    """The rules of one server."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @classmethod
    def find(cls, url: str | None = None, *, token: str | None = None) -> Rules:
        """The rules of the server that `synapse.connect` with these arguments would connect to.

        Raises
        ------
        SynapseError
            If there is none.
        """
        io = io_thread()
        targets = discovery.find(url, token=token)
        if targets:
            return cls(_Rest(targets[0].url, targets[0].token or _own_token(targets[0])))
        if embedded(io) is None:
            raise SynapseError("no server yet: synapse.connect() starts one in this process")
        return cls(_Embedded(io))

    def get(self) -> dict[str, Any]:
        """All parts: ``{"queue": {"kind": …}, …}``. Raises SynapseError if we may not see them."""
        return self._door.get()

    def put(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Replace some parts, at once. Returns all. Raises SynapseError if the server refuses, with its words."""
        return self._door.put(parts)


class _Rest:
    """Over ``/cortex/api/policies``, as a Jupyter user."""

    def __init__(self, websocket: str, token: str | None) -> None:
        self._url = websocket.replace("ws", "http", 1).partition("?")[0].removesuffix("/websocket") + "/api/policies"
        self._token = token

    def get(self) -> dict[str, Any]:
        return self._ask("GET", None)

    def put(self, parts: dict[str, Any]) -> dict[str, Any]:
        return self._ask("PUT", json.dumps(parts).encode())

    def _ask(self, method: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(self._url, body, method=method)  # noqa: S310  a cortex's own address
        if self._token:
            request.add_header("Authorization", f"token {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise SynapseError(f"the server refused ({refusal.code}): {_message(refusal)}") from None
        except OSError as error:
            raise SynapseError(f"the server cannot be reached: {error}") from None


class _Embedded:
    """In this process, on the IO thread."""

    def __init__(self, io: IOThread) -> None:
        self._io = io

    def get(self) -> dict[str, Any]:
        return self._io.call(self._get())

    def put(self, parts: dict[str, Any]) -> dict[str, Any]:
        return self._io.call(self._put(parts))

    async def _get(self) -> dict[str, Any]:
        server = embedded(self._io)
        if server is None:
            raise SynapseError("the embedded server has gone")
        return server.service.cortex.policies.encode()

    async def _put(self, parts: dict[str, Any]) -> dict[str, Any]:
        server = embedded(self._io)
        if server is None:
            raise SynapseError("the embedded server has gone")
        server.service.cortex.replace(Policies.decode({**await self._get(), **parts}))
        return await self._get()


def _own_token(target: Target) -> str | None:
    """The token of the server that started this kernel, from its runtime file, if that is the target."""
    for parent in discovery.parents():
        if parent.url.replace("localhost", "127.0.0.1") == target.url.replace("localhost", "127.0.0.1"):
            return parent.token
    return None


def _message(refusal: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(refusal)["message"])
    except (ValueError, KeyError):
        return str(refusal.reason)
