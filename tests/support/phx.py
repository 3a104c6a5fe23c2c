"""A small Phoenix client for tests against a real server: blocking, V2, nothing hidden."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

Frame = list[Any]
TIMEOUT = 10.0


class Phx:
    """One connection. `seen` has every frame that came, in order."""

    def __init__(self, url: str, **options: Any) -> None:
        self._closing = ExitStack()
        address = f"{url}{'&' if '?' in url else '?'}vsn=2.0.0"
        self.ws: ClientConnection = self._closing.enter_context(connect(address, **options))
        self.seen: list[Frame] = []
        self._refs = count(1)

    def __enter__(self) -> Phx:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection properly."""
        self._closing.close()

    def send(self, join_ref: Any, ref: Any, topic: str, event: str, payload: Any) -> None:
        """Send one frame."""
        self.ws.send(json.dumps([join_ref, ref, topic, event, payload]))

    def push(self, topic: str, event: str, payload: Any = None) -> dict[str, Any]:
        """Send a message and wait for its reply. Returns the reply's payload."""
        ref = str(next(self._refs))
        self.send(None, ref, topic, event, {} if payload is None else payload)
        reply: dict[str, Any] = self.wait(lambda frame: frame[1] == ref and frame[3] == "phx_reply")[4]
        return reply

    def join(self, topic: str, payload: Any = None) -> dict[str, Any]:
        """Join a topic. Returns the reply's payload."""
        return self.push(topic, "phx_join", payload)

    def receive(self) -> Frame:
        """The next frame."""
        frame: Frame = json.loads(self.ws.recv(timeout=TIMEOUT))
        self.seen.append(frame)
        return frame

    def close_code(self) -> int:
        """Read until the server closes. Returns its close code."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def wait(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Read until a frame is `wanted`."""
        while True:
            frame = self.receive()
            if wanted(frame):
                return frame

    def wait_event(self, event: str, ref: str | None = None) -> dict[str, Any]:
        """Read until an event comes, of a certain query if `ref` is given. Returns its payload."""
        payload: dict[str, Any] = self.wait(
            lambda frame: frame[3] == event and (ref is None or frame[4].get("ref") == ref)
        )[4]
        return payload

    def wait_ending(self, ref: str) -> tuple[str, dict[str, Any]]:
        """Read until a query has ended. Returns the event and its payload."""
        frame = self.wait(lambda frame: frame[3] in ("result", "interrupted") and frame[4].get("ref") == ref)
        return frame[3], frame[4]
