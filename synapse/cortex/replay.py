"""Resume: what an agent missed while its connection was down is sent again, in order, once.

An agent that joins with ``resume`` in its payload has a buffer of its stream. When it comes back within the
grace period and says how many thoughts of each query it has seen (``{"resume": {ref: last_seq}}``), it gets
the rest of each and the endings. Phoenix has nothing like it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from math import inf

import msgspec

from synapse.channels import Message

OVERHEAD = 200  # bytes that a kept message takes besides its payload: a tuple, a number, the heads of the objects


class Missed(msgspec.Struct, frozen=True):
    """What a resuming agent gets.

    Parameters
    ----------
    messages
        What it has not seen, in the order in which it was first sent.
    unknown
        Refs the server knows nothing of: never received, or forgotten. They will have no ending.
    kept
        Whether the stream was kept all the while, each ending for its time. Then what is unknown was never received.
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


class ReplayRoom:
    """What the streams of all agents may take together.

    At the bound the stream that has held messages longest gives up its oldest ones; when it has none left, it is the
    next one's turn.

    Parameters
    ----------
    size
        The bound, in bytes of payload and `OVERHEAD` for each message; none when absent.

    Attributes
    ----------
    bytes : int
        What they take.
    """

    def __init__(self, size: float = inf) -> None:
        self.size = size
        self.bytes = 0
        # No plain dict: to find the first key of one from whose front many were removed takes long.
        self._streams: OrderedDict[ReplayBuffer, None] = OrderedDict()

    def grew(self, stream: ReplayBuffer, size: int) -> None:
        """A stream holds so many bytes more: someone may have to make room."""
        self.bytes += size
        if len(stream) == 1:
            self._streams[stream] = None
        while self.bytes > self.size:
            next(iter(self._streams)).drop_oldest()

    def shrank(self, stream: ReplayBuffer, size: int) -> None:
        """A stream holds so many bytes less."""
        self.bytes -= size
        if not len(stream):
            self._streams.pop(stream, None)


class ReplayBuffer:
    """The recent stream of one agent.

    Parameters
    ----------
    topic
        The agent's.
    grace
        Seconds that a query's messages are kept after its ending.
    room
        What it shares with the other agents; alone when absent.
    messages, size
        The bounds of this stream alone, in messages and in payload bytes; at a bound the oldest go first.
    """

    # Only what is needed to say it again is kept, as bytes: a whole `Message` is ten times its payload.

    def __init__(
        self, topic: str, grace: float, room: ReplayRoom | None = None, messages: int = 5_000, size: int = 2**20
    ) -> None:
        self._topic = topic
        self._grace = grace
        self._room = ReplayRoom() if room is None else room
        self._most, self._most_bytes = messages, size
        self._stream: deque[tuple[str, int, str, bytes]] = deque()  # ref, seq (0 for an ending), event, JSON
        self._queries: dict[str, _Query] = {}
        self._bytes = 0
        self._unsure_until = -inf  # until then an ending is missing that should be here

    def __len__(self) -> int:
        return len(self._stream)

    @property
    def bytes(self) -> int:
        """Payload bytes held."""
        return self._bytes

    def begin(self, ref: str) -> None:
        """A query was accepted: from now on its ref is known, even while there is nothing to send."""
        if ref in self._queries:  # an old query of that name is over, and so is its stream
            stream, self._stream = self._stream, deque(entry for entry in self._stream if entry[0] != ref)
            self._gave_up(sum(len(data) for old, _, _, data in stream if old == ref), len(stream) - len(self._stream))
        self._queries[ref] = _Query()

    def thought(self, ref: str, seq: int, message: Message) -> None:
        """Keep a query's `seq`-th thought."""
        self._keep(self._query(ref, seq), ref, seq, message)

    def ending(self, ref: str, message: Message, now: float) -> None:
        """Keep a query's ending, and forget what ended longer ago than the grace period."""
        query = self._query(ref, 1)
        query.ended = now
        self._keep(query, ref, 0, message)
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
        return Missed(messages, [ref for ref in seen if ref not in known], gaps, kept=now >= self._unsure_until)

    def forget(self) -> None:
        """Forget all."""
        size, messages = self._bytes, len(self._stream)
        self._stream.clear()
        self._queries.clear()
        self._gave_up(size, messages)

    def drop_oldest(self) -> None:
        """Make room: drop the oldest message before its time."""
        query = self._drop_oldest()
        if query is not None and query.ended is not None and not query.messages:
            self._unsure_until = max(self._unsure_until, query.ended + self._grace)

    def forget_old(self, now: float) -> None:
        """Forget what ended longer ago than the grace period.

        Messages leave from the front only: an old query behind a young one waits for it, within the bounds.
        """
        while self._stream:
            query = self._queries.get(self._stream[0][0])
            if query is not None and (query.ended is None or query.ended + self._grace > now):
                return
            self._drop_oldest()

    def _query(self, ref: str, seq: int) -> _Query:
        query = self._queries.get(ref)
        if query is None:
            query = self._queries[ref] = _Query()
            query.first = seq  # what came before this buffer was begun is not in it
        return query

    def _keep(self, query: _Query, ref: str, seq: int, message: Message) -> None:
        query.messages += 1
        data = message.data
        self._stream.append((ref, seq, message.event, data))
        self._bytes += len(data)
        while len(self._stream) > self._most or (self._bytes > self._most_bytes and len(self._stream) > 1):
            self.drop_oldest()
        self._room.grew(self, len(data) + OVERHEAD)

    def _drop_oldest(self) -> _Query | None:
        ref, seq, _, data = self._stream.popleft()
        self._gave_up(len(data), 1)
        query = self._queries.get(ref)
        if query is not None:
            query.messages -= 1
            if seq:
                query.first = seq + 1
            if not query.messages and query.ended is not None:
                del self._queries[ref]
        return query

    def _gave_up(self, size: int, messages: int) -> None:
        self._bytes -= size
        self._room.shrank(self, size + messages * OVERHEAD)
