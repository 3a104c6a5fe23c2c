"""The pure core says what a real Phoenix said: every golden transcript that needs no HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from synapse.protocol import Encoded, serializer_for
from tests.support.channels import KeyDoor, TestChannel
from tests.support.golden import Matcher, Mismatch, Step, Transcript, load, transcripts
from tests.support.node import Node
from tests.support.peer import Peer
from tests.support.runner import EchoRunner

LISTEN = 0.5  # s after each step, as when the transcripts were made

Tamper = Callable[[Step, dict[str, list[Encoded]], dict[str, int]], None]


def replay(transcript: Transcript, tamper: Tamper | None = None) -> None:
    node = Node(EchoRunner, authorizer=KeyDoor(), channels={"cortex:golden-*": TestChannel})
    matcher = Matcher(transcript)
    peers: dict[str, Peer] = {}
    heard: dict[str, int] = {}
    for step in transcript.steps:
        if step.dir == "open":
            assert serializer_for(step.query.get("vsn")) is not None
            peers[step.conn] = node.peer(step.query.get("vsn"))
            heard[step.conn] = 0
            continue
        if step.dir == "send":
            peers[step.conn].send_raw(*step.message)
        else:
            peers[step.conn].disconnect()
        open_before = {conn for conn, peer in peers.items() if not peer.gone}
        node.settle(LISTEN)
        received = {conn: peer.transport.sent[heard[conn] :] for conn, peer in peers.items()}
        closed = {
            conn: code for conn in open_before if (code := peers[conn].transport.close_code) is not None
        }  # fmt: skip
        heard = {conn: len(peer.transport.sent) for conn, peer in peers.items()}
        if tamper is not None:
            tamper(step, received, closed)
        matcher.check(step, received, closed)
    for peer in peers.values():
        peer.disconnect()
    node.clock.run_until_idle()
    assert node.leftovers() == {}


@pytest.mark.parametrize("transcript", [t for t in transcripts() if not t.upgrades_only], ids=lambda t: t.name)
def test_the_core_answers_as_phoenix_did(transcript: Transcript) -> None:
    replay(transcript)


@pytest.mark.parametrize("step", load("upgrade_statuses").steps, ids=lambda step: step.conn)
def test_a_vsn_has_a_serializer_if_phoenix_let_it_in(step: Step) -> None:
    if "token" not in step.query:
        assert (serializer_for(step.query.get("vsn")) is not None) == (step.status == 101)


class TestTheMatcherItself:
    """A comparison that cannot fail proves nothing."""

    def test_all_transcripts_are_there(self) -> None:
        assert len(transcripts()) == 14

    def test_a_missing_frame_is_noticed(self) -> None:
        self.refuses("v2_session", lambda frames: frames.clear())

    def test_an_extra_frame_is_noticed(self) -> None:
        self.refuses("v2_session", lambda frames: frames.append(frames[-1]))

    def test_another_order_is_noticed(self) -> None:
        self.refuses("v2_stream_to_both_connections", lambda frames: frames.reverse())

    def test_presence_may_stand_anywhere_in_its_step(self) -> None:
        """Here, the reply stays first and only the presence frames change places."""

        def swap(step: Step, received: dict[str, list[Encoded]], closed: dict[str, int]) -> None:
            for frames in received.values():
                if b"phx_reply" in frames[0].data if frames else False:
                    frames[1:] = frames[:0:-1] if b"presence" in frames[-1].data else frames[1:]

        replay(load("v2_presence_two_connections"), swap)

    def test_another_value_is_noticed(self) -> None:
        self.refuses_text("v1_session", b'"processing"', b'"pending"')

    def test_a_number_in_the_place_of_a_text_is_noticed(self) -> None:
        self.refuses_text("v2_ref_types", b"[3,4,", b'["3",4,')

    def test_another_shape_of_a_volatile_value_is_noticed(self) -> None:
        self.refuses_text("v2_session", b'"timestamp":', b'"timestamp":null,"x":')

    def test_a_presence_ref_that_changes_on_its_way_is_noticed(self) -> None:
        def rename(frames: list[Encoded]) -> None:
            data = frames[-1].data
            if b'"leaves":{"' in data:
                ref = json.loads(data)[4]["leaves"]["golden-p"]["metas"][0]["phx_ref"]
                frames[-1] = Encoded(data.replace(ref.encode(), b"another"))

        self.refuses("v2_presence_two_connections", rename)

    def test_other_bytes_in_a_binary_frame_are_noticed(self) -> None:
        self.refuses_text("v2_binary", b"\x00\x01\xfe\xff", b"\x00\x01\xfe\xfe")

    def test_another_close_code_is_noticed(self) -> None:
        def change(step: Step, received: dict[str, list[Encoded]], closed: dict[str, int]) -> None:
            closed.update(dict.fromkeys(closed, 1000))

        with pytest.raises(Mismatch, match="closed with"):
            replay(load("close_codes"), change)

    def refuses(self, name: str, change: Callable[[list[Encoded]], None]) -> None:
        def tamper(step: Step, received: dict[str, list[Encoded]], closed: dict[str, int]) -> None:
            for frames in received.values():
                if frames:
                    change(frames)

        with pytest.raises(Mismatch, match=rf"^{name}\.jsonl:\d+"):
            replay(load(name), tamper)

    def refuses_text(self, name: str, old: bytes, new: bytes) -> None:
        def change(frames: list[Encoded]) -> None:
            frames[:] = [Encoded(frame.data.replace(old, new), frame.binary) for frame in frames]

        self.refuses(name, change)
