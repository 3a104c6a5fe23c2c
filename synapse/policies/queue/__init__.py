"""Admission queues: who waits for a free slot, in which order, and who is turned away at the bound.

A queue is asked with `offer(item, now)` and `take(now)`. Both return what they evicted: nothing that was
offered disappears silently. An item may be removed while it waits (an interrupt, a timeout).
"""

from typing import TypeAlias

from synapse.policies.queue.adaptive_lifo import AdaptiveLifo
from synapse.policies.queue.codel import CoDel
from synapse.policies.queue.deadline import Deadline
from synapse.policies.queue.fair_share import FairShare
from synapse.policies.queue.fifo import Fifo, Lifo
from synapse.policies.queue.line import Queue, Waiting, move
from synapse.policies.queue.priority import Priority, PriorityQueue

QueuePolicy: TypeAlias = Fifo | Lifo | AdaptiveLifo | Priority | CoDel | Deadline | FairShare

__all__ = [
    "AdaptiveLifo",
    "CoDel",
    "Deadline",
    "FairShare",
    "Fifo",
    "Lifo",
    "Priority",
    "PriorityQueue",
    "Queue",
    "QueuePolicy",
    "Waiting",
    "move",
]
