"""The ``worker`` handlers: answered in somebody else's process, a notebook for example, by a function of theirs.

A process joins the topic ``worker:<name>`` and is given the queries whose handler is ``worker:<name>``. `WorkerPool`
hands them out; `WorkerChannel` is a worker's place on the server. Both are pure, like the core: no loop, no clock.
"""

from synapse.handlers.worker.channel import WorkerChannel, channel_of
from synapse.handlers.worker.pool import Seat, WorkerPool

__all__ = ["Seat", "WorkerChannel", "WorkerPool", "channel_of"]
