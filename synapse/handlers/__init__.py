"""What answers a query: handlers, the registry that finds them, and the runner that calls them.

This room stands on `cortex` and knows nothing of sockets, channels or the server. `KernelHandler` is loaded
only when it is asked for, because a Jupyter client comes with it.
"""

from typing import TYPE_CHECKING, Any

from synapse.handlers.context import (
    AsyncHandler,
    BlockingThink,
    Handler,
    PlainHandler,
    Query,
    Think,
)
from synapse.handlers.dispatch import Dispatch
from synapse.handlers.echo import echo
from synapse.handlers.errors import (
    HandlerError,
    HandlerTimeout,
    HandlerUnavailable,
    Interrupted,
    NotJSON,
    UnknownHandler,
)
from synapse.handlers.registry import HandlerRegistry
from synapse.handlers.runner import HandlerRunner
from synapse.handlers.worker import WorkerPool, channel_of

if TYPE_CHECKING:
    from synapse.handlers.kernel import KernelHandler

__all__ = [
    "AsyncHandler",
    "BlockingThink",
    "Dispatch",
    "Handler",
    "HandlerError",
    "HandlerRegistry",
    "HandlerRunner",
    "HandlerTimeout",
    "HandlerUnavailable",
    "Interrupted",
    "KernelHandler",
    "NotJSON",
    "PlainHandler",
    "Query",
    "Think",
    "UnknownHandler",
    "WorkerPool",
    "channel_of",
    "echo",
]


def __getattr__(name: str) -> Any:
    if name == "KernelHandler":
        from synapse.handlers.kernel import KernelHandler

        return KernelHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
