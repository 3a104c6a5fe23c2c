"""What answers a query: handlers, the registry that finds them, and the runner that calls them.

This room stands on `cortex` and knows nothing of sockets, channels or the server. `KernelHandler` and
`ModelHandler` are loaded only when they are asked for, because of what comes with them.
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
    from synapse.handlers.model import ModelHandler

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
    "ModelHandler",
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
    if name == "ModelHandler":
        from synapse.handlers.model import ModelHandler

        return ModelHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
