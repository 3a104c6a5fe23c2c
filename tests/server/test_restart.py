"""A server goes down under a hundred agents with queries in flight, politely or not, and comes back."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import synapse
from synapse import Result
from synapse.client import AsyncAgent, AsyncQuery
from tests.support.lean import LEAN, failures
from tests.support.outage import Reborn

AGENTS = 100
RUNNING = 150  # of their 200 queries
PATIENCE = 60.0  # s a query may take; what has no ending by then has lost it
CONFIG = f"""{LEAN}
c.SynapseApp.handlers = {{"*": ["tests.server.rooms:ledger"]}}
c.SynapseApp.policies = {{"concurrency": {{"kind": "fixed", "limit": {RUNNING}}}}}
c.SynapseApp.stop_grace = 0.2
"""


async def connect(url: str) -> list[AsyncAgent]:
    names = [f"agent-{number}" for number in range(AGENTS)]
    return await asyncio.gather(*(synapse.aconnect(url, api_key="test-key", agent=name) for name in names))


async def begin(phoenix: Reborn, agents: list[AsyncAgent]) -> list[AsyncQuery]:
    """Two queries of each agent that stay: some run, others wait for their turn."""
    queries = [agent.query(f"stay {number}", timeout=PATIENCE) for number in range(2) for agent in agents]
    wanted = {"running": RUNNING, "waiting": len(queries) - RUNNING}
    while {name: (await health(phoenix))[name] for name in wanted} != wanted:
        await agents[0].ping()
    return queries


async def health(phoenix: Reborn) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, phoenix.server.get, "/api/health")


async def ending(query: AsyncQuery) -> str:
    """How a query ends for its caller, in a word."""
    try:
        result: Result = await query.result()
    except synapse.SynapseError as error:
        return type(error).__name__
    return f"{result.status} {result.reason}" if result.status == "interrupted" else result.status


async def endings(queries: list[AsyncQuery]) -> Counter[str]:
    return Counter(await asyncio.gather(*map(ending, queries)))


async def scenario(phoenix: Reborn, sig: signal.Signals) -> dict[str, Counter[str]]:
    """What becomes of the queries before, during and after a restart."""
    loop = asyncio.get_running_loop()
    agents = await connect(phoenix.server.url)
    try:
        staying = await begin(phoenix, agents)
        falling = loop.run_in_executor(None, phoenix.restart, sig)
        hasty: list[AsyncQuery] = []
        while not falling.done():  # asked at every stage of it
            hasty += [agent.query(f"quick {len(hasty)}", timeout=PATIENCE) for agent in agents[:: AGENTS // 4]]
            await asyncio.sleep(0.05)
        await falling
        later = [agent.query("quick later", timeout=PATIENCE) for agent in agents]
        heard = {"staying": await endings(staying), "hasty": await endings(hasty), "later": await endings(later)}
        await check_presence(phoenix, agents)
        return heard
    finally:
        await asyncio.gather(*(agent.close() for agent in agents))


async def check_presence(phoenix: Reborn, agents: list[AsyncAgent]) -> None:
    """Everybody is there once, says the server, and says everybody."""
    loop = asyncio.get_running_loop()
    listed: Any = await loop.run_in_executor(None, phoenix.server.get, "/api/agents")
    assert {agent["agent"]: len(agent["metas"]) for agent in listed["agents"]} == {a.id: 1 for a in agents}
    for roster in await asyncio.gather(*(agent.presence() for agent in agents[:10])):
        assert {name: len(metas) for name, metas in roster.items()} == {a.id: 1 for a in agents}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL], ids=lambda sig: sig.name)
def test_100_agents_survive_a_restart_with_queries_in_flight(tmp_path: Path, sig: signal.Signals) -> None:
    book = tmp_path / "ledger"
    with Reborn(tmp_path, config=CONFIG, env={"LEDGER": str(book)}) as phoenix:
        heard = asyncio.run(scenario(phoenix, sig))
        # A server that stops says so of each query; of one that was killed, the next one knows nothing.
        told = "interrupted shutting_down" if sig is signal.SIGTERM else "QueryLost"
        assert heard["staying"] == {told: 2 * AGENTS}
        # On a busy machine it may be away for longer than the client waits for a reply.
        assert heard["hasty"].keys() <= {"success", "QueryRefused", told, "QueryLost", "ReplyTimeout"}
        assert heard["hasty"]["success"] > 0
        assert heard["later"] == {"success": AGENTS}
        runs = Counter(book.read_text().splitlines())
        assert max(runs.values()) == 1, "a query ran twice"
        assert sum(runs[f"agent-{number} quick later"] for number in range(AGENTS)) == AGENTS
        assert [failures(life) for life in phoenix.lives] == [[], []]
