"""The virtual driver: a cluster with thousands of agents, under the same rules as the live server.

A simulated node runs the cortex's own `Scheduler`, with the policies that guard the live one, on SimPy's clock. This
room knows no server, handler, client or event loop.
"""

from synapse.simulation.env import Environment, Timer

__all__ = ["Environment", "Timer"]
