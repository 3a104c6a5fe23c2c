"""The cortex protocol's reserved topics and names."""

from __future__ import annotations

ROSTER = "cortex:presence"
"""The roster of all agents."""

RESERVED_AGENTS = frozenset({"presence", "monitor"})
"""What no agent may be called, as its topic would be a reserved one."""

WORKER = "worker:"
"""What the topics of workers begin with, and the handlers that they are: a worker's topic is its handler's name."""
