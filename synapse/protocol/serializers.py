"""Bytes to frames and back: V1 objects, V2 arrays, V2 binary.

Phoenix chooses the serializer by the ``vsn`` query parameter of the upgrade: absent or ``1.0.x`` is
V1 (JSON objects), ``2.0.x`` is V2 (JSON arrays, and binary frames for binary payloads).

Server and client share these classes. The binary layouts differ by direction (a client's push has a
ref, a server's has none), hence `decode_from_server`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from synapse.protocol.errors import MalformedFrame
from synapse.protocol.frame import Encoded, Frame

PUSH, REPLY, BROADCAST = 0, 1, 2

Buffer = bytes | bytearray | memoryview

LONGEST_HEAD = 1024  # bytes of a field that `Serializer.head` decodes; a longer one is no name and no number


def _plain(value: object) -> object:
    """Turn numpy and pandas values into plain ones, without importing either."""
    for name in ("tolist", "to_dict"):
        convert = getattr(value, name, None)
        if callable(convert):
            return convert()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
encode_json: Callable[[object], bytes] = _encoder.encode
"""JSON bytes of any plain value; numpy and pandas values by their ``tolist`` or ``to_dict``."""


def raw(payload: object) -> msgspec.Raw | bytes:
    """Encode a payload once, to be set into any number of frames. Bytes stay bytes."""
    return payload if isinstance(payload, bytes) else msgspec.Raw(encode_json(payload))


class Serializer(Protocol):
    """What a socket needs of a serializer. The room's two are stateless and shared."""

    vsn: str
    binary: bool
    """Whether `bytes` payloads have a form in it."""

    def decode(self, data: Buffer, binary: bool) -> Frame:
        """Decode what a client sent. Raises `MalformedFrame`."""

    def head(self, data: Buffer, binary: bool) -> Frame:
        """Decode what a client sent but its payload, which costs next to nothing. Raises `MalformedFrame`."""

    def decode_from_server(self, data: Buffer, binary: bool) -> Frame:
        """Decode what a server sent. Raises `MalformedFrame`."""

    def encode_request(self, frame: Frame) -> Encoded:
        """Encode a client's push, its ref included."""

    def encode_push(self, join_ref: Any, topic: Any, event: str, payload: Any, ref: Any = None) -> Encoded:
        """Encode a server's push."""

    def encode_reply(self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any) -> Encoded:
        """Encode a ``phx_reply``."""

    def encode_broadcast(self, topic: str, event: str, payload: Any) -> Encoded:
        """Encode a broadcast: both refs null."""

    def encode_close(self, join_ref: Any, topic: str, event: str, payload: Any) -> Encoded:
        """Encode ``phx_close`` and ``phx_error``, whose ref is the join_ref."""


class _Object(msgspec.Struct, gc=False):
    topic: Any
    event: Any
    payload: Any
    ref: Any
    join_ref: Any = None


class _ObjectHead(msgspec.Struct, gc=False):
    topic: msgspec.Raw
    event: msgspec.Raw
    payload: msgspec.Raw
    ref: msgspec.Raw
    join_ref: msgspec.Raw = msgspec.Raw(b"null")


class _ArrayHead(msgspec.Struct, array_like=True, gc=False):
    join_ref: msgspec.Raw
    ref: msgspec.Raw
    topic: msgspec.Raw
    event: msgspec.Raw
    payload: msgspec.Raw


_decode_object = msgspec.json.Decoder(_Object).decode
_decode_object_head = msgspec.json.Decoder(_ObjectHead).decode
_decode_array_head = msgspec.json.Decoder(_ArrayHead).decode
_decode_array = msgspec.json.Decoder(Frame).decode
_decode_any = msgspec.json.Decoder().decode


