"""The still picture of a live widget: what the cortex was like when it was shown."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

from synapse.client import html
from synapse.client.errors import SynapseError
from synapse.client.io import io_thread
from synapse.widgets.source import GLANCE, Source


def glance(source: Source) -> dict[str, Any] | str:
    """A snapshot of a cortex, or in words why there is none."""
    io = io_thread()
    future = io.submit(source.look(io))
    try:
        return future.result(GLANCE)
    except concurrent.futures.TimeoutError:
        future.cancel()
        return f"no answer within {GLANCE:g} s"
    except SynapseError as error:
        return str(error)


def still(title: str, source: Source) -> str:
    """The picture: who is here and what is unfinished."""
    seen = glance(source)
    if isinstance(seen, str):
        return html.card(title, "not connected", [("cortex", source.name), ("why", seen)])
    now, gauges = seen["at"], seen["gauges"]
    unfinished: dict[str, list[dict[str, Any]]] = {}
    for query in seen["queries"]:
        unfinished.setdefault(query["agent"], []).append(query)
    rows = []
    for agent in seen["agents"]:
        queries = unfinished.get(agent["agent"], [])
        thinking = sum(query["started"] is not None for query in queries)
        status = ", ".join(dict.fromkeys(str(meta.get("status", "")) for meta in agent["metas"]))
        since = html.clock(agent["online_at"])
        rows.append((agent["agent"], status, thinking, len(queries) - thinking, agent["connections"], since))
    head = ("agent", "status", "thinking", "queued", "connections", "online since (UTC)")
    at = html.clock(now + seen["epoch"]) or time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    note = (
        f"{gauges['agents']} agents, {gauges['running']} of {gauges['limit']} slots in use, "
        f"{gauges['waiting']} waiting, {gauges['ended']} queries ended; as of {at} UTC. Run the cell to see it live."
    )
    return html.table(title, note, head, rows[:50])
