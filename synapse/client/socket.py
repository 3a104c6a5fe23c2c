"""One Phoenix connection, from the client's side: heartbeat, reconnection, and the topics on it.

It knows frames and topics, not queries. When the connection is lost (closed, silent, unintelligible) it
asks for a new one after a jittered wait, and its channels join again by themselves.

Pure: `timers` are run by the owner, `random` is handed in, bytes are collected in `outbox` and
instructions in `say`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Literal

from synapse.client.channel import Channel
from synapse.client.events import CloseSocket, Dropped, Event, OpenSocket
from synapse.client.settings import Settings
from synapse.client.timers import Timer, Timers
from synapse.protocol import V2_SERIALIZER, Encoded, Frame, MalformedFrame

State = Literal["idle", "connecting", "open", "waiting", "closed"]

NO_CLOSE_FRAME = 1006  # RFC 6455 §7.1.5: never sent, only reported


class Socket:
    """The connection, whether there is one at the moment or not."""

    def __init__(self, settings: Settings, random: Callable[[], float], say: Callable[[Event], None]) -> None:
        self.settings = settings
        self.random = random
        self.timers = Timers()
        self.state: State = "idle"
        self.outbox: list[Encoded] = []
        self.channels: dict[str, Channel] = {}
        self._say = say
        self._refs = count(1)
        self._retry = settings.reconnect.start()
        self._heartbeat: Timer | None = None
        self._heartbeat_ref: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def next_ref(self) -> str:
        return str(next(self._refs))

    def send(self, join_ref: str | None, ref: str, topic: str, event: str, payload: Any) -> None:
        self.outbox.append(V2_SERIALIZER.encode_request(Frame(join_ref, ref, topic, event, payload)))

    def forget(self, channel: Channel) -> None:
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]

    # inputs

    def open(self, now: float) -> None:  # noqa: ARG002  a timer's callback
        self.state = "connecting"
        self._say(OpenSocket())

    def connected(self, now: float) -> None:
        if self.state != "connecting":
            return
        self.state = "open"
        self._heartbeat = self.timers.at(now + self.settings.heartbeat, self._beat)
        for channel in list(self.channels.values()):
            channel.connection_opened(now)

    def received(self, data: bytes, binary: bool, now: float) -> None:
        if self.state != "open":
            return
        try:
            frame = V2_SERIALIZER.decode_from_server(data, binary)
        except MalformedFrame as error:
            self._give_up(1002, f"malformed frame from the server: {error}", now)
            return
        if frame.topic == "phoenix":
            if frame.event == "phx_reply" and frame.ref == self._heartbeat_ref:
                self._heartbeat_ref = None
        elif isinstance(frame.topic, str) and (channel := self.channels.get(frame.topic)):
            channel.received(frame, now)

    def disconnected(self, now: float, code: int, reason: str, retry_after: float = 0.0) -> None:
        if self.state not in ("connecting", "open"):
            return
        self.state = "waiting"
        self._stop_heartbeat()
        self.outbox.clear()  # its messages count as sent: their outcome is unknown, and they must not be sent twice
        # On top of what the server says: else all whom it has turned away would come back at once.
        delay = retry_after + self._retry.delay(now, self.random())
        self.timers.at(now + delay, self._reopen)
        self._say(Dropped(code, reason, delay))
        for channel in list(self.channels.values()):
            channel.connection_lost(now)

    def works(self, now: float) -> None:
        """The owner's word that the connection is good for something, from `now` on."""
        self._retry.worked(now)

    def close(self, now: float) -> None:
        """Leave every topic and close for good."""
        for channel in list(self.channels.values()):
            channel.leave(now)
        if self.state in ("connecting", "open"):
            self._say(CloseSocket(1000, ""))
        self.state = "closed"
        self._stop_heartbeat()

    # inside

    def _reopen(self, now: float) -> None:
        if self.state == "waiting":
            self.open(now)

    def _beat(self, now: float) -> None:
        if self._heartbeat_ref is not None:
            self._give_up(1000, "heartbeat timeout", now)
            return
        self._heartbeat_ref = self.next_ref()
        self.send(None, self._heartbeat_ref, "phoenix", "heartbeat", {})
        self._heartbeat = self.timers.at(now + self.settings.heartbeat, self._beat)

    def _give_up(self, code: int, reason: str, now: float) -> None:
        self._say(CloseSocket(code, reason))
        self.disconnected(now, NO_CLOSE_FRAME, reason)

    def _stop_heartbeat(self) -> None:
        self._heartbeat_ref = None
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
