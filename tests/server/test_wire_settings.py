"""The wire under other settings: impatience, compression, TLS, and the end of the server."""

from __future__ import annotations

import json
import random
import signal
import ssl
from collections.abc import Iterator
from contextlib import closing as close_after
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trustme
from websockets.extensions import ClientExtensionFactory
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.typing import ExtensionName, ExtensionParameter

from tests.support.lean import LEAN, eventually, failures
from tests.support.server import LiveServer, live_server
from tests.support.wire import BINARY, CONT, PING, TEXT, V2, Wire, closing, frame, text

LIMIT = 64 * 1024
CHANNELS = 'c.SynapseApp.channels = {"cortex:wire-*": "tests.support.channels.TestChannel"}\n'
HEARTBEAT = [None, "1", "phoenix", "heartbeat", {}]
ANSWER = [None, "1", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]
RSV1, FIN_RSV1_TEXT = 4, 0xC1
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Unheard(ClientExtensionFactory):
    """An extension that the server does not know."""

    name = ExtensionName("x-unheard")

    def get_request_params(self) -> list[ExtensionParameter]:
        return []


def deflated(wire: Wire, data: bytes) -> bytes:
    """What compression makes of a message's bytes."""
    (extension,) = wire.protocol.extensions
    return bytes(extension.encode(Frame(TEXT, data)).data)


@pytest.fixture(scope="class")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that waits 1.5 s for a word."""
    home = tmp_path_factory.mktemp("server")
    with live_server(home, "--SynapseApp.idle_timeout=1.5", config=LEAN) as running:
        yield running
        assert failures(running) == []


class TestIdle:
    def test_a_silent_client_is_disconnected_and_one_that_pings_is_not(self, impatient: LiveServer) -> None:
        """A WebSocket ping is a sign of life; what the server pushes is none."""
        with Wire(impatient.url) as pinging, Wire(impatient.url) as talking, Wire(impatient.url) as silent:
            talking.join("idle")
            silent.join("idle")
            for round_ in range(2):
                number = 0
                while not silent.over(0.1):
                    number += 1
                    pinging.raw(frame(PING))
                    talking.ask("cortex:idle", "query", {"q": "thoughts=1", "ref": f"{round_}-{number}"})
                assert silent.closed() == 1002
                assert number > 1, "it had heard something"
                silent.sock.close()
                silent = Wire(impatient.url)  # noqa: PLW2901  one more, so that the others outlive two timeouts
                silent.join("idle")
            silent.sock.close()
            assert pinging.alive()
            assert talking.alive()


@pytest.fixture(scope="class")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that compresses, and takes messages of 64 KiB."""
    options = ["--SynapseApp.compression=True", f"--SynapseApp.max_message_bytes={LIMIT}"]
    with live_server(tmp_path_factory.mktemp("server"), *options, config=LEAN + CHANNELS) as running:
        yield running
        assert failures(running) == []