class V1:
    """JSON objects ``{topic, event, payload, ref}``. A join_ref is read if sent and never written."""

    vsn = "1.0.0"
    binary = False

    def decode(self, data: Buffer, binary: bool) -> Frame:  # V1 reads JSON from binary frames too
        try:
            message = _decode_object(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed("V1", data, binary, error) from None
        return Frame(message.join_ref, message.ref, message.topic, message.event, message.payload)

    decode_from_server = decode

    def head(self, data: Buffer, binary: bool) -> Frame:
        try:
            return _head(_decode_object_head(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed("V1", data, binary, error) from None

    def encode_request(self, frame: Frame) -> Encoded:
        message = {"topic": frame.topic, "event": frame.event, "payload": _text(frame.payload), "ref": frame.ref}
        if frame.join_ref is not None:
            message["join_ref"] = frame.join_ref
        return Encoded(encode_json(message))

    def encode_push(self, join_ref: Any, topic: Any, event: str, payload: Any, ref: Any = None) -> Encoded:  # noqa: ARG002
        return Encoded(encode_json({"topic": topic, "event": event, "payload": _text(payload), "ref": ref}))

    def encode_reply(self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any) -> Encoded:
        payload = {"response": _text(response), "status": status}
        return self.encode_push(join_ref, topic, "phx_reply", payload, ref)

    def encode_broadcast(self, topic: str, event: str, payload: Any) -> Encoded:
        return self.encode_push(None, topic, event, payload)

    def encode_close(self, join_ref: Any, topic: str, event: str, payload: Any) -> Encoded:
        return self.encode_push(join_ref, topic, event, payload, ref=join_ref)


class V2:
    """JSON arrays ``[join_ref, ref, topic, event, payload]``, and binary frames for `bytes` payloads."""

    vsn = "2.0.0"
    binary = True

    def decode(self, data: Buffer, binary: bool) -> Frame:
        if binary:
            return _decode_binary(data, {PUSH: _read_request})
        try:
            return _decode_array(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed("V2", data, binary, error) from None

    def head(self, data: Buffer, binary: bool) -> Frame:
        if binary:
            return _decode_binary(data, {PUSH: _read_request})
        try:
            return _head(_decode_array_head(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed("V2", data, binary, error) from None

    def decode_from_server(self, data: Buffer, binary: bool) -> Frame:
        if binary:
            return _decode_binary(data, {PUSH: _read_push, REPLY: _read_reply, BROADCAST: _read_broadcast})
        return self.decode(data, binary=False)

    def encode_request(self, frame: Frame) -> Encoded:
        if isinstance(frame.payload, bytes):
            names = (frame.join_ref, frame.ref, frame.topic, frame.event)
            return _encode_binary(PUSH, names, frame.payload)
        return Encoded(encode_json(frame))

    def encode_push(self, join_ref: Any, topic: Any, event: str, payload: Any, ref: Any = None) -> Encoded:
        if isinstance(payload, bytes):
            return _encode_binary(PUSH, (join_ref, topic, event), payload)
        return Encoded(encode_json((join_ref, ref, topic, event, payload)))

    def encode_reply(self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any) -> Encoded:
        if isinstance(response, bytes):
            return _encode_binary(REPLY, (join_ref, ref, topic, status), response)
        payload = {"response": response, "status": status}
        return Encoded(encode_json((join_ref, ref, topic, "phx_reply", payload)))

    def encode_broadcast(self, topic: str, event: str, payload: Any) -> Encoded:
        if isinstance(payload, bytes):
            return _encode_binary(BROADCAST, (topic, event), payload)
        return Encoded(encode_json((None, None, topic, event, payload)))

    def encode_close(self, join_ref: Any, topic: str, event: str, payload: Any) -> Encoded:
        return Encoded(encode_json((join_ref, join_ref, topic, event, payload)))


V1_SERIALIZER: Serializer = V1()
V2_SERIALIZER: Serializer = V2()

_VERSION = re.compile(r"([12])\.0\.\d+", re.ASCII)


def serializer_for(vsn: str | None) -> Serializer | None:
    """The serializer for an upgrade's ``vsn``, None if Phoenix would refuse it (HTTP 403).

    >>> serializer_for("2.0.0").vsn, serializer_for(None).vsn, serializer_for("2.1.0")
    ('2.0.0', '1.0.0', None)
    """
    if vsn is None:
        return V1_SERIALIZER
    match = _VERSION.fullmatch(vsn)
    if match is None:
        return None
    return V1_SERIALIZER if match[1] == "1" else V2_SERIALIZER


def _head(raw: _ObjectHead | _ArrayHead) -> Frame:
    return Frame(_short(raw.join_ref), _short(raw.ref), _short(raw.topic), _short(raw.event), None)


def _short(field: msgspec.Raw) -> Any:
    return _decode_any(field) if len(memoryview(field)) <= LONGEST_HEAD else None


def _malformed(version: str, data: Buffer, binary: bool, error: Exception) -> MalformedFrame:
    close_code = 1011 if binary or is_utf8(data) else 1007
    return MalformedFrame(f"not a {version} message: {error}", close_code)


def is_utf8(data: Buffer) -> bool:
    """Whether bytes are UTF-8, as text messages must be (RFC 6455, section 8.1)."""
    try:
        bytes(data).decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(payload: Any) -> Any:
    if isinstance(payload, bytes):
        raise TypeError("V1 has no binary frames: a bytes payload needs vsn=2.0.0")
    return payload


def _encode_binary(kind: int, names: tuple[Any, ...], data: bytes) -> Encoded:
    """Lay out ``kind |len|... name... data``, one length byte a name."""
    encoded = [b"" if name is None else str(name).encode() for name in names]
    for name in encoded:
        if len(name) > 255:
            raise ValueError(f"a binary frame's names have at most 255 bytes, {name[:20]!r}... has {len(name)}")
    head = bytes([kind, *map(len, encoded)])
    return Encoded(b"".join([head, *encoded, data]), binary=True)


_Reader = Callable[[bytes], Frame]


def _decode_binary(data: Buffer, readers: dict[int, _Reader]) -> Frame:
    reader = readers.get(data[0]) if data else None
    if reader is None:
        raise MalformedFrame("a binary frame of unknown kind" if data else "an empty binary frame")
    try:
        return reader(bytes(data))
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedFrame(f"a binary frame cut short or with a name that is not UTF-8: {error}") from None


def _names(data: bytes, count: int) -> tuple[list[str], bytes]:
    lengths = data[1 : 1 + count]
    if len(lengths) < count or len(data) < 1 + count + sum(lengths):
        raise IndexError(f"{len(data)} bytes")
    names, at = [], 1 + count
    for length in lengths:
        names.append(data[at : at + length].decode())
        at += length
    return names, data[at:]


def _read_request(data: bytes) -> Frame:
    (join_ref, ref, topic, event), payload = _names(data, 4)
    return Frame(join_ref or None, ref or None, topic, event, payload)


def _read_push(data: bytes) -> Frame:
    (join_ref, topic, event), payload = _names(data, 3)
    return Frame(join_ref or None, None, topic, event, payload)


def _read_reply(data: bytes) -> Frame:
    (join_ref, ref, topic, status), payload = _names(data, 4)
    return Frame(join_ref or None, ref or None, topic, "phx_reply", {"status": status, "response": payload})


def _read_broadcast(data: bytes) -> Frame:
    (topic, event), payload = _names(data, 2)
    return Frame(None, None, topic, event, payload)
