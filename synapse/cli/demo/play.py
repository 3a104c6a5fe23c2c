"""The agents: they connect, ask what the script says, and remember what they heard."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from synapse.cli.demo.board import Board, Line
from synapse.cli.demo.script import REASON, Ask
from synapse.cli.demo.server import Server
from synapse.client import AsyncAgent, SynapseError, aconnect

AT_ONCE = 10  # agents that connect at the same time
PATIENCE = 10.0  # s for the roster to be complete
LOOK = 0.05  # s between two looks at the roster


class Heard(msgspec.Struct, frozen=True):
    """What an agent heard of one query.

    Parameters
    ----------
    ask
        What it had asked.
    ref
        The query's name on the wire.
    status
        The ending; ``"lost"`` if there was none, ``"refused"`` if it was not accepted.
    thoughts
        How many thoughts came.
    data, reason
        What the ending said; for a query without one, what went wrong.
    latency : float or None
        From its submission to its ending, in s.
    interrupt : float or None
        From the wish to interrupt it to its ending, in s.
    """

    ask: Ask
    ref: str
    status: str
    thoughts: int
    data: Any = None
    reason: str | None = None
    latency: float | None = None
    interrupt: float | None = None


class Cast:
    """The agents of one demo.

    Attributes
    ----------
    heard
        What became of each query that has been asked, in the order of the endings.
    """

    def __init__(self, board: Board) -> None:
        self.heard: list[Heard] = []
        self._board = board
        self._agents: dict[str, AsyncAgent] = {}

    async def enter(self, server: Server) -> None:
        """Connect all agents, and wait until the server's list of who is here has all of them.

        The first one comes as a Jupyter user, whom the server trusts to run code; the others have an API key.

        Raises
        ------
        SynapseError
            If one cannot connect.
        """
        first, *others = self._board.names
        self._agents[first] = await aconnect(server.url, agent=first, token=server.token)
        gate = asyncio.Semaphore(AT_ONCE)

        async def connect(name: str) -> None:
            async with gate:
                self._agents[name] = await aconnect(server.url, agent=name, api_key=server.api_key)

        await _all(connect(name) for name in others)
        deadline = perf_counter() + PATIENCE
        while await self.look() < set(self._board.names) and perf_counter() < deadline:
            await asyncio.sleep(LOOK)

    async def look(self) -> frozenset[str]:
        """Let the first agent look who is here."""
        first = self._agents.get(self._board.names[0])
        if first is not None:
            self._board.present(await first.presence())
        return self._board.here

    async def play(self, asks: Sequence[Ask]) -> None:
        """Ask everything: the agents side by side, each one query after another."""
        parts: dict[str, list[Ask]] = {}
        for ask in asks:
            parts.setdefault(ask.agent, []).append(ask)
        await _all(self._play_part(self._agents[name], part) for name, part in parts.items())

    async def leave(self) -> None:
        """Close all connections."""
        agents, self._agents = list(self._agents.values()), {}
        await asyncio.gather(*(agent.close() for agent in agents), return_exceptions=True)

    async def _play_part(self, agent: AsyncAgent, part: list[Ask]) -> None:
        for ask in part:
            line = self._board.asked(ask)
            heard = await self._ask(agent, ask, line)
            self.heard.append(heard)
            self._board.end(line, heard.status, _words(heard))

    async def _ask(self, agent: AsyncAgent, ask: Ask, line: Line) -> Heard:
        query = agent.query(ask.q, priority=ask.priority, timeout=ask.timeout, handler=ask.handler)
        thoughts, interrupted_at = 0, None
        try:
            async for thought in query:
                thoughts += 1
                self._board.thought(line, thought.content)
                if thoughts == ask.interrupt_after:
                    interrupted_at = perf_counter()
                    query.interrupt(REASON)
            result = await query.result()
        except SynapseError as error:
            return Heard(ask, query.ref, query.status, thoughts, reason=str(error))
        waited = None if interrupted_at is None else perf_counter() - interrupted_at
        return Heard(ask, query.ref, result.status, thoughts, result.data, result.reason, result.latency, waited)


def _words(heard: Heard) -> str:
    """What a screen says of an ending."""
    if heard.latency is None:
        return heard.reason or ""
    if heard.interrupt is not None:
        return f"{heard.reason} ({heard.interrupt * 1e3:.1f} ms)"
    if heard.status == "error" and isinstance(heard.data, dict):
        return str(heard.data.get("reason", ""))
    return f"{heard.latency * 1e3:.0f} ms"


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all; the first that fails cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
