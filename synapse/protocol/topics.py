"""The cortex protocol's reserved topics and names."""

from __future__ import annotations

ROSTER = "cortex:presence"
"""The roster of all agents."""

MONITOR = "cortex:monitor"
"""What happens on the node, for observers."""

RESERVED_AGENTS = frozenset({"presence", "monitor"})
"""What no agent may be called, as its topic would be a reserved one."""

WORKER = "worker:"
"""What the topics of workers begin with, and the handlers that they are: a worker's topic is its handler's name."""

LONGEST_AGENT_ID = 255
"""How many characters an agent's id may have."""


def is_agent_id(text: str) -> bool:
    """Whether an agent may be called that: printable, not too long, not reserved."""
    return 1 <= len(text) <= LONGEST_AGENT_ID and text.isprintable() and text not in RESERVED_AGENTS
