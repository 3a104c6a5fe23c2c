"""Real-time agents in Jupyter.

>>> import synapse
>>> agent = synapse.connect()  # doctest: +SKIP
>>> for thought in agent.query("Hello"):  # doctest: +SKIP
...     print(thought.content)

Importing this package costs next to nothing: every name is loaded when it is first used, so that the
server extension, a kernel and a simulation each import only what they need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from synapse._version import __version__

if TYPE_CHECKING:
    from synapse.client import (
        Agent,
        AgentClosed,
        AsyncAgent,
        AsyncQuery,
        AsyncServer,
        AsyncWorker,
        BufferFull,
        ConnectError,
        Disconnected,
        InvalidURL,
        JoinError,
        Query,
        QueryLost,
        QueryRefused,
        ReplyTimeout,
        Result,
        Roster,
        Server,
        ServerError,
        SynapseError,
        Thought,
        Worker,
        aconnect,
        connect,
    )

__all__ = [
    "Agent",
    "AgentClosed",
    "AsyncAgent",
    "AsyncQuery",
    "AsyncServer",
    "AsyncWorker",
    "BufferFull",
    "ConnectError",
    "Disconnected",
    "InvalidURL",
    "JoinError",
    "Query",
    "QueryLost",
    "QueryRefused",
    "ReplyTimeout",
    "Result",
    "Roster",
    "Server",
    "ServerError",
    "SynapseError",
    "Thought",
    "Worker",
    "__version__",
    "aconnect",
    "connect",
]


if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'synapse' has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module("synapse.client"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext synapse``: the magics ``%cortex`` and ``%%query``."""
    from synapse.client.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext synapse``"""
    from synapse.client.magics import unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    # Jupyter Server calls this. The import stands inside so that a kernel's `import synapse` stays light.
    from synapse.server.app import SynapseApp

    return [{"module": "synapse", "app": SynapseApp}]
