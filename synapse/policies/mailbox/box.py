"""What every mailbox can be asked."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Sized
from typing import Protocol, TypeVar

M = TypeVar("M", bound=Sized)


class Overflow(Exception):
    """The mailbox is full and its policy is to give the reader up. The message was not taken in."""


class Mailbox(Protocol[M]):
    """The running state of a mailbox."""

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:
        """Leave a message. Returns the dropped ones; that may be `message` itself.

        Parameters
        ----------
        message
            Its length is its size in bytes.
        now
            When, in s.
        ref
            Which stream it is the latest of, for `Coalesce`.
        keep
            That it must not be dropped: an ending, a reply. If there is no other way to hold the bounds than to
            drop such a one, the reader is given up instead.

        Raises
        ------
        Overflow
            If the reader is to be cut off.
        """

    def drain(self, most_bytes: int) -> list[M]:
        """Take the oldest messages, up to `most_bytes` (at least one, if there is one)."""

    @property
    def bytes(self) -> int:
        """How many bytes wait."""

    @property
    def waits(self) -> bool:
        """Whether who writes should wait until the reader has caught up. Only `Credit` ever says so."""

    def __len__(self) -> int: ...