class TestCompression:
    def connect(self, compressing: LiveServer, vsn: dict[str, str] = V2, **parameters: int | bool) -> Wire:
        wire = Wire(compressing.url, vsn, offer=[ClientPerMessageDeflateFactory(**parameters)])  # type: ignore[arg-type]
        assert wire.status == 101
        return wire

    def squeeze(self, wire: Wire, data: bytes) -> bytes:
        """The bytes of a compressed text frame."""
        return frame(TEXT, deflated(wire, data), rsv=RSV1)

    def test_it_is_agreed_on_without_context_takeover(self, compressing: LiveServer) -> None:
        """Else every connection would keep a compressor of its own: 150 KiB."""
        with self.connect(compressing) as wire:
            agreed = wire.response.headers["Sec-WebSocket-Extensions"].split("; ")
            assert agreed[0] == "permessage-deflate"
            assert {"server_no_context_takeover", "client_no_context_takeover"} <= set(agreed)

    def test_a_client_that_does_not_ask_gets_plain_frames(self, compressing: LiveServer) -> None:
        with Wire(compressing.url) as wire:
            assert "Sec-WebSocket-Extensions" not in wire.response.headers
            assert wire.alive()

    def test_an_offer_that_no_one_understands_is_passed_over(self, compressing: LiveServer) -> None:
        with Wire(compressing.url, offer=[Unheard()]) as wire:
            assert "Sec-WebSocket-Extensions" not in wire.response.headers
            assert wire.alive()

    def test_messages_make_the_round_trip(self, compressing: LiveServer) -> None:
        """Compressed and plain ones, small and large, text and bytes."""
        with self.connect(compressing) as wire:
            wire.join("wire-z")
            for payload in ({}, {"x": "y" * 50_000}, {"x": "世界🧠"}):
                data = json.dumps([None, "2", "cortex:wire-z", "test:echo", payload]).encode()
                for sent in (frame(TEXT, data), self.squeeze(wire, data)):
                    wire.raw(sent)
                    assert wire.until("phx_reply")["response"] == payload
            topic, event = b"cortex:wire-z", b"test:echo"
            wire.raw(frame(BINARY, bytes([0, 0, 1, len(topic), len(event)]) + b"7" + topic + event + b"\xfe\xff"))
            echoed = wire.receive()
            assert echoed is not None
            assert echoed.data.endswith(b"ok\xfe\xff")

    def test_every_data_frame_from_the_server_is_compressed(self, compressing: LiveServer) -> None:
        """And the same message is the same bytes every time: nothing is carried over."""
        with self.connect(compressing) as wire:
            wire.raw(text(HEARTBEAT) * 3)
            data = wire.sock.recv(1)
            while len(data) < 2 or len(data) < 3 * (size := data[1] + 2):
                data += wire.sock.recv(1000)
            assert data[0] == FIN_RSV1_TEXT
            assert data == data[:size] * 3

    def test_a_compressed_message_may_come_in_fragments(self, compressing: LiveServer) -> None:
        with self.connect(compressing) as wire:
            data = deflated(wire, json.dumps(HEARTBEAT).encode())
            wire.raw(frame(TEXT, data[:5], fin=False, rsv=RSV1) + frame(PING) + frame(CONT, data[5:]))
            assert wire.read() == ANSWER

    def test_a_small_message_that_inflates_over_the_limit_is_too_big(self, compressing: LiveServer) -> None:
        with self.connect(compressing) as wire:
            bomb = self.squeeze(wire, bytes(50_000_000))
            assert len(bomb) < LIMIT
            wire.raw(bomb)
            assert wire.closed() == 1009

    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            pytest.param(b"\xff\xff\xff", 1002, id="what does not inflate"),
            pytest.param(b"\x02\x00", 1011, id="nothing"),
        ],
    )
    def test_a_broken_compressed_message_ends_the_connection(
        self, compressing: LiveServer, payload: bytes, code: int
    ) -> None:
        with self.connect(compressing) as wire, self.connect(compressing) as other:
            wire.raw(frame(TEXT, payload, rsv=RSV1))
            assert wire.closed() == code
            assert other.alive()

    def test_compressed_text_must_be_utf8(self, compressing: LiveServer) -> None:
        with self.connect(compressing) as wire:
            wire.raw(self.squeeze(wire, b'[null,"1","phoenix","heartbeat",{},"\xff"]'))
            assert wire.closed() == 1007

    @pytest.mark.parametrize("bits", [8, 9, 12])
    def test_a_broadcast_suits_the_window_of_every_member(self, compressing: LiveServer, bits: int) -> None:
        """A client may ask for a small window; it cannot read what was compressed with a larger one."""
        payload = {"x": random.Random(7).randbytes(9_000).hex() * 3}  # repeats itself far behind
        with (
            self.connect(compressing) as large,
            self.connect(compressing, server_max_window_bits=bits) as small,
            Wire(compressing.url) as plain,
        ):
            for wire in (large, small, plain):
                wire.join("wire-windows")
            large.send([None, "9", "cortex:wire-windows", "test:shout", payload])
            for wire in (large, small, plain):
                assert wire.until("test:shout") == payload

    def test_closing_is_as_without(self, compressing: LiveServer) -> None:
        with self.connect(compressing) as wire:
            assert wire.close(4001) == 4001


