"""The cortex protocol's reserved topics and names."""

from __future__ import annotations

ROSTER = "cortex:presence"
"""The roster of all agents."""

MONITOR = "cortex:monitor"
"""What happens on the node, for observers."""

RESERVED_AGENTS = frozenset({"presence", "monitor"})
"""What no agent may be called, as its topic would be a reserved one."""
