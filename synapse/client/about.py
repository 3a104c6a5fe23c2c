"""What an agent may know of its server."""

from __future__ import annotations

from typing import Any

from synapse.client import html
from synapse.protocol import messages as wire


class About:
    """The answer of ``agent.about()``.

    Attributes
    ----------
    url : str
        Where the server is.
    version, node : str
        Its version and its own name.
    agents, queries : int
        How many agents are connected, and how many queries are unfinished.
    handlers : list of str
        What the agent may use, by name or pattern; the first name is its default.
    policies : dict or None
        The rules in force, by part; None if the agent came with a mere API key.
    """

    def __init__(self, url: str, known: wire.About) -> None:
        self.url = url
        self.version = known.version
        self.node = known.node
        self.agents = known.agents
        self.queries = known.queries
        self.handlers = known.handlers
        self.policies = known.policies

    def __repr__(self) -> str:
        return f"<About {self.url} {self.version}: {self.agents} agents, {self.queries} queries>"

    def __str__(self) -> str:
        lines = [f"cortex {self.version} at {self.url}", *(f"  {name}: {value}" for name, value in self._fields())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html.card(f"Cortex {self.version}", "", [("at", self.url), *self._fields()])

    def _fields(self) -> list[tuple[str, object]]:
        rules = [(name.replace("_", " "), _brief(rule)) for name, rule in (self.policies or {}).items() if rule]
        busy = f"{self.agents} connected, {self.queries} unfinished queries"
        return [("agents", busy), ("handlers", ", ".join(self.handlers) or "none"), *rules]


def _brief(rule: Any) -> str:
    """``fixed (limit 100)``"""
    if not isinstance(rule, dict) or "kind" not in rule:
        return str(rule)
    fields = ", ".join(f"{name} {value}" for name, value in rule.items() if name != "kind")
    return f"{rule['kind']} ({fields})" if fields else str(rule["kind"])
