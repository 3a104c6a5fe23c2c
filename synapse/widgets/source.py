"""Where a live widget's data come from: the page's own server, or by way of the kernel."""

from __future__ import annotations

import os
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from synapse.client import discovery
from synapse.client.io import IOThread
from synapse.client.observer import Hear, Observer, Tell, look
from synapse.client.opening import Plan, plan, reach

PATIENCE = 10.0  # s to connect
GLANCE = 2.0  # s for a snapshot that only makes a picture


class Source(msgspec.Struct, frozen=True):
    """A cortex to watch.

    Parameters
    ----------
    way
        ``page``: it is the server that the notebook's page comes from, as far as the kernel can tell;
        ``relay``: it is another, or one embedded in this process.
    name
        Tells cortexes apart; an address without secrets.
    plan
        How the kernel gets there.
    """

    way: Literal["page", "relay"]
    name: str
    plan: Plan

    async def observe(self, io: IOThread, hear: Hear, tell: Tell) -> Observer:
        """Open an observer, in the IO thread.

        Raises
        ------
        ConnectError, JoinError
            If there is no server, or it does not want us.
        """

        async def open_(target: discovery.Target) -> Observer:
            observer = Observer(io, target, hear, tell)
            await observer.open(PATIENCE)
            return observer

        return (await reach(io, self.plan, open_))[0]

    async def look(self, io: IOThread) -> dict[str, Any]:
        """One snapshot."""
        return await look(lambda hear, tell: self.observe(io, hear, tell))


def find(url: str | None = None, *, api_key: str | None = None, token: str | None = None) -> Source:
    """The cortex that `synapse.connect` with these arguments would connect to.

    Raises
    ------
    InvalidURL
        Naming the part of the URL that is wrong.
    """
    planned = plan(url, agent=None, api_key=api_key, token=token, timeout=PATIENCE)
    if not planned.targets:
        return Source("relay", f"embedded in {os.getpid()}", planned)
    target = planned.targets[0]
    # A server that started this kernel is reached by loopback, and so is the one behind a hub's proxy.
    way: Literal["page", "relay"] = "page" if url is None and target.is_loopback else "relay"
    return Source(way, urlsplit(target.url).path if way == "page" else target.url, planned)
