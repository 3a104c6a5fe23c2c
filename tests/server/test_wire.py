"""The wire below the messages: RFC 6455 on raw sockets, with the close codes and refusals of a real Phoenix."""

from __future__ import annotations

import http.client
import json
import random
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support.lean import LEAN, eventually, failures, nobody_connected
from tests.support.server import LiveServer, live_server
from tests.support.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, V2, Message, Wire, closing, frame, text

LIMIT = 64 * 1024
CHANNELS = 'c.SynapseApp.channels = {"cortex:wire-*": "tests.support.rooms.VisitorChannel"}\n'
HEARTBEAT = [None, "1", "phoenix", "heartbeat", {}]
ANSWER = [None, "1", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that takes messages of 64 KiB, and that nothing here makes raise."""
    option = f"--SynapseApp.max_message_bytes={LIMIT}"
    with live_server(tmp_path_factory.mktemp("server"), option, config=LEAN + CHANNELS) as running:
        yield running
        assert failures(running) == []


@pytest.fixture
def wire(server: LiveServer) -> Iterator[Wire]:
    with Wire(server.url) as connection:
        yield connection


def beat(ref: str) -> bytes:
    """The bytes of a heartbeat."""
    return text([None, ref, "phoenix", "heartbeat", {}])


def sized(size: int) -> bytes:
    """A heartbeat message of exactly so many bytes."""
    empty = json.dumps([None, "1", "phoenix", "heartbeat", {"x": ""}])
    return empty.replace('""', f'"{"x" * (size - len(empty))}"').encode()


class TestMessages:
    def test_a_message_may_come_in_fragments(self, wire: Wire) -> None:
        data = json.dumps(HEARTBEAT).encode()
        wire.raw(frame(TEXT, data[:10], fin=False) + frame(CONT, data[10:20], fin=False) + frame(CONT, data[20:]))
        assert wire.read() == ANSWER

    def test_fragments_may_be_empty(self, wire: Wire) -> None:
        data = json.dumps(HEARTBEAT).encode()
        wire.raw(frame(TEXT, fin=False) + frame(CONT, data, fin=False) + frame(CONT, fin=False) + frame(CONT))
        assert wire.read() == ANSWER

    def test_a_fragment_may_end_within_a_character(self, wire: Wire) -> None:
        wire.join("wire-utf8")
        data = json.dumps([None, "e", "cortex:wire-utf8", "test:echo", "🧠"], ensure_ascii=False).encode()
        cut = data.index("🧠".encode()) + 2
        wire.raw(frame(TEXT, data[:cut], fin=False) + frame(CONT, data[cut:]))
        assert wire.until("phx_reply")["response"] == "🧠"

    def test_a_binary_message_may_come_in_fragments(self, wire: Wire) -> None:
        topic, event = b"cortex:wire-bin", b"test:echo"
        wire.join("wire-bin")
        head = bytes([0, 0, 1, len(topic), len(event)]) + b"7" + topic + event
        wire.raw(frame(BINARY, head[:3], fin=False) + frame(CONT, head[3:], fin=False) + frame(CONT, b"\xfe\xff"))
        while not (message := wire.receive()).binary:  # type: ignore[union-attr]
            pass
        assert message is not None
        assert message.data.endswith(b"ok\xfe\xff")

    def test_control_frames_may_stand_between_fragments(self, wire: Wire) -> None:
        data = json.dumps(HEARTBEAT).encode()
        wire.raw(frame(TEXT, data[:10], fin=False) + frame(PING, b"between"))
        pong = wire.frame()
        assert pong is not None
        assert (pong.opcode, pong.data) == (PONG, b"between")
        wire.raw(frame(PONG) + frame(CONT, data[10:]))
        assert wire.read() == ANSWER

    def test_bytes_may_come_one_by_one(self, wire: Wire) -> None:
        for byte in text(HEARTBEAT):
            wire.raw(bytes([byte]))
        assert wire.read() == ANSWER

    def test_bytes_may_be_cut_anywhere(self, wire: Wire) -> None:
        """A hundred messages in pieces of 1 to 400 bytes, whatever the frames' borders."""
        stream = b"".join(text([None, n, "phoenix", "heartbeat", {"x": "y" * (n * 7)}]) for n in range(100))
        dice = random.Random(7)
        while stream:
            size = dice.randint(1, 400)
            wire.raw(stream[:size])
            stream = stream[size:]
        assert [wire.read()[1] for _ in range(100)] == [*range(100)]

    def test_many_messages_in_one_segment_are_answered_in_order(self, wire: Wire) -> None:
        wire.raw(b"".join(beat(str(n)) for n in range(500)))
        assert [wire.read()[1] for _ in range(500)] == [str(n) for n in range(500)]

    def test_every_answer_is_a_frame_of_its_own(self, wire: Wire) -> None:
        """However many share a write: any client understands."""
        wire.raw(beat("1") + beat("2"))
        frames = [wire.frame(), wire.frame()]
        assert all(one is not None and one.fin and one.opcode is TEXT for one in frames)

    def test_a_message_may_be_as_large_as_the_limit(self, wire: Wire) -> None:
        wire.raw(frame(TEXT, sized(LIMIT)))
        assert wire.read() == ANSWER
        wire.raw(frame(TEXT, sized(LIMIT)[:1000], fin=False) + frame(CONT, sized(LIMIT)[1000:]))
        assert wire.read() == ANSWER

    def test_a_larger_one_is_answered_with_an_error_and_the_connection_lives(self, wire: Wire) -> None:
        wire.join("large")
        answer = wire.ask("cortex:large", "query", {"q": "x" * LIMIT, "ref": "q"})
        size = answer["response"].pop("size")
        assert size > LIMIT
        refusal = {"reason": "payload_too_large", "policy": "max_message_bytes", "limit": LIMIT}
        assert answer == {"status": "error", "response": refusal}
        wire.raw(frame(TEXT, sized(4 * LIMIT)[:1000], fin=False) + frame(CONT, sized(4 * LIMIT)[1000:]))
        assert wire.read()[4]["response"]["reason"] == "payload_too_large"
        assert wire.alive()


class TestHaste:
    """Frames that come in one piece with the handshake."""

    def test_nothing_is_lost(self, server: LiveServer) -> None:
        with Wire(server.url, early=b"".join(beat(str(n)) for n in range(50))) as wire:
            assert [wire.read()[1] for _ in range(50)] == [str(n) for n in range(50)]

    def test_more_than_a_read_is_not_lost_either(self, server: LiveServer) -> None:
        stream = b"".join(frame(TEXT, sized(60_000).replace(b'"1"', b"%d" % n)) for n in range(10))
        with Wire(server.url, early=stream) as wire:
            assert [wire.read()[1] for _ in range(10)] == [*range(10)]

    @pytest.mark.parametrize("cut", [1, 2, 5, 6, 7, 20])
    def test_the_last_frame_may_be_cut(self, server: LiveServer, cut: int) -> None:
        stream = beat("1") + beat("2")
        cut += len(beat("1"))
        with Wire(server.url, early=stream[:cut]) as wire:
            assert wire.read()[1] == "1"
            wire.raw(stream[cut:])
            assert wire.read()[1] == "2"

    def test_a_whole_visit_may_be(self, server: LiveServer) -> None:
        with Wire(server.url, early=beat("1") + closing(1000)) as wire:
            assert wire.read()[1] == "1"
            assert wire.closed() == 1000


class TestControlFrames:
    @pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff" * 62])
    def test_a_ping_is_answered_by_a_pong_with_its_payload(self, wire: Wire, payload: bytes) -> None:
        wire.raw(frame(PING, payload))
        pong = wire.frame()
        assert pong is not None
        assert (pong.opcode, pong.data) == (PONG, payload)

    def test_a_pong_that_no_one_asked_for_is_ignored(self, wire: Wire) -> None:
        wire.raw(frame(PONG, b"?"))
        assert wire.alive()

    def test_the_server_sends_no_pings(self, wire: Wire) -> None:
        """All that a silent, then talking client gets is the answer to what it said."""
        wire.raw(beat("1"))
        answer = wire.frame()
        assert answer is not None
        assert answer.opcode is TEXT

    def test_a_flood_of_pings_by_a_client_that_reads_nothing_costs_a_bounded_amount(self, server: LiveServer) -> None:
        """Of pings that wait for their pong only the latest need get one (RFC 6455, 5.5.3)."""
        process = psutil.Process(server.process.pid)
        with Wire(server.url) as wire, Wire(server.url) as other:
            assert other.alive()
            before = process.memory_info().rss
            flood = frame(PING, bytes(125)) * 1000
            for _ in range(200):
                wire.raw(flood)
            assert other.alive()
            wire.raw(frame(PING, b"last"))
            pongs = 0
            while (pong := wire.frame()) is not None and pong.data != b"last":
                pongs += 1
            assert pong is not None
            assert pongs < 200_000
            assert process.memory_info().rss - before < 8 * 2**20


class TestClosing:
    @pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4001])
    def test_a_close_is_answered_with_its_own_code(self, wire: Wire, code: int) -> None:
        assert wire.close(code) == code

    def test_a_close_without_a_code_is_answered_without_one(self, wire: Wire) -> None:
        wire.raw(frame(CLOSE))
        answer = wire.frame()
        assert answer is not None
        assert (answer.opcode, answer.data) == (CLOSE, b"")

    def test_what_comes_behind_a_close_is_ignored(self, wire: Wire) -> None:
        wire.raw(beat("1") + closing(1000) + beat("2"))
        assert wire.read()[1] == "1"
        assert wire.receive() is None
        assert wire.closed() == 1000

    def test_a_half_closed_connection_is_over(self, server: LiveServer) -> None:
        with Wire(server.url) as wire:
            wire.raw(beat("1"))
            assert wire.read()[1] == "1"
            wire.sock.shutdown(socket.SHUT_WR)
            assert wire.closed() == 1006
        eventually(lambda: nobody_connected(server), "the connection is closed")

    @pytest.mark.parametrize("how", ["closes", "resets", "half-closes", "breaks a rule", "sends a broken frame"])
    def test_presence_leaves_however_the_connection_ends(self, server: LiveServer, how: str) -> None:
        with Wire(server.url) as watcher, Wire(server.url) as leaver:
            watcher.join("wire-left")
            leaver.join("wire-left")
            while "wire-left" not in watcher.until("presence_diff")["joins"]:
                pass
            match how:
                case "closes":
                    leaver.close()
                case "resets":
                    leaver.reset()
                case "half-closes":
                    leaver.sock.shutdown(socket.SHUT_WR)
                case "breaks a rule":
                    leaver.raw(frame(3))
                case _:
                    leaver.raw(frame(TEXT, b"{nope"))
            while not (left := watcher.until("presence_diff")["leaves"]):
                pass
            assert len(left["wire-left"]["metas"]) == 1

    def test_a_disconnect_by_the_server_has_the_code_of_going_away(self, wire: Wire) -> None:
        wire.join("wire-away")
        wire.send([None, "1", "cortex:wire-away", "test:disconnect", {}])
        assert wire.closed() == 1001