@pytest.fixture(scope="class")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="class")
def secret(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[LiveServer]:
    """A server with a certificate of our own authority."""
    home = tmp_path_factory.mktemp("server")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(home / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(home / "cert.pem")
    options = [f"--ServerApp.certfile={home / 'cert.pem'}", f"--ServerApp.keyfile={home / 'key.pem'}"]
    limit = f"--SynapseApp.max_message_bytes={LIMIT}"
    with live_server(home, *options, limit, config=LEAN + CHANNELS) as running:
        yield running
        assert failures(running) == []


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TestTLS:
    def test_a_query_is_answered(self, secret: LiveServer, tls: ssl.SSLContext) -> None:
        assert secret.url.startswith("wss://")
        with Wire(secret.url, tls=tls) as wire:
            wire.join("secret")
            accepted = wire.ask("cortex:secret", "query", {"q": "thoughts=3", "ref": "q1"})
            assert accepted["response"] == {"ref": "q1", "status": "processing"}
            thoughts = [wire.until("thought")["thought"]["content"] for _ in range(3)]
            assert thoughts == ["step 1", "step 2", "step 3"]
            assert wire.until("result")["status"] == "success"

    def test_frames_that_come_with_the_handshake_are_not_lost(self, secret: LiveServer, tls: ssl.SSLContext) -> None:
        early = b"".join(text([None, n, "phoenix", "heartbeat", {}]) for n in range(50))
        with Wire(secret.url, tls=tls, early=early) as wire:
            assert [wire.read()[1] for _ in range(50)] == [*range(50)]

    def test_a_stream_larger_than_all_buffers_arrives_whole(self, secret: LiveServer, tls: ssl.SSLContext) -> None:
        with Wire(secret.url, tls=tls) as wire:
            wire.join("wire-large")
            for n in range(100):
                wire.send([None, f"e{n}", "cortex:wire-large", "test:echo", {"n": n, "x": "y" * 30_000}])
            assert [wire.until("phx_reply")["response"]["n"] for _ in range(100)] == [*range(100)]

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            pytest.param(closing(4001), 4001, id="a close"),
            pytest.param(frame(3), 1002, id="a broken rule"),
            pytest.param(frame(TEXT, b"\xff"), 1007, id="text that is not UTF-8"),
            pytest.param(frame(TEXT, bytes(50 * LIMIT)), 1009, id="too big, and still being sent"),
            pytest.param(frame(TEXT, b"{nope"), 1011, id="no message"),
        ],
    )
    def test_the_close_codes_are_the_same(
        self, secret: LiveServer, tls: ssl.SSLContext, sent: bytes, code: int
    ) -> None:
        with Wire(secret.url, tls=tls) as wire:
            wire.raw(text(HEARTBEAT) + sent)
            assert wire.read() == ANSWER
            assert wire.closed() == code

    @pytest.mark.parametrize("how", ["closes", "hangs up", "resets"])
    def test_presence_leaves_however_the_connection_ends(
        self, secret: LiveServer, tls: ssl.SSLContext, how: str
    ) -> None:
        with Wire(secret.url, tls=tls) as watcher, Wire(secret.url, tls=tls) as leaver:
            watcher.join("wire-left")
            leaver.join("wire-left")
            match how:
                case "closes":
                    leaver.close()
                case "hangs up":
                    leaver.sock.close()
                case _:
                    leaver.reset()
            while not (left := watcher.until("presence_diff")["leaves"]):
                pass
            assert len(left["wire-left"]["metas"]) == 1


class TestStop:
    def test_a_graceful_stop_ends_every_query_and_closes_every_connection(self, tmp_path: Path) -> None:
        """A query that is done in time has its result, another is interrupted; the code is that of a restart."""
        with live_server(tmp_path, "--SynapseApp.stop_grace=1", config=LEAN) as server:
            with Wire(server.url) as busy, Wire(server.url, {}) as idle, Wire(server.url) as deaf:
                busy.join("busy")
                deaf.join("deaf")
                busy.ask("cortex:busy", "query", {"q": "thoughts=1 delay_ms=200", "ref": "short"})
                busy.ask("cortex:busy", "query", {"q": "thoughts=1 delay_ms=60000", "ref": "endless"})
                server.process.send_signal(signal.SIGTERM)
                assert busy.until("result")["ref"] == "short"
                assert busy.until("interrupted") == {"ref": "endless", "reason": "shutting_down"}
                assert [busy.closed(), idle.closed()] == [1012, 1012]
                assert server.process.wait(20) == 0, "one that answers nothing holds nothing up"
                assert deaf.closed() == 1012
            assert failures(server) == []

    def test_a_server_that_stops_takes_no_one_in_any_more(self, tmp_path: Path) -> None:
        """While its last queries may end, new ones are refused, and so is an upgrade by who has connected before."""
        with (
            live_server(tmp_path, "--SynapseApp.stop_grace=20", config=LEAN) as server,
            Wire(server.url) as busy,
            close_after(HTTPConnection(server.url.split("/")[2], timeout=10)) as late,
        ):
            late.request("GET", "/cortex/api/health", headers={"Authorization": f"token {server.token}"})
            assert late.getresponse().read()
            busy.join("busy")
            busy.ask("cortex:busy", "query", {"q": "thoughts=1 delay_ms=60000", "ref": "last"})
            server.process.send_signal(signal.SIGTERM)

            def refused() -> bool:
                answer = busy.ask("cortex:busy", "query", {"q": "thoughts=0", "ref": "late"})
                return bool(answer["response"].get("reason") == "shutting_down")

            eventually(refused, "the server has begun to stop")
            late.request("GET", "/cortex/websocket?vsn=2.0.0", headers=UPGRADE)
            answer = late.getresponse()
            assert (answer.status, answer.read()) == (503, b"")
            busy.send([None, "i", "cortex:busy", "interrupt", {"ref": "last"}])
            assert busy.closed() == 1012
            assert server.process.wait(20) == 0

    def test_a_server_without_queries_stops_at_once(self, tmp_path: Path) -> None:
        """No phx_close is sent to a channel whose whole connection ends."""
        with live_server(tmp_path, "--SynapseApp.stop_grace=1000", config=LEAN) as server:
            with Wire(server.url) as wire:
                wire.join("calm")
                wire.until("presence_diff")
                server.process.send_signal(signal.SIGTERM)
                assert wire.receive() is None
                assert wire.closed() == 1012
            assert server.process.wait(20) == 0
