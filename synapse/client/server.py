"""The server that an agent is on, as who runs it sees it: the rules in force, and other ones in their place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from synapse.client import html
from synapse.client.io import IOThread
from synapse.client.rules import Rules
from synapse.client.ticker import ticking
from synapse.policies import Policies


class ServerFace:
    """What both faces have in common."""

    def __init__(self, rules: Rules, io: IOThread) -> None:
        self._rules = rules
        self._io = io

    @property
    def url(self) -> str:
        """Where it is."""
        return self._rules.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def _repr_html_(self) -> str:
        return html.card(type(self).__name__, "", [("cortex", self.url)])


class Server(ServerFace):
    """The server of an agent: `Agent.server`. It is for those who run it, and asks for Jupyter's token.

    A kernel finds the token of the Jupyter server that has started it; elsewhere pass ``connect(token=…)``. A cortex
    inside this process asks for nothing.
    """

    @property
    def policies(self) -> Policies:
        """The rules in force; asks the server.

        Raises
        ------
        ServerError
            If it does not answer, or does not tell us.
        """
        return Policies.decode(self._io.call(self._rules.read()))

    def apply(self, policies: Policies | None = None, /, **parts: Any) -> Policies:
        """Replace the rules, for all who use the server. What runs, runs on; what waits, waits on if there is room.

        Parameters
        ----------
        policies
            All of them; those of before, say.
        **parts
            Some of them, by name: ``rate_limit=TokenBucket(rate=5, burst=10)``, or as a table with its kind. The
            others stay.

        Returns
        -------
        Policies
            The rules in force now.

        Raises
        ------
        PolicyError
            A `ValueError` that names the part and the field that is wrong. Nothing has changed.
        ServerError
            If the server does not answer, or does not let us.
        """
        return Policies.decode(self._io.call(self._rules.replace(_tables(policies, parts))))


class AsyncServer(ServerFace):
    """`Server`, for those who await: `AsyncAgent.server`."""

    async def policies(self) -> Policies:
        """The rules in force. Errors as for `Server.policies`."""
        return Policies.decode(await self._over_there(self._rules.read()))

    async def apply(self, policies: Policies | None = None, /, **parts: Any) -> Policies:
        """Replace the rules: see `Server.apply`."""
        return Policies.decode(await self._over_there(self._rules.replace(_tables(policies, parts))))

    async def _over_there(self, work: Any) -> Mapping[str, Any]:
        with ticking():
            answer: Mapping[str, Any] = await asyncio.wrap_future(self._io.submit(work))
            return answer


def _tables(policies: Policies | None, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as tables, checked here so that what is wrong fails in the caller's hands."""
    if policies is not None:
        return {**Policies.decode(policies).encode(), **_tables(None, parts)}
    tables = Policies.decode(parts).encode()
    return {name: tables[name] for name in parts}