class TestViolations:
    """What ends the connection, and with which code."""

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            pytest.param(frame(TEXT, b"{}", masked=False), 1002, id="an unmasked frame"),
            pytest.param(frame(3, b"{}"), 1002, id="a reserved data opcode"),
            pytest.param(frame(0xB), 1002, id="a reserved control opcode"),
            pytest.param(frame(TEXT, b"{}", rsv=4), 1002, id="RSV1 without an extension"),
            pytest.param(frame(TEXT, b"{}", rsv=2), 1002, id="RSV2"),
            pytest.param(frame(PING, rsv=1), 1002, id="RSV3"),
            pytest.param(frame(PING, bytes(126)), 1002, id="a ping of 126 bytes"),
            pytest.param(frame(PING, fin=False), 1002, id="a fragmented ping"),
            pytest.param(frame(CONT, b"{}"), 1002, id="a stray continuation"),
            pytest.param(frame(TEXT, b"[", fin=False) + text(HEARTBEAT), 1002, id="a message within a message"),
            pytest.param(frame(CLOSE, b"\x03"), 1002, id="a close frame of one byte"),
            pytest.param(closing(1005), 1002, id="a close code that must not be sent"),
            pytest.param(closing(999), 1002, id="a close code that there is not"),
            pytest.param(closing(1000, b"\xff"), 1007, id="a close reason that is not UTF-8"),
            pytest.param(frame(TEXT, b'[null,"1","phoenix","heartbeat","\xff"]'), 1007, id="text that is not UTF-8"),
            pytest.param(frame(TEXT, b"\xff\xfe{"), 1007, id="text that is neither UTF-8 nor JSON"),
            pytest.param(frame(TEXT, b'[null,"\xed\xa0\x80","phoenix","heartbeat",{}]'), 1007, id="a surrogate"),
            pytest.param(
                frame(TEXT, b'[null,"1","phoenix","heartbeat",{},"\xff"]'), 1007, id="not UTF-8 where no one looks"
            ),
            pytest.param(
                frame(TEXT, b'[null,"\xc3', fin=False) + frame(CONT, b'1","phoenix","heartbeat",{}]'),
                1007,
                id="not UTF-8 over fragments",
            ),
            pytest.param(frame(TEXT, sized(4 * LIMIT + 1)), 1009, id="a frame over four times the limit"),
            pytest.param(frame(TEXT, bytes(50 * LIMIT)), 1009, id="a frame far over it, still being sent"),
            pytest.param(frame(TEXT, bytes(5 * LIMIT))[:14], 1009, id="a frame that only says that it is"),
            pytest.param(b"\x81\xff\xff" + bytes(11), 1009, id="a frame of 2**63 bytes and more"),
            pytest.param(
                frame(TEXT, bytes(2 * LIMIT), fin=False) + frame(CONT, bytes(2 * LIMIT + 1)),
                1009,
                id="fragments over it",
            ),
            pytest.param(frame(TEXT, b"{nope"), 1011, id="text that is not JSON"),
            pytest.param(frame(BINARY, b""), 1011, id="an empty binary message"),
        ],
    )
    def test_a_broken_rule_ends_the_connection_and_no_other(self, server: LiveServer, sent: bytes, code: int) -> None:
        with Wire(server.url) as wire, Wire(server.url) as other:
            wire.raw(beat("1") + sent + beat("2"))
            assert wire.read()[1] == "1", "what came before counts"
            assert wire.receive() is None, "what comes after does not"
            assert wire.closed() == code
            assert other.alive()

    @pytest.mark.parametrize("part", ["topic", "event", "ref", "payload", "more"])
    def test_v1_text_must_be_utf8_in_every_part(self, server: LiveServer, part: str) -> None:
        message: dict[str, Any] = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
        data = json.dumps({**message, part: "*"}).encode().replace(b"*", b"\xff")
        with Wire(server.url, {}) as wire:
            wire.raw(frame(TEXT, data))
            assert wire.closed() == 1007

    def test_bytes_in_a_binary_message_need_not_be_utf8(self, wire: Wire) -> None:
        wire.join("wire-bytes")
        topic, event = b"cortex:wire-bytes", b"test:push"
        wire.raw(frame(BINARY, bytes([0, 0, 0, len(topic), len(event)]) + topic + event + b"\xff"))
        message: Message | None = None
        while message is None or not message.binary:
            message = wire.receive()
            assert message is not None
        assert message.data.endswith(event + b"\xff")


