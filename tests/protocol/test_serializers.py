"""Bytes to frames and back, in both serializers and both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import astuple

from synapse.protocol import (
    V1_SERIALIZER as V1,
)
from synapse.protocol import (
    V2_SERIALIZER as V2,
)
from synapse.protocol import (
    Encoded,
    Frame,
    MalformedFrame,
    Serializer,
    encode_json,
    raw,
    serializer_for,
)
from tests.support.strategies import json_values, names, typed

BOTH = pytest.mark.parametrize("serializer", [V1, V2], ids=["V1", "V2"])


def text(encoded: Encoded) -> Any:
    assert not encoded.binary
    return json.loads(encoded.data)


class TestV2:
    def test_a_push_is_an_array_with_a_null_ref(self) -> None:
        assert text(V2.encode_push("2", "cortex:a", "thought", {"n": 1})) == [
            "2",
            None,
            "cortex:a",
            "thought",
            {"n": 1},
        ]

    def test_a_reply_echoes_both_refs(self) -> None:
        reply = ["2", "3", "t", "phx_reply", {"response": {"a": 1}, "status": "ok"}]
        assert text(V2.encode_reply("2", "3", "t", "ok", {"a": 1})) == reply

    def test_a_broadcast_has_two_null_refs(self) -> None:
        assert text(V2.encode_broadcast("t", "shout", [1])) == [None, None, "t", "shout", [1]]

    def test_a_close_has_its_join_ref_twice(self) -> None:
        assert text(V2.encode_close("2", "t", "phx_close", {})) == ["2", "2", "t", "phx_close", {}]

    def test_more_than_five_elements_are_fine(self) -> None:
        assert V2.decode(b'["1","2","t","e",{},"more",7]', False) == Frame("1", "2", "t", "e", {})

    @given(st.tuples(json_values, json_values, json_values, json_values, json_values))
    def test_a_request_arrives_as_it_was_sent(self, fields: tuple[Any, ...]) -> None:
        encoded = V2.encode_request(Frame(*fields))
        assert typed(astuple(V2.decode(encoded.data, encoded.binary))) == typed(fields)

    @given(json_values, json_values, json_values, names)
    def test_refs_of_any_json_type_are_echoed_as_they_came(
        self, join_ref: Any, ref: Any, topic: Any, status: str
    ) -> None:
        encoded = V2.encode_reply(join_ref, ref, topic, status, {})
        frame = V2.decode_from_server(encoded.data, encoded.binary)
        assert typed([frame.join_ref, frame.ref, frame.topic]) == typed([join_ref, ref, topic])


class TestV1:
    def test_a_push_is_an_object_with_a_null_ref_and_without_its_join_ref(self) -> None:
        push = {"topic": "t", "event": "thought", "payload": {"n": 1}, "ref": None}
        assert text(V1.encode_push("2", "t", "thought", {"n": 1})) == push

    def test_a_reply_echoes_the_ref_and_hides_the_join_ref(self) -> None:
        reply = {"topic": "t", "event": "phx_reply", "payload": {"response": {}, "status": "ok"}, "ref": "3"}
        assert text(V1.encode_reply("2", "3", "t", "ok", {})) == reply

    def test_a_broadcast_has_a_null_ref(self) -> None:
        broadcast = {"topic": "t", "event": "shout", "payload": [1], "ref": None}
        assert text(V1.encode_broadcast("t", "shout", [1])) == broadcast

    def test_a_close_carries_the_join_ref_as_its_ref(self) -> None:
        assert text(V1.encode_close("2", "t", "phx_close", {}))["ref"] == "2"

    def test_a_join_ref_key_is_read(self) -> None:
        data = b'{"topic": "t", "event": "e", "payload": {}, "ref": "2", "join_ref": "1"}'
        assert V1.decode(data, False) == Frame("1", "2", "t", "e", {})

    def test_unknown_keys_are_fine(self) -> None:
        assert V1.decode(b'{"topic":"t","event":"e","payload":{},"ref":null,"x":1}', False) == Frame(
            None, None, "t", "e", {}
        )

    def test_json_in_a_binary_message_is_read(self) -> None:
        assert V1.decode(b'{"topic":"t","event":"e","payload":{},"ref":"1"}', True) == Frame(None, "1", "t", "e", {})

    def test_a_join_ref_that_is_null_is_not_written(self) -> None:
        assert "join_ref" not in text(V1.encode_request(Frame(None, "1", "t", "e", {})))

    @pytest.mark.parametrize("encode", [V1.encode_push, V1.encode_close])
    def test_bytes_are_refused_as_v1_has_no_binary_frames(self, encode: Any) -> None:
        with pytest.raises(TypeError, match="vsn=2.0.0"):
            encode(None, "t", "e", b"bytes")

    @given(st.tuples(json_values, json_values, json_values, json_values, json_values))
    def test_a_request_arrives_as_it_was_sent(self, fields: tuple[Any, ...]) -> None:
        encoded = V1.encode_request(Frame(*fields))
        assert typed(astuple(V1.decode(encoded.data, encoded.binary))) == typed(fields)


class TestBinary:
    """V2 frames whose payload is bytes; the layouts are those of the golden transcripts."""

    def test_a_clients_push_has_both_refs(self) -> None:
        data = b"\x00\x01\x02\x01\x03" + b"9" + b"12" + b"t" + b"evt" + b"\x00\xff"
        assert V2.decode(data, True) == Frame("9", "12", "t", "evt", b"\x00\xff")
        assert V2.encode_request(Frame("9", "12", "t", "evt", b"\x00\xff")).data == data

    def test_a_servers_push_has_no_ref(self) -> None:
        encoded = V2.encode_push("9", "t", "evt", b"\x00\xff")
        assert (encoded.data, encoded.binary) == (b"\x00\x01\x01\x03" + b"9" + b"t" + b"evt" + b"\x00\xff", True)

    def test_a_reply_names_its_status(self) -> None:
        encoded = V2.encode_reply("9", "12", "t", "ok", b"\x00\xff")
        assert (encoded.data, encoded.binary) == (
            b"\x01\x01\x02\x01\x02" + b"9" + b"12" + b"t" + b"ok" + b"\x00\xff",
            True,
        )

    def test_a_broadcast_has_no_refs(self) -> None:
        encoded = V2.encode_broadcast("t", "evt", b"\x00\xff")
        assert (encoded.data, encoded.binary) == (b"\x02\x01\x03" + b"t" + b"evt" + b"\x00\xff", True)

    def test_an_absent_ref_is_null(self) -> None:
        assert V2.decode(b"\x00\x00\x00\x01\x01te", True) == Frame(None, None, "t", "e", b"")

    @pytest.mark.parametrize("kind", [1, 2, 3, 7, 255])
    def test_a_client_may_send_pushes_only(self, kind: int) -> None:
        with pytest.raises(MalformedFrame, match="unknown kind"):
            V2.decode(bytes([kind]) + b"\x00\x00\x01\x01te", True)

    def test_a_name_too_long_for_its_length_byte_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at most 255 bytes"):
            V2.encode_push("1", "t" * 256, "e", b"")

    @pytest.mark.parametrize("length", range(12))
    def test_a_frame_cut_short_is_malformed(self, length: int) -> None:
        data = V2.encode_request(Frame("j", "r", "topic", "e", b"")).data
        with pytest.raises(MalformedFrame):
            V2.decode(data[:length], True)

    def test_a_name_that_is_no_utf8_is_malformed(self) -> None:
        with pytest.raises(MalformedFrame):
            V2.decode(b"\x00\x00\x00\x01\x01\xffe", True)

    @given(names, names, names, names, st.binary(max_size=300))
    def test_a_request_arrives_as_it_was_sent(
        self, join_ref: str, ref: str, topic: str, event: str, payload: bytes
    ) -> None:
        encoded = V2.encode_request(Frame(join_ref or None, ref or None, topic, event, payload))
        assert V2.decode(encoded.data, encoded.binary) == Frame(join_ref or None, ref or None, topic, event, payload)

    @given(names, names, names, names, st.binary(max_size=300))
    def test_what_a_server_sends_arrives(self, join_ref: str, ref: str, topic: str, name: str, payload: bytes) -> None:
        def arrives(encoded: Encoded) -> Frame:
            return V2.decode_from_server(encoded.data, encoded.binary)

        assert arrives(V2.encode_push(join_ref, topic, name, payload)) == Frame(
            join_ref or None, None, topic, name, payload
        )
        assert arrives(V2.encode_broadcast(topic, name, payload)) == Frame(None, None, topic, name, payload)
        reply = {"status": name, "response": payload}
        assert arrives(V2.encode_reply(join_ref, ref, topic, name, payload)) == Frame(
            join_ref or None, ref or None, topic, "phx_reply", reply
        )


def assert_frame_or_malformed(data: bytes, binary: bool) -> None:
    for decode in (V1.decode, V2.decode, V1.decode_from_server, V2.decode_from_server):
        try:
            assert isinstance(decode(data, binary), Frame)
        except MalformedFrame as malformed:
            assert malformed.close_code in (1007, 1011)


class TestMalformed:
    """Phoenix closes a connection that sends one of these; here they are one exception."""

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{nope",
            b"null",
            b'"text"',
            b'{"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}',
            b'[null, "1", "phoenix", "heartbeat"]',
            b"[1e999, null, null, null, null]",
            b"[" * 100_000,
        ],
    )
    def test_v2_refuses(self, data: bytes) -> None:
        with pytest.raises(MalformedFrame, match="not a V2 message"):
            V2.decode(data, False)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{nope",
            b'[null, "1", "phoenix", "heartbeat", {}]',
            b'{"event": "e", "payload": {}, "ref": "1"}',
            b'{"topic": "t", "payload": {}, "ref": "1"}',
            b'{"topic": "t", "event": "e", "ref": "1"}',
            b'{"topic": "t", "event": "e", "payload": {}}',
            b'{"topic":' * 100_000,
        ],
    )
    def test_v1_refuses(self, data: bytes) -> None:
        with pytest.raises(MalformedFrame, match="not a V1 message"):
            V1.decode(data, False)

    def test_an_empty_binary_message_is_malformed(self) -> None:
        with pytest.raises(MalformedFrame, match="empty"):
            V2.decode(b"", True)

    @BOTH
    def test_a_malformed_message_closes_with_1011(self, serializer: Serializer) -> None:
        with pytest.raises(MalformedFrame) as malformed:
            serializer.decode(b"{nope", False)
        assert malformed.value.close_code == 1011

    def test_json_in_a_binary_message_need_not_be_utf8_to_be_merely_malformed(self) -> None:
        with pytest.raises(MalformedFrame) as malformed:
            V1.decode(b"\xff", True)
        assert malformed.value.close_code == 1011

    @BOTH
    @pytest.mark.parametrize(
        "data", [b'["\xff",null,"t","e",{}]', b'{"topic":"\xff","event":"e","payload":0,"ref":0}', b"\xff", b"{\xff"]
    )
    def test_text_that_is_no_utf8_closes_with_1007(self, serializer: Serializer, data: bytes) -> None:
        with pytest.raises(MalformedFrame) as malformed:
            serializer.decode(data, False)
        assert malformed.value.close_code == 1007

    @given(st.binary(max_size=80), st.booleans())
    @example(b"[1" + b"1" * 5000 + b",0,0,0,0]", False)
    def test_no_bytes_raise_anything_else(self, data: bytes, binary: bool) -> None:
        assert_frame_or_malformed(data, binary)

    @given(st.data())
    def test_no_damaged_frame_raises_anything_else(self, data: st.DataObject) -> None:
        fields = data.draw(st.tuples(json_values, json_values, names, names, json_values | st.binary(max_size=20)))
        binary_fields = isinstance(fields[4], bytes)
        frame = Frame("j", "r", *fields[2:]) if binary_fields else Frame(*fields)
        encoded = V2.encode_request(frame) if binary_fields or data.draw(st.booleans()) else V1.encode_request(frame)
        damaged = bytearray(encoded.data)
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        del damaged[data.draw(st.integers(0, len(damaged))) :]
        assert_frame_or_malformed(bytes(damaged), encoded.binary)


class TestPayloads:
    def test_a_raw_payload_is_set_into_a_frame_as_it_is(self) -> None:
        assert V2.encode_push("1", "t", "e", raw({"n": 1})).data == V2.encode_push("1", "t", "e", {"n": 1}).data

    def test_raw_leaves_bytes_alone(self) -> None:
        assert raw(b"bytes") == b"bytes"

    def test_numpy_values_become_plain_ones(self) -> None:
        numpy = pytest.importorskip("numpy")
        assert encode_json({"a": numpy.arange(3), "b": numpy.float64(0.5)}) == b'{"a":[0,1,2],"b":0.5}'

    def test_a_pandas_frame_becomes_its_columns(self) -> None:
        pandas = pytest.importorskip("pandas")
        assert json.loads(encode_json(pandas.DataFrame({"a": [1, 2]}))) == {"a": {"0": 1, "1": 2}}

    def test_a_value_without_a_json_form_is_named(self) -> None:
        with pytest.raises(TypeError, match="Lock has no JSON form|lock has no JSON form"):
            encode_json({"a": __import__("threading").Lock()})


class TestVersions:
    @pytest.mark.parametrize(
        ("vsn", "serializer"), [(None, V1), ("1.0.0", V1), ("1.0.7", V1), ("2.0.0", V2), ("2.0.9", V2)]
    )
    def test_a_version_chooses_its_serializer(self, vsn: str | None, serializer: Serializer) -> None:
        assert serializer_for(vsn) is serializer

    @pytest.mark.parametrize(
        "vsn", ["", "2", "2.0", "2.1.0", "3.0.0", "junk", "2.0.0x", "12.0.0", "2.0.\u0661", "2.0.0\n"]
    )
    def test_other_versions_are_refused(self, vsn: str) -> None:
        assert serializer_for(vsn) is None


class TestHead:
    @BOTH
    @given(payload=json_values)
    def test_it_is_the_frame_without_its_payload(self, serializer: Serializer, payload: Any) -> None:
        encoded = serializer.encode_request(Frame("1", "2", "t", "e", payload))
        assert serializer.head(encoded.data, encoded.binary) == Frame("1", "2", "t", "e", None)

    @BOTH
    def test_what_is_too_long_for_a_name_is_left_out(self, serializer: Serializer) -> None:
        encoded = serializer.encode_request(Frame(None, "2" * 2000, "t", "e", {}))
        assert serializer.head(encoded.data, False) == Frame(None, None, "t", "e", None)

    @BOTH
    @pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b"7"])
    def test_what_is_no_frame_is_said_to_be_none(self, serializer: Serializer, data: bytes) -> None:
        with pytest.raises(MalformedFrame):
            serializer.head(data, False)

    def test_binary_frames_have_one(self) -> None:
        encoded = V2.encode_request(Frame("1", "2", "t", "e", b"x" * 5000))
        assert astuple(V2.head(encoded.data, True))[:4] == ("1", "2", "t", "e")
