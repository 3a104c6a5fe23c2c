"""Readers of given speed, behind the mailboxes of `synapse.policies`: what a slow one gets, loses, and holds up.

A reader takes one message at a time from its mailbox and needs its time to read it; the one being read is no longer in
the mailbox. The mailbox is the policy's own, the one that stands between the live server's core and its transports;
the live one hands on what fits into one write at a time, so that a little more than one message is out of its reach.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec

from synapse.policies import Mailbox, MailboxPolicy, Overflow
from synapse.simulation.env import Environment


class Message:
    """A message: as many bytes as it is long, of a stream or of none.

    Attributes
    ----------
    written
        When it was written, in s.
    on_read
        Is called when it has been read, if anyone waits for that.
    """

    __slots__ = ("_size", "on_read", "stream", "written")

    def __init__(
        self, size: int, written: float, stream: Hashable = None, on_read: Callable[[], object] | None = None
    ) -> None:
        self._size = size
        self.written = written
        self.stream = stream
        self.on_read = on_read

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Message of {self._size} bytes, written at {self.written:.3f} s>"


class Reading(msgspec.Struct):
    """What has become of the messages for one reader: ``put == read + dropped + lost + missed`` and those waiting.

    Parameters
    ----------
    put
        Written to it; what is written again counts again.
    read
        Read to the end.
    dropped
        Dropped by the mailbox, or superseded in it.
    lost
        Waiting, or being read, when it was cut off.
    missed
        Written while it was cut off, the one that cut it off included.
    cuts
        How often it was cut off.
    age, oldest
        Sum and maximum of the ages at which messages were taken from the mailbox, in s: how stale is what is read.
    taken
        How many were.
    most, most_bytes
        The most messages, and bytes, that have waited.
    """

    put: int = 0
    read: int = 0
    dropped: int = 0
    lost: int = 0
    missed: int = 0
    cuts: int = 0
    age: float = 0.0
    oldest: float = 0.0
    taken: int = 0
    most: int = 0
    most_bytes: int = 0

    @property
    def mean_age(self) -> float:
        """The mean age at which a message was taken from the mailbox, in s; 0 if none was."""
        return self.age / self.taken if self.taken else 0.0


def per_message(rate: float) -> Callable[[int], float]:
    """The speed of one who reads `rate` messages a second, of any size."""
    return lambda size: 1.0 / rate  # noqa: ARG005


def per_byte(rate: float) -> Callable[[int], float]:
    """The speed of one who reads `rate` bytes a second."""
    return lambda size: size / rate


class Reader:
    """One who reads what is written to its mailbox.

    Parameters
    ----------
    env
        The clock.
    policy
        Its mailbox's.
    speed
        How long it needs for a message of so many bytes, in s. It may draw it, from a stream of its own.
    on_cut
        Is called when it is cut off, to let it come back by `connect`, say.

    Attributes
    ----------
    mailbox : Mailbox
        What waits for it.
    reading : Reading
        What has become of the messages.
    connected : bool
        Whether it is not cut off.
    """

    __slots__ = ("_awaiting", "_busy", "_env", "_life", "_on_cut", "_policy", "_speed", "_stalled_until", "connected",
                 "mailbox", "reading")  # fmt: skip

    def __init__(
        self,
        env: Environment,
        policy: MailboxPolicy,
        speed: Callable[[int], float],
        on_cut: Callable[[], object] = lambda: None,
    ) -> None:
        self._env = env
        self._policy = policy
        self._speed = speed
        self._on_cut = on_cut
        self._busy = False
        self._stalled_until = env.time()
        self._awaiting: list[Callable[[], object]] = []
        self._life = 0  # counts cuts and connections, so that what was begun before does not end after
        self.reading = Reading()
        self.connected = True
        self.mailbox: Mailbox[Message] = policy.start(env.time())

    def __repr__(self) -> str:
        return f"<Reader {'' if self.connected else 'cut off, '}behind {self.mailbox!r}>"

    @property
    def waits(self) -> bool:
        """Whether who writes should wait."""
        return self.connected and self.mailbox.waits

    def put(
        self, size: int, stream: Hashable = None, keep: bool = False, on_read: Callable[[], object] | None = None
    ) -> None:
        """Write it a message.

        Parameters
        ----------
        size
            How many bytes.
        stream
            Which stream it is the latest of.
        keep
            That it must not be dropped.
        on_read
            Is called when it has been read; never, if it is dropped or lost.
        """
        now, reading, mailbox = self._env.time(), self.reading, self.mailbox
        reading.put += 1
        if not self.connected:
            reading.missed += 1
            return
        try:
            reading.dropped += len(mailbox.put(Message(size, now, stream, on_read), now, stream, keep))
        except Overflow:
            reading.missed += 1
            self.cut()
            return
        if not self._busy:
            self._take()
        if len(mailbox) > reading.most:
            reading.most = len(mailbox)
        if mailbox.bytes > reading.most_bytes:
            reading.most_bytes = mailbox.bytes

    def stall(self, seconds: float) -> None:
        """Begin to read nothing more for a while. What it is reading, it reads to the end."""
        until = self._stalled_until = max(self._stalled_until, self._env.time() + seconds)
        if not self._busy:
            self._busy = True
            self._env.call(until - self._env.time(), self._go_on, self._life)

    def cut(self) -> None:
        """Cut it off: what waits is lost. Who waits to write need not any more. Of no effect if it is cut off."""
        if not self.connected:
            return
        self.connected = False
        self._life += 1
        reading = self.reading
        reading.cuts += 1
        reading.lost += reading.put - reading.read - reading.dropped - reading.lost - reading.missed
        self._wake()
        self._on_cut()

    def connect(self) -> None:
        """Come back, to an empty mailbox. Of no effect if it is not cut off."""
        if not self.connected:
            self.connected = True
            self._life += 1
            self._busy = False
            self._stalled_until = self._env.time()
            self.mailbox = self._policy.start(self._env.time())

    def when_ready(self, callback: Callable[[], object]) -> None:
        """Call once who writes need not wait any more; at once, if that is so."""
        if self.waits:
            self._awaiting.append(callback)
        else:
            callback()

    def _take(self) -> None:
        """Begin to read the next message, if one waits."""
        now = self._env.time()
        if self._stalled_until > now:
            self._busy = True
            self._env.call(self._stalled_until - now, self._go_on, self._life)
            return
        taken = self.mailbox.drain(0)
        self._busy = bool(taken)
        if taken:
            age, reading = now - taken[0].written, self.reading
            reading.taken += 1
            reading.age += age
            reading.oldest = max(reading.oldest, age)
            self._env.call(self._speed(len(taken[0])), self._has_read, (self._life, taken[0].on_read))
            if self._awaiting and not self.mailbox.waits:
                self._wake()

    def _has_read(self, message: tuple[int, Callable[[], object] | None]) -> None:
        life, on_read = message
        if life == self._life:
            self.reading.read += 1
            self._take()
            if on_read is not None:
                on_read()

    def _go_on(self, life: int) -> None:
        if life == self._life:
            self._take()

    def _wake(self) -> None:
        """Let those who wait write, until one makes the others wait again."""
        awaiting, self._awaiting = self._awaiting, []
        for callback in awaiting:
            self.when_ready(callback)


class Writer:
    """One who writes message after message to a reader, and waits whenever the reader's mailbox asks for it.

    Parameters
    ----------
    env
        The clock.
    reader
        To whom it writes.
    gap
        Gives the time from one message, once it is written, to the next, in s. What it waits comes on top.
    size
        Gives each message's size, in bytes.
    stream
        What stream its messages are the latest of.

    Attributes
    ----------
    written : int
        Messages.
    waited : float
        How long it has waited, in s, without a wait that is not over.
    """

    __slots__ = ("_env", "_gap", "_reader", "_since", "_size", "_stream", "waited", "written")

    def __init__(
        self,
        env: Environment,
        reader: Reader,
        gap: Callable[[], float],
        size: Callable[[], int] = lambda: 100,
        stream: Hashable = None,
    ) -> None:
        self._env = env
        self._reader = reader
        self._gap = gap
        self._size = size
        self._stream = stream
        self._since = 0.0
        self.written = 0
        self.waited = 0.0
        env.call(gap(), self._try, None)

    def __repr__(self) -> str:
        return f"<Writer, {self.written} written, waited {self.waited:.3f} s>"

    def _try(self, _: Any) -> None:
        self._since = self._env.time()
        self._reader.when_ready(self._write)

    def _write(self) -> None:
        self.waited += self._env.time() - self._since
        self._reader.put(self._size(), self._stream)
        self.written += 1
        self._env.call(self._gap(), self._try, None)