class TestHandshake:
    def status(self, server: LiveServer, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=10)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @pytest.mark.parametrize(
        ("method", "headers"),
        [
            pytest.param("GET", {}, id="a plain GET"),
            pytest.param("POST", {}, id="a POST"),
            pytest.param("POST", UPGRADE, id="a POST with an upgrade"),
            pytest.param("PUT", UPGRADE, id="a PUT"),
            pytest.param("DELETE", {}, id="a DELETE"),
            pytest.param("OPTIONS", {}, id="an OPTIONS"),
            pytest.param("GET", {**UPGRADE, "Upgrade": "h2c"}, id="another upgrade"),
            pytest.param("GET", {**UPGRADE, "Connection": "close"}, id="a connection that is not to be upgraded"),
            pytest.param("GET", {k: v for k, v in UPGRADE.items() if k != "Sec-WebSocket-Key"}, id="no key"),
            pytest.param("GET", {**UPGRADE, "Sec-WebSocket-Key": "short"}, id="a bad key"),
            pytest.param("GET", {k: v for k, v in UPGRADE.items() if k != "Sec-WebSocket-Version"}, id="no version"),
            pytest.param("GET", {**UPGRADE, "Sec-WebSocket-Version": "12"}, id="another version"),
        ],
    )
    def test_what_is_no_upgrade_is_a_bad_request(
        self, server: LiveServer, method: str, headers: dict[str, str]
    ) -> None:
        assert self.status(server, method, "/cortex/websocket", headers) == (400, b"")

    @pytest.mark.parametrize("query", ["?vsn=2.1.0", "?vsn=", "?vsn=junk", "?token=bad"])
    def test_a_refusal_has_an_empty_body(self, server: LiveServer, query: str) -> None:
        assert self.status(server, "GET", f"/cortex/websocket{query}", UPGRADE) == (403, b"")

    @pytest.mark.parametrize("path", ["/cortex", "/cortex/longpoll", "/cortex/websocket/x", "/cortex/nothing"])
    def test_another_path_is_not_found(self, server: LiveServer, path: str) -> None:
        assert self.status(server, "GET", path, UPGRADE)[0] == 404

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"Connection": "keep-alive, Upgrade"}, id="as Firefox"),
            pytest.param({"Upgrade": "WebSocket", "Connection": "upgrade"}, id="in other letters"),
        ],
    )
    def test_headers_may_be_written_otherwise(self, server: LiveServer, headers: dict[str, str]) -> None:
        assert self.status(server, "GET", "/cortex/websocket", {**UPGRADE, **headers})[0] == 101

    def test_a_slash_at_the_end_is_fine(self, server: LiveServer) -> None:
        with Wire(f"{server.url}/", V2) as wire:
            assert wire.alive()

    def test_nothing_is_compressed_unless_configured(self, server: LiveServer) -> None:
        headers = {**UPGRADE, "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=10)
        connection.request("GET", "/cortex/websocket", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 101
        assert answer.headers["Sec-WebSocket-Extensions"] is None
        answer.close()
        connection.close()


class TestChannels:
    def test_one_connection_joins_a_hundred_and_no_more(self, wire: Wire) -> None:
        for number in range(100):
            wire.join(f"wire-crowd-{number}")
        over = wire.ask("cortex:wire-crowd-100", "phx_join", {"api_key": "test-key"})
        refusal = {"reason": "too_many_connections", "policy": "connections.channels"}
        assert (over["status"], over["response"] | refusal) == ("error", over["response"])
        assert wire.ask("cortex:wire-crowd-7", "phx_leave")["status"] == "ok"
        wire.join("wire-crowd-100")
        assert wire.ask("cortex:wire-crowd-99", "ping")["status"] == "ok"


class TestLeaks:
    def test_200_connections_leave_nothing_behind(self, server: LiveServer) -> None:
        """However they end: descriptors and connections are back at their level."""
        process = psutil.Process(server.process.pid)
        eventually(lambda: nobody_connected(server), "nobody is connected")
        before = process.num_fds()
        wires = [Wire(server.url) for _ in range(200)]
        for number, wire in enumerate(wires):
            if number % 2:
                wire.join(f"wire-{number}")
        assert server.get("/api/health")["connections"] == 200
        assert process.num_fds() >= 200
        for number, wire in enumerate(wires):
            match number % 5:
                case 0:
                    wire.close()
                case 1:
                    wire.reset()
                case 2:
                    wire.sock.close()
                case 3:
                    wire.raw(frame(3))
                    wire.closed()
                case 4:
                    wire.sock.shutdown(socket.SHUT_WR)
                    wire.closed()
            wire.sock.close()
        eventually(lambda: nobody_connected(server), "all connections closed")
        eventually(lambda: process.num_fds() <= before, f"{before} descriptors again")
        assert server.get("/api/agents") == {"agents": []}
