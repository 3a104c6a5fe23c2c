"""One topic, from the client's side: join, push, reply, and join again when it falls.

Phoenix's client channel: every join has a number of its own (the *join_ref*), every push another (the
*ref*), and a reply carries both. Frames of an older join are history and are dropped. Pushes made
while the topic is not joined wait, and leave in order once it is. A topic that fell (`phx_error`, a lost
connection) is joined again after a jittered wait; one that the server closed (`phx_close`) is not.

Pure: time is handed in, and bytes, timers and chance belong to the `Socket`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from synapse.client.errors import BufferFull
from synapse.client.events import Outcome, Reply
from synapse.protocol import Error, raw

if TYPE_CHECKING:
    from synapse.client.socket import Socket
    from synapse.client.timers import Timer
    from synapse.protocol import Frame

State = Literal["waiting", "joining", "joined", "closed"]


class Listener(Protocol):
    """Who is told what happens to a channel."""

    def join_payload(self, channel: Channel) -> dict[str, Any]:
        """What to send with the next join."""

    def joined(self, channel: Channel, response: Any, now: float) -> None:
        """The server let us in."""

    def refused(self, channel: Channel, error: Error, now: float) -> None:
        """The server did not. The channel tries again unless it is closed here."""

    def dropped(self, channel: Channel, now: float) -> None:
        """The topic fell; the channel tries again."""

    def closed(self, channel: Channel, now: float) -> None:
        """The server closed the topic; the channel is over."""

    def message(self, channel: Channel, event: str, payload: Any, now: float) -> None:
        """Any other message."""


class Push:
    """One message of ours that waits for its answer. `sent` is None until it has left."""

    __slots__ = ("done", "event", "payload", "ref", "sent", "timer")

    def __init__(self, event: str, payload: Any, done: Callable[[Reply, float], None], timer: Timer) -> None:
        self.event = event
        self.payload = payload
        self.done = done
        self.timer = timer
        self.ref = ""
        self.sent: float | None = None


class Channel:
    """A topic that we are in, or want to be in."""

    def __init__(self, socket: Socket, topic: str, listener: Listener) -> None:
        self.topic = topic
        self.state: State = "waiting"
        self.join_ref: str | None = None
        self._socket = socket
        self._listener = listener
        self._retry = socket.settings.rejoin.start()
        self._timer: Timer | None = None  # of the join's reply, or of the next join
        self._unsent: dict[int, Push] = {}  # by identity, in the order of pushing
        self._unanswered: dict[str, Push] = {}

    @property
    def pending(self) -> int:
        """Pushes that wait for an answer, sent or not."""
        return len(self._unsent) + len(self._unanswered)

    # what the owner asks for

    def join(self, now: float) -> None:
        """Join now, or as soon as there is a connection."""
        if not self._socket.is_open or self.state != "waiting":
            return
        self._stop_timer()
        self.state = "joining"
        self.join_ref = ref = self._socket.next_ref()
        self._socket.send(ref, ref, self.topic, "phx_join", self._listener.join_payload(self))
        self._timer = self._socket.timers.at(now + self._socket.settings.join, self._join_timed_out)

    def push(
        self,
        event: str,
        payload: Any,
        done: Callable[[Reply, float], None],
        now: float,
        *,
        timeout: float | None = None,
        bounded: bool = True,
    ) -> Push:
        """Send a message now, or once joined; `done` gets the outcome, whatever it is.

        A message that is bounded by other means (at most one interrupt for each query) goes out even
        when others have to be refused.

        Raises
        ------
        BufferFull
            If ``settings.max_pending`` messages wait already.
        """
        settings = self._socket.settings
        if bounded and self.pending >= settings.max_pending:
            raise BufferFull(settings.max_pending)
        payload = raw(payload)  # encoded here, so that what has no JSON form fails in the caller's hands
        wait = settings.reply if timeout is None else timeout
        timer = self._socket.timers.at(now + wait, lambda late: self._settle(push, "timeout", None, late))
        push = Push(event, payload, done, timer)
        if self.state == "joined":
            self._send(push, now)
        else:
            self._unsent[id(push)] = push
        return push

    def cancel(self, push: Push) -> None:
        """Forget a push: it is not sent if it still waits, and its answer is ignored."""
        push.timer.cancel()
        self._unsent.pop(id(push), None)
        self._unanswered.pop(push.ref, None)

    def leave(self, now: float) -> None:
        """Leave for good. The server's answer is not waited for."""
        if self.state in ("joining", "joined") and self._socket.is_open:
            self._socket.send(self.join_ref, self._socket.next_ref(), self.topic, "phx_leave", {})
        self._close(now)

    # what the socket tells

    def connection_opened(self, now: float) -> None:
        self.join(now)

    def connection_lost(self, now: float) -> None:
        if self.state not in ("joining", "joined"):
            return
        was_joined = self.state == "joined"
        self._fall(now)
        if was_joined:
            self._listener.dropped(self, now)

    def received(self, frame: Frame, now: float) -> None:
        if frame.join_ref is not None and frame.join_ref != self.join_ref:
            return
        if frame.event == "phx_reply":
            self._reply(frame.ref, frame.payload, now)
        elif frame.event == "phx_error":
            if self.state in ("joining", "joined"):
                self._fall(now)
                self._listener.dropped(self, now)
                self._rejoin_later(now)
        elif frame.event == "phx_close":
            self._close(now)
            self._listener.closed(self, now)
        else:
            self._listener.message(self, frame.event, frame.payload, now)

    # inside

    def _reply(self, ref: Any, payload: Any, now: float) -> None:
        if not isinstance(payload, dict) or not isinstance(ref, str):
            return
        ok, response = payload.get("status") == "ok", payload.get("response")
        if self.state == "joining" and ref == self.join_ref:
            self._stop_timer()
            if ok:
                self._joined(response, now)
            else:
                self._refused(error_of(response), now)
        elif push := self._unanswered.get(ref):
            self._settle(push, "ok" if ok else "error", response, now)

    def _joined(self, response: Any, now: float) -> None:
        self.state = "joined"
        self._retry.worked(now)
        unsent, self._unsent = self._unsent, {}
        for push in unsent.values():
            self._send(push, now)
        self._listener.joined(self, response, now)

    def _refused(self, error: Error, now: float) -> None:
        self.state = "waiting"
        self.join_ref = None
        self._listener.refused(self, error, now)
        self._rejoin_later(now, (error.retry_after_ms or 0) / 1e3)

    def _join_timed_out(self, now: float) -> None:
        # The join may still succeed over there: undo it, so that the next one is not a duplicate.
        self._socket.send(self.join_ref, self._socket.next_ref(), self.topic, "phx_leave", {})
        self._refused(Error("no reply"), now)

    def _rejoin_later(self, now: float, retry_after: float = 0.0) -> None:
        if self.state == "waiting" and self._socket.is_open:
            delay = retry_after + self._retry.delay(now, self._socket.random())
            self._timer = self._socket.timers.at(now + delay, self.join)

    def _send(self, push: Push, now: float) -> None:
        push.ref = self._socket.next_ref()
        push.sent = now
        self._unanswered[push.ref] = push
        self._socket.send(self.join_ref, push.ref, self.topic, push.event, push.payload)

    def _settle(self, push: Push, status: Outcome, response: Any, now: float) -> None:
        self.cancel(push)
        push.done(Reply(status, response, 0.0 if push.sent is None else now - push.sent), now)

    def _fall(self, now: float) -> None:
        """What was sent will never be answered; what was not can wait for the next join."""
        self._stop_timer()
        self.state = "waiting"
        self.join_ref = None
        for push in list(self._unanswered.values()):
            self._settle(push, "disconnected", None, now)

    def _close(self, now: float) -> None:
        self._stop_timer()
        self.state = "closed"
        self._socket.forget(self)
        for push in [*self._unanswered.values(), *self._unsent.values()]:
            self._settle(push, "closed", None, now)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def error_of(response: Any) -> Error:
    """The response of a refusal, whatever the server put into it."""
    try:
        return msgspec.convert(response, Error)
    except msgspec.ValidationError:
        return Error(reason_of(response))


def reason_of(response: Any) -> str:
    """The reason in an error reply, whatever shape the server gave it."""
    reason = response.get("reason") if isinstance(response, dict) else response
    return reason if isinstance(reason, str) else f"no reason given ({reason!r})"
