"""From ``connect()`` to a joined agent: find a cortex, or start one in this process."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from synapse.client import discovery
from synapse.client.connection import Connection
from synapse.client.discovery import Target
from synapse.client.errors import ConnectError
from synapse.client.io import IOThread
from synapse.client.retrying import Rule, settings_for
from synapse.client.rules import EmbeddedRules, RestRules, Rules
from synapse.client.settings import Settings
from synapse.client.trust import Verify, context_for
from synapse.protocol import LONGEST_AGENT_ID, RESERVED_AGENTS, is_agent_id

if TYPE_CHECKING:
    from synapse.server.embedded import EmbeddedServer

T = TypeVar("T")

# One embedded cortex for each IO thread, and in practice one for each process.
_embedded: dict[IOThread, asyncio.Task[EmbeddedServer]] = {}


class Plan(msgspec.Struct, frozen=True):
    """What to connect to, decided before anything is opened."""

    agent: str
    targets: tuple[Target, ...]
    explicit: bool
    timeout: float
    settings: Settings = Settings()


class Opened(msgspec.Struct, frozen=True):
    """A joined agent, and a line for the user if something was started for it."""

    connection: Connection
    rules: Rules
    notice: str | None = None


def plan(
    url: str | None,
    *,
    agent: str | None,
    api_key: str | None,
    token: str | None,
    timeout: float,
    verify: Verify | None = None,
    retry: Rule | None = None,
    budget: Rule | None = None,
) -> Plan:
    """Decide, from the arguments and the environment.

    Raises
    ------
    InvalidURL, ValueError
        Naming the part or the argument that is wrong.
    """
    if agent is None:
        agent = discovery.agent_name(secrets.token_hex(2), os.environ)
    elif not isinstance(agent, str) or not is_agent_id(agent):
        reserved = " or ".join(sorted(RESERVED_AGENTS))
        problem = f"must be a name of 1 to {LONGEST_AGENT_ID} printable characters, and not {reserved}"
        raise ValueError(f"agent {problem}; not {agent!r}")
    if not timeout > 0:
        raise ValueError(f"timeout must be more than 0 s, not {timeout!r}")
    settings = settings_for(retry, budget)
    targets = discovery.find(url, api_key=api_key, token=token)
    if verify is not None:
        targets = tuple(_verified(target, context_for(verify)) for target in targets)
    return Plan(agent, targets, discovery.is_explicit(url), timeout, settings)


def _verified(target: Target, trust: ssl.SSLContext) -> Target:
    if not target.is_secure:
        raise ValueError(f"verify goes with https:// and wss:// only: nobody can verify {target.url}")
    return msgspec.structs.replace(target, trust=trust)


async def establish(io: IOThread, plan: Plan) -> Opened:
    """Open the first target that is a cortex; without one, an embedded one. Runs in the IO thread.

    Raises
    ------
    ConnectError, JoinError
        If the server that was named cannot be reached, or refuses the agent.
    """
    (connection, rules), notice = await reach(io, plan, lambda target: _open(io, target, plan))
    return Opened(connection, rules, notice)


async def reach(io: IOThread, plan: Plan, open_: Callable[[Target], Awaitable[T]]) -> tuple[T, str | None]:
    """Open whatever it is at the first target that is a cortex, or else at an embedded one; as `establish`.

    Returns what was opened, and a line for the user if something was started for it.
    """
    why = "no Jupyter server found"
    for target in plan.targets:
        try:
            return await open_(target), None
        except ConnectError as error:
            # Nobody named this server: it is our parent, but has no cortex (404) or is going away.
            if plan.explicit or error.status not in (None, 404):
                raise
            why = f"the Jupyter server of this kernel has no cortex: {error.problem}"
    fresh = io not in _embedded
    server = await _start_embedded(io)
    opened = await open_(Target(server.url, api_key=server.api_key))
    where = server.url.partition("/cortex")[0]
    return opened, f"cortex: embedded at {where} ({why})" if fresh else None


async def _open(io: IOThread, target: Target, plan: Plan) -> tuple[Connection, Rules]:
    connection = Connection(io, target, plan.agent, plan.settings)
    await connection.open(plan.timeout)
    server = embedded(io)
    if server is not None and server.url == target.url:
        return connection, EmbeddedRules(server)
    return connection, RestRules(target)


def embedded(io: IOThread) -> EmbeddedServer | None:
    """The embedded cortex of this process, None while there is none."""
    task = _embedded.get(io)
    return task.result() if task is not None and task.done() and task.exception() is None else None


async def _start_embedded(io: IOThread) -> EmbeddedServer:
    task = _embedded.get(io)
    if task is None:
        task = _embedded[io] = asyncio.get_running_loop().create_task(_embed(io))
    try:
        return await asyncio.shield(task)
    except BaseException:
        if task.done():
            _embedded.pop(io, None)  # it failed: the next connect() tries again
        raise


async def _embed(io: IOThread) -> EmbeddedServer:
    # Only here: a client of another server needs no server's imports.
    from synapse.server.embedded import start_embedded

    server = await start_embedded()

    async def stop() -> None:
        _embedded.pop(io, None)
        await server.stop()

    io.at_exit(stop)
    return server
