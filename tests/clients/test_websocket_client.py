"""The seed's own Python code, as written: PyPI ``websocket-client``, object frames, no ``vsn``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from tests.support.golden import load
from tests.support.server import LiveServer

AGENT = "cortex:my_agent"
PRESENCE = ("presence_state", "presence_diff")


@pytest.fixture
def ws(server: LiveServer) -> Iterator[websocket.WebSocket]:
    """A connection as the seed makes it."""
    connection = websocket.create_connection(server.url, timeout=10)
    yield connection
    connection.close()
    connection.shutdown()  # close() leaves the socket open if the closing handshake is done already


def send(ws: Any, event: str, payload: dict[str, Any], ref: str) -> None:
    ws.send(json.dumps({"topic": AGENT, "event": event, "payload": payload, "ref": ref}))


def receive(ws: websocket.WebSocket) -> dict[str, Any]:
    """The next message, without presence."""
    while (message := json.loads(ws.recv()))["event"] in PRESENCE:
        pass
    assert isinstance(message, dict)
    return message


def test_the_seeds_example_runs_as_written(ws: websocket.WebSocket) -> None:
    send(ws, "phx_join", {"api_key": "test-key"}, "1")
    ok = {"status": "ok", "response": {"agent_id": "my_agent"}}
    assert receive(ws) == {"topic": AGENT, "event": "phx_reply", "payload": ok, "ref": "1"}
    send(ws, "query", {"q": "Hello", "ref": "q1"}, "2")
    messages = [receive(ws)]
    while messages[-1]["event"] != "result":
        messages.append(receive(ws))
    assert [message["event"] for message in messages] == ["phx_reply", "thought", "thought", "thought", "result"]
    assert messages[0]["payload"] == {"status": "ok", "response": {"ref": "q1", "status": "processing"}}
    assert messages[-1]["payload"]["data"] == {"echo": "Hello"}


def test_its_frames_have_the_keys_that_a_real_phoenix_sends(ws: websocket.WebSocket) -> None:
    """Those of the golden transcript of the same conversation."""
    steps = [step for step in load("seed_python_example").steps if step.dir == "send"]
    for step in steps:
        ws.send(json.dumps(step.action["frame"]))
        golden = [event["frame"] for event in step.received["a"] if event["frame"]["event"] not in PRESENCE]
        for expected in golden:
            message = receive(ws)
            assert message.keys() == expected.keys()
            assert message["payload"].keys() == expected["payload"].keys()
            assert (message["event"], message["ref"]) == (expected["event"], expected["ref"])


def test_an_interrupt_ends_a_query_in_mid_stream(ws: websocket.WebSocket) -> None:
    send(ws, "phx_join", {"api_key": "test-key"}, "1")
    send(ws, "query", {"q": "thoughts=1000 delay_ms=5", "ref": "q1"}, "2")
    while receive(ws)["event"] != "thought":
        pass
    send(ws, "interrupt", {"ref": "q1", "reason": "enough"}, "3")
    while (message := receive(ws))["event"] != "interrupted":
        assert message["event"] in ("thought", "phx_reply")
    assert message["payload"] == {"ref": "q1", "reason": "enough"}
    send(ws, "ping", {}, "4")
    assert {receive(ws)["event"], receive(ws)["event"]} == {"pong", "phx_reply"}


def test_a_wrong_key_is_refused(ws: websocket.WebSocket) -> None:
    send(ws, "phx_join", {"api_key": "wrong"}, "1")
    assert receive(ws)["payload"] == {"status": "error", "response": {"reason": "unauthorized"}}


def test_a_heartbeat_is_answered(ws: websocket.WebSocket) -> None:
    ws.send(json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}))
    assert receive(ws) == {
        "topic": "phoenix", "event": "phx_reply", "payload": {"status": "ok", "response": {}}, "ref": "1",
    }  # fmt: skip


def test_a_websocket_ping_is_answered(ws: websocket.WebSocket) -> None:
    ws.ping("still there?")
    assert ws.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"still there?")


def test_its_close_is_answered_with_its_code(ws: websocket.WebSocket) -> None:
    ws.send_close(1000, b"bye")
    opcode, data = ws.recv_data(control_frame=True)
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1000).to_bytes(2, "big"))


def test_the_callback_style_does_the_same(server: LiveServer) -> None:
    """``WebSocketApp``, as in that package's own introduction."""
    events: list[str] = []

    def on_open(app: websocket.WebSocketApp) -> None:
        send(app, "phx_join", {"api_key": "test-key"}, "1")
        send(app, "query", {"q": "thoughts=1", "ref": "q1"}, "2")

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        message = json.loads(text)
        if message["event"] not in PRESENCE:
            events.append(message["event"])
        if message["event"] == "result":
            app.close()

    app = websocket.WebSocketApp(server.url, on_open=on_open, on_message=on_message)
    thread = threading.Thread(target=app.run_forever, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert events == ["phx_reply", "phx_reply", "thought", "result"]
