"""The ``kernel`` handler: a query is code, and a Jupyter kernel of the agent's own runs it."""

from synapse.handlers.kernel.handler import KernelHandler

__all__ = ["KernelHandler"]
