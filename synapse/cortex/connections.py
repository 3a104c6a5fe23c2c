"""ConnectionManager: which connections each agent has.

An agent may have several, and losing one leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from synapse.channels import Channel


class Connection(msgspec.Struct, frozen=True):
    """One connection of an agent. `online_at` is Unix time in s."""

    id: int
    agent: str
    key: str
    online_at: float


class ConnectionManager:
    """The table of agents and the channels by which they are connected."""

    def __init__(self) -> None:
        self._agents: dict[str, dict[Channel, Connection]] = {}

    def track(self, channel: Channel, connection: Connection) -> None:
        """Note that an agent has joined by this channel."""
        self._agents.setdefault(connection.agent, {})[channel] = connection

    def untrack(self, agent: str, channel: Channel) -> Connection | None:
        """Note that it has left. Returns what was tracked, None if nothing was."""
        channels = self._agents.get(agent, {})
        connection = channels.pop(channel, None)
        if connection is not None and not channels:
            del self._agents[agent]
        return connection

    def get(self, agent: str) -> list[Connection]:
        """An agent's connections, oldest first; empty if it is not here."""
        return [*self._agents.get(agent, {}).values()]

    def list_active(self) -> list[str]:
        """The ids of all connected agents."""
        return [*self._agents]

    def count(self) -> int:
        """How many agents are connected."""
        return len(self._agents)

    def channels(self) -> Iterator[tuple[str, Channel]]:
        """Every channel of every agent, with the agent's id."""
        for agent, channels in self._agents.items():
            for channel in channels:
                yield agent, channel

    def send_to_agent(self, agent: str, event: str, payload: Any) -> int:
        """Push to every connection of an agent. Returns how many it has."""
        channels = [*self._agents.get(agent, {})]
        for channel in channels:
            channel.push(event, payload)
        return len(channels)

    def broadcast_all(self, event: str, payload: Any) -> int:
        """Push to every connection of every agent. Returns how many."""
        return sum(self.send_to_agent(agent, event, payload) for agent in self.list_active())

    def lagging(self, agent: str) -> bool:
        """Whether one of an agent's connections asks writers to wait for it."""
        return any(channel.socket.lagging for channel in self._agents.get(agent, ()))

    def disconnect(self, agent: str) -> int:
        """Close every connection of an agent. Returns how many."""
        channels = [*self._agents.get(agent, {})]
        for channel in channels:
            channel.socket.close()
        return len(channels)
