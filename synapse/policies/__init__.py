"""The rules: frozen values that read the same in Python, TOML, JSON and Jupyter's configuration.

A policy's running state is made by `policy.start(now)` and asked with `now` handed in. The live server and
the simulator run the same classes. Pure: no clock, no I/O, no random numbers of its own.
"""

from synapse.policies.concurrency import Concurrency, Fixed
from synapse.policies.mailbox import Disconnect, Mailbox, Overflow
from synapse.policies.queue import Priority, Queue, Waiting
from synapse.policies.timeout import FixedTimeout

__all__ = [
    "Concurrency",
    "Disconnect",
    "Fixed",
    "FixedTimeout",
    "Mailbox",
    "Overflow",
    "Priority",
    "Queue",
    "Waiting",
]
