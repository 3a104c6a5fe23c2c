"""The running server says what a real Phoenix said: every golden transcript, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.golden import FOLDER, Matcher, Step, Transcript, transcripts
from tests.support.lean import LEAN, eventually, failures, nobody_connected
from tests.support.server import LiveServer, live_server
from tests.support.wire import Message, Wire

CHANNELS = 'c.SynapseApp.channels = {"cortex:golden-*": "tests.support.channels.TestChannel"}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the channel of the ``test:`` events."""
    with live_server(tmp_path_factory.mktemp("server"), config=LEAN + CHANNELS) as running:
        yield running
        assert failures(running, but="asked to crash") == []


class Listener:
    """Hears one connection out, step by step."""

    def __init__(self, wire: Wire, vsn: str | None) -> None:
        self.wire = wire
        self._arrays = (vsn or "").startswith("2")
        self._numbers = count(1)

    def hear(self, messages: int, *, to_its_end: bool) -> tuple[list[Message], int | None]:
        """What comes of a step, and the code if the server closes: at least `messages`, unless they never come."""
        heard: list[Message] = []
        try:
            while to_its_end or len(heard) < messages:
                message = self.wire.receive()
                if message is None:
                    return heard, self.wire.closed()
                heard.append(message)
        except TimeoutError:
            return heard, None
        return heard + self._what_else(), None

    def _what_else(self) -> list[Message]:
        """All that stands before the answer to a heartbeat."""
        ref = f"golden-{next(self._numbers)}"
        beat = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": ref}
        self.wire.send([None, ref, "phoenix", "heartbeat", {}] if self._arrays else beat)
        before: list[Message] = []
        while (message := self.wire.receive()) is not None and ref.encode() not in message.data:
            before.append(message)
        assert message is not None, "the server closed the connection"
        return before


def replay(server: LiveServer, transcript: Transcript) -> None:
    matcher = Matcher(transcript)
    listeners: dict[str, Listener] = {}
    for step in transcript.steps:
        act(server, step, listeners)
        received: dict[str, list[Message]] = {}
        closed: dict[str, int] = {}
        # Who acts is heard first: then the step is done, and what it means to the others is on its way.
        for conn in sorted(listeners, key=lambda conn: conn != step.conn):
            golden = step.received.get(conn, [])
            heard, code = listeners[conn].hear(len(golden), to_its_end=conn in step.closed)
            received[conn] = heard
            if code is not None:
                closed[conn] = code
                listeners.pop(conn).wire.sock.close()
        matcher.check(step, received, closed)
    for listener in listeners.values():
        listener.wire.sock.close()


def act(server: LiveServer, step: Step, listeners: dict[str, Listener]) -> None:
    """Do what the client does in a step."""
    match step.dir:
        case "open":
            wire = Wire(server.url, step.query)
            assert wire.status == step.status
            if step.status == 101:
                listeners[step.conn] = Listener(wire, step.query.get("vsn"))
            else:
                assert wire.response.body == b""
                wire.sock.close()
        case "send":
            listeners[step.conn].wire.message(*step.message)
        case "close":
            assert listeners.pop(step.conn).wire.close(1000) == 1000
        case "abort":
            listeners.pop(step.conn).wire.reset()


@pytest.mark.parametrize("transcript", transcripts(), ids=lambda transcript: transcript.name)
def test_the_server_answers_as_phoenix_did(server: LiveServer, transcript: Transcript) -> None:
    replay(server, transcript)
    eventually(lambda: nobody_connected(server), "all connections closed")
    assert server.get("/api/agents") == {"agents": []}


def test_only_the_session_of_a_javascript_client_is_not_replayed() -> None:
    """It stems from 1.7, and an unknown event crashes its channel; ``tests/clients`` has the client itself."""
    left_out = {path.stem for path in FOLDER.glob("*.jsonl")} - {transcript.name for transcript in transcripts()}
    assert left_out == {"client_phoenix_js_session"}
