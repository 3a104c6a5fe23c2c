"""Resume: what an agent missed while its connection was down is sent again, in order, once.

An agent that joins with ``resume`` in its payload has a buffer of its stream. When it comes back within the
grace period and says how many thoughts of each query it has seen (``{"resume": {ref: last_seq}}``), it gets
the rest of each and the endings. Phoenix has nothing like it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from synapse.channels import Message


class Missed(msgspec.Struct, frozen=True):
    """What a resuming agent gets.

    Parameters
    ----------
    messages
        What it has not seen, in the order in which it was first sent.
    unknown
        Refs the server knows nothing of: never received, or forgotten. They will have no ending.
    kept
        Whether the stream was kept all the while. Then what is unknown was never received.
    gaps
        By ref, the first thought that can still be sent, where earlier unseen ones had to be dropped.
    """

    messages: list[Message]
    unknown: list[str]
    gaps: dict[str, int]
    kept: bool = True


class _Query:
    """What the buffer knows of one query: its first thought still here, and when it ended."""

    __slots__ = ("ended", "first", "messages")

    def __init__(self) -> None:
        self.first = 1
        self.messages = 0
        self.ended: float | None = None


class ReplayBuffer:
    """The recent stream of one agent.

    Parameters
    ----------
    topic
        The agent's.
    grace
        Seconds that a query's messages are kept after its ending.
    messages, size
        The bounds, in messages and in payload bytes; at a bound the oldest go first.
    """

    # Only what is needed to say it again is kept, as bytes: a whole `Message` is ten times its payload.

    def __init__(self, topic: str, grace: float, messages: int = 5_000, size: int = 2**20) -> None:
        self._topic = topic
        self._grace = grace
        self._most, self._most_bytes = messages, size
        self._stream: deque[tuple[str, int, str, bytes]] = deque()  # ref, seq (0 for an ending), event, JSON
        self._queries: dict[str, _Query] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._stream)

    @property
    def bytes(self) -> int:
        """Payload bytes held."""
        return self._bytes

    def begin(self, ref: str) -> None:
        """A query was accepted: from now on its ref is known, even while there is nothing to send."""
        if ref in self._queries:  # an old query of that name is over, and so is its stream
            kept = [entry for entry in self._stream if entry[0] != ref]
            self._stream = deque(kept)
            self._bytes = sum(len(data) for *_, data in kept)
        self._queries[ref] = _Query()

    def thought(self, ref: str, seq: int, message: Message) -> None:
        """Keep a query's `seq`-th thought."""
        self._keep(ref, seq, message)

    def ending(self, ref: str, message: Message, now: float) -> None:
        """Keep a query's ending, and forget what ended longer ago than the grace period."""
        self._keep(ref, 0, message)
        self._queries[ref].ended = now
        self.forget_old(now)

    def missed(self, seen: Mapping[str, int], now: float) -> Missed:
        """What an agent that has seen so many thoughts of each query has not seen."""
        self.forget_old(now)
        known = {ref: last for ref, last in seen.items() if ref in self._queries}
        messages = [
            Message(self._topic, event, msgspec.Raw(data))
            for ref, seq, event, data in self._stream
            if ref in known and (seq == 0 or seq > known[ref])
        ]
        gaps = {ref: self._queries[ref].first for ref, last in known.items() if self._queries[ref].first > last + 1}
        return Missed(messages, [ref for ref in seen if ref not in known], gaps)

    def _keep(self, ref: str, seq: int, message: Message) -> None:
        query = self._queries.get(ref)
        if query is None:
            query = self._queries[ref] = _Query()
            query.first = seq or 1  # what came before this buffer was begun is not in it
        query.messages += 1
        data = message.data
        self._stream.append((ref, seq, message.event, data))
        self._bytes += len(data)
        while len(self._stream) > self._most or (self._bytes > self._most_bytes and len(self._stream) > 1):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        ref, seq, _, data = self._stream.popleft()
        self._bytes -= len(data)
        query = self._queries.get(ref)
        if query is None:
            return
        query.messages -= 1
        if seq:
            query.first = seq + 1
        if not query.messages and query.ended is not None:
            del self._queries[ref]

    def forget_old(self, now: float) -> None:
        """Forget what ended longer ago than the grace period.

        Messages leave from the front only: an old query behind a young one waits for it, within the bounds.
        """
        while self._stream:
            query = self._queries.get(self._stream[0][0])
            if query is not None and (query.ended is None or query.ended + self._grace > now):
                return
            self._drop_oldest()
