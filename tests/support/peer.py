"""Clients in memory, and what they connect to."""

from __future__ import annotations

from itertools import count
from typing import Any

from synapse.channels import Socket, Transport
from synapse.protocol import Frame, Serializer, serializer_for
from tests.support.clock import VirtualClock
from tests.support.strategies import typed
from tests.support.transport import MemoryTransport

PRESENCE = frozenset({"presence_state", "presence_diff"})


class Host:
    """Something with a clock to which peers connect; it does a driver's part."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.peers: list[Peer] = []

    def connect(self, serializer: Serializer, transport: Transport, identity: Any) -> Socket:
        """Make the socket of a new connection."""
        raise NotImplementedError

    def peer(self, vsn: str | None = "2.0.0", identity: Any = None) -> Peer:
        """A new connection."""
        serializer = serializer_for(vsn)
        assert serializer is not None
        peer = Peer(self, serializer, identity)
        self.peers.append(peer)
        return peer

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, as drivers do: a socket that closed its transport is told when it is closed."""
        self.clock.advance(seconds)
        for peer in self.peers:
            if peer.transport.close_code is not None:
                peer.disconnect()


class Peer:
    """A client at the other end of a `MemoryTransport`.

    It numbers its messages, remembers under which ref it joined a topic, and keeps what it received until a
    test takes it.

    Attributes
    ----------
    gone : bool
        Whether the connection has ended, whoever ended it.
    """

    def __init__(self, host: Host, serializer: Serializer, identity: Any = None) -> None:
        self.host = host
        self.serializer = serializer
        self.transport = MemoryTransport(serializer)
        self.socket = host.connect(serializer, self.transport, identity)
        self.gone = False
        self._inbox: list[Frame] = []
        self._seen = 0
        self._refs = count(1)
        self._join_refs: dict[str, Any] = {}

    @property
    def closed(self) -> int | None:
        """The code with which the server closed the connection, None if it did not."""
        return self.transport.close_code

    def send(self, topic: Any, event: Any, payload: Any = None, **refs: Any) -> Any:
        """Send one message, in a turn of its own. Returns its ref. `ref` and `join_ref` may be given."""
        ref = refs.get("ref", str(next(self._refs)))
        if event == "phx_join":
            self._join_refs[typed(topic)] = ref if self.serializer.vsn.startswith("2") else None
            if "join_ref" in refs:
                self._join_refs[typed(topic)] = refs["join_ref"]
        join_ref = refs.get("join_ref", self._join_refs.get(typed(topic)))
        encoded = self.serializer.encode_request(Frame(join_ref, ref, topic, event, {} if payload is None else payload))
        self.send_raw(encoded.data, encoded.binary)
        return ref

    def send_raw(self, data: bytes, binary: bool = False) -> None:
        """Send bytes, whatever they are, in a turn of its own."""
        self.socket.receive(data, binary)
        self.socket.received_all()

    def call(self, topic: Any, event: Any, payload: Any = None, **refs: Any) -> Frame:
        """Send, and return the reply; what else comes is for `take`."""
        ref = self.send(topic, event, payload, **refs)
        self._collect()
        replies = [frame for frame in self._inbox if frame.event == "phx_reply" and frame.ref == ref]
        assert len(replies) == 1, f"{event}: {len(replies)} replies"
        self._inbox.remove(replies[0])
        return replies[0]

    def ask(self, topic: Any, event: Any, payload: Any = None, **refs: Any) -> tuple[str, Any]:
        """Send, and return the status and the response of the reply."""
        answer = self.call(topic, event, payload, **refs).payload
        return answer["status"], answer["response"]

    def join(self, topic: str, payload: Any = None, **refs: Any) -> Any:
        """Join, and return the response of what must be an ok."""
        status, response = self.ask(topic, "phx_join", payload, **refs)
        assert status == "ok", response
        return response

    def take(self) -> list[Frame]:
        """All that has come since the last time."""
        self._collect()
        frames, self._inbox = self._inbox, []
        return frames

    def heard(self) -> list[tuple[str, Any]]:
        """The same in short: events and payloads, without presence and times."""
        return [(frame.event, timeless(frame.payload)) for frame in self.take() if frame.event not in PRESENCE]

    def disconnect(self) -> None:
        """Be gone, without a word."""
        if not self.gone:
            self.gone = True
            self.socket.closed()
            self.host.settle()

    def _collect(self) -> None:
        self.host.settle()
        self._inbox += self.transport.frames(self._seen)
        self._seen = len(self.transport.sent)


def timeless(payload: Any) -> Any:
    """A payload without its times."""
    if not isinstance(payload, dict):
        return payload
    return {name: value for name, value in payload.items() if name not in ("timestamp", "latency_ms")}
