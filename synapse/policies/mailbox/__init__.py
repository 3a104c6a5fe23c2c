"""Mailboxes: what waits for a reader that is slower than what is written to it.

One stands between the core and each transport. It is bounded in messages and in bytes; the policy says
what a reader loses at the bound.
"""

from typing import TypeAlias

from synapse.policies.mailbox.box import Mailbox, Overflow
from synapse.policies.mailbox.credit import Credit
from synapse.policies.mailbox.disconnect import Disconnect, DisconnectMailbox
from synapse.policies.mailbox.dropping import Coalesce, DropNewest, DropOldest

MailboxPolicy: TypeAlias = Disconnect | DropOldest | DropNewest | Coalesce | Credit

__all__ = [
    "Coalesce",
    "Credit",
    "Disconnect",
    "DisconnectMailbox",
    "DropNewest",
    "DropOldest",
    "Mailbox",
    "MailboxPolicy",
    "Overflow",
]
