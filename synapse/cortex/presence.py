"""Agents' presence: on their own topic, and on the roster of all.

A meta says since when a connection is there and what its agent is up to: ``status`` (``active`` until it
says otherwise) and, once there is something to say, ``load`` from 0 to 1.

The load comes from the agent itself, or else from the server: its unfinished queries in proportion to the
node's limit, on the roster only and at most once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synapse.channels import Channel, Metas, Presence
from synapse.cortex.clock import Clock, Timer
from synapse.cortex.router import topic_of
from synapse.protocol import ROSTER


class AgentPresence:
    """Who is here, of all agents, and how busy they are."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._channels: dict[str, dict[Channel, None]] = {}
        self._own_load: set[str] = set()

    def __contains__(self, agent: object) -> bool:
        return agent in self._channels

    def track(self, agent: str, channel: Channel, online_at: float) -> None:
        """A connection of an agent is here; `online_at` is Unix time in s."""
        self._channels.setdefault(agent, {})[channel] = None
        meta = {"online_at": int(online_at), "status": "active"}
        for topic in (topic_of(agent), ROSTER):
            self._presence.track(topic, agent, meta, channel)

    def untrack(self, agent: str, channel: Channel) -> None:
        """It is gone; nothing happens if it was not here."""
        for topic in (topic_of(agent), ROSTER):
            self._presence.untrack(topic, agent, channel)
        channels = self._channels.get(agent, {})
        channels.pop(channel, None)
        if not channels:
            self._channels.pop(agent, None)
            self._own_load.discard(agent)

    def update(self, agent: str, channel: Channel, changes: dict[str, Any]) -> None:
        """Change what one connection says of its agent. A load of its own ends the server's estimates."""
        if "load" in changes:
            self._own_load.add(agent)
        for topic in (topic_of(agent), ROSTER):
            self._presence.update(topic, agent, channel, changes)

    def update_status(self, agent: str, status: str) -> None:
        """Say for all connections of an agent what it is up to."""
        for channel in self._channels.get(agent, {}):
            for topic in (topic_of(agent), ROSTER):
                self._presence.update(topic, agent, channel, {"status": status})

    def track_load(self, agent: str, load_pct: float) -> None:
        """Say on the roster how busy an agent is, in percent, unless it says so itself.

        Raises
        ------
        ValueError
            If `load_pct` is not within 0 and 100.
        """
        if not 0 <= load_pct <= 100:
            raise ValueError(f"load_pct must be from 0 to 100 (percent), not {load_pct!r}")
        load = round(load_pct / 100, 3)
        if agent in self._own_load:
            return
        entry = self._presence.get(ROSTER, agent) or {"metas": []}
        if any(meta.get("load", 0) != load for meta in entry["metas"]):
            for channel in self._channels.get(agent, {}):
                self._presence.update(ROSTER, agent, channel, {"load": load})

    def list(self) -> dict[str, Metas]:
        """Everybody, in the shape of ``presence_state``."""
        return self._presence.list(ROSTER)

    def get(self, agent: str) -> Metas | None:
        """One agent's metas, None if it is not here."""
        return self._presence.get(ROSTER, agent)


class LoadGauge:
    """Keeps the load of agents fresh on the roster, each at most once an interval.

    Parameters
    ----------
    clock
        Time, handed in.
    presence
        Where the load is shown.
    measure
        An agent's load now, from 0 to 1.
    interval
        Seconds between two looks.
    """

    def __init__(
        self, clock: Clock, presence: AgentPresence, measure: Callable[[str], float], interval: float = 1.0
    ) -> None:
        self._clock = clock
        self._presence = presence
        self._measure = measure
        self._interval = interval
        self._changed: dict[str, None] = {}
        self._timer: Timer | None = None

    @property
    def due(self) -> bool:
        """Whether a look is due."""
        return self._timer is not None

    def changed(self, agent: str) -> None:
        """An agent's load may have changed."""
        if agent not in self._presence:
            return
        self._changed[agent] = None
        if self._timer is None:
            self._timer = self._clock.call_later(self._interval, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, {}
        for agent in changed:
            self._presence.track_load(agent, 100 * min(1.0, self._measure(agent)))
