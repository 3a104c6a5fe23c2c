"""PubSub, and the promise that a message is encoded once for all who get it in the same form."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from synapse.channels import LocalPubSub, Message
from synapse.protocol import V1_SERIALIZER as V1
from synapse.protocol import V2_SERIALIZER as V2


class Ear:
    """A subscriber that keeps what it gets, and then does what it is told."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.heard: list[Message] = []
        self.then = then

    def deliver(self, message: Message) -> None:
        self.heard.append(message)
        self.then()


NEWS = Message("news", "e", {"n": 1})


class TestLocalPubSub:
    def test_a_message_reaches_every_subscriber_of_its_topic_once(self) -> None:
        pubsub = LocalPubSub()
        ears = [Ear(), Ear()]
        for ear in ears:
            pubsub.subscribe("news", ear)
            pubsub.subscribe("news", ear)
        pubsub.publish(NEWS)
        assert [ear.heard for ear in ears] == [[NEWS], [NEWS]]

    def test_a_message_reaches_no_other_topic(self) -> None:
        pubsub, ear = LocalPubSub(), Ear()
        pubsub.subscribe("sports", ear)
        pubsub.publish(NEWS)
        assert ear.heard == []

    def test_whoever_unsubscribed_hears_no_more(self) -> None:
        pubsub, ear = LocalPubSub(), Ear()
        pubsub.subscribe("news", ear)
        pubsub.unsubscribe("news", ear)
        pubsub.publish(NEWS)
        assert ear.heard == []

    def test_to_unsubscribe_without_a_subscription_changes_nothing(self) -> None:
        pubsub, ear = LocalPubSub(), Ear()
        pubsub.unsubscribe("news", ear)
        pubsub.subscribe("news", ear)
        pubsub.unsubscribe("news", Ear())
        pubsub.publish(NEWS)
        assert ear.heard == [NEWS]

    def test_the_excluded_one_hears_nothing(self) -> None:
        pubsub, ear, excluded = LocalPubSub(), Ear(), Ear()
        pubsub.subscribe("news", ear)
        pubsub.subscribe("news", excluded)
        pubsub.publish(NEWS, exclude=excluded)
        assert (ear.heard, excluded.heard) == ([NEWS], [])

    def test_a_topic_without_subscribers_is_forgotten(self) -> None:
        pubsub, ear = LocalPubSub(), Ear()
        pubsub.subscribe("news", ear)
        assert len(pubsub) == 1
        pubsub.unsubscribe("news", ear)
        assert len(pubsub) == 0

    def test_a_subscriber_that_raises_leaves_the_others_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        pubsub, broken, sound = LocalPubSub(), Ear(lambda: 1 / 0), Ear()
        pubsub.subscribe("news", broken)
        pubsub.subscribe("news", sound)
        pubsub.publish(NEWS)
        assert sound.heard == [NEWS]
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_whoever_is_unsubscribed_by_a_delivery_is_not_delivered_to_any_more(self) -> None:
        pubsub, second = LocalPubSub(), Ear()
        first = Ear(lambda: pubsub.unsubscribe("news", second))
        pubsub.subscribe("news", first)
        pubsub.subscribe("news", second)
        pubsub.publish(NEWS)
        assert (first.heard, second.heard) == ([NEWS], [])

    def test_whoever_subscribes_during_a_delivery_hears_the_next_message_first(self) -> None:
        pubsub, second = LocalPubSub(), Ear()
        pubsub.subscribe("news", Ear(lambda: pubsub.subscribe("news", second)))
        pubsub.publish(NEWS)
        assert second.heard == []
        pubsub.publish(NEWS)
        assert second.heard == [NEWS]


class TestMessage:
    def test_a_broadcast_is_encoded_once_per_serializer(self) -> None:
        broadcast = Message("t", "e", {"n": 1}, broadcast=True)
        assert broadcast.encoded(V2, "1") is broadcast.encoded(V2, "2")
        assert broadcast.encoded(V1, "1") is broadcast.encoded(V1, None)
        assert broadcast.encoded(V1, None) is not broadcast.encoded(V2, None)

    def test_another_message_is_encoded_once_per_serializer_and_join_ref(self) -> None:
        message = Message("t", "e", {"n": 1})
        assert message.encoded(V2, "1") is message.encoded(V2, "1")
        assert message.encoded(V2, "1").data == b'["1",null,"t","e",{"n":1}]'
        assert message.encoded(V2, "2").data == b'["2",null,"t","e",{"n":1}]'

    def test_join_refs_that_python_takes_for_equal_stay_apart(self) -> None:
        message = Message("t", "e", {})
        heads = [message.encoded(V2, join_ref).data.split(b",")[0] for join_ref in (1, 1.0, True, "1")]
        assert heads == [b"[1", b"[1.0", b"[true", b'["1"']

    def test_a_payload_is_encoded_when_it_is_published_not_when_it_is_delivered(self) -> None:
        payload = {"n": 1}
        message = Message("t", "e", payload)
        payload["n"] = 2
        assert message.encoded(V1, None).data == b'{"topic":"t","event":"e","payload":{"n":1},"ref":null}'

    def test_bytes_travel_in_a_binary_broadcast(self) -> None:
        assert Message("t", "e", b"\xff", broadcast=True).encoded(V2, None).data == b"\x02\x01\x01te\xff"

    def test_a_payload_without_a_json_form_is_the_publishers_trouble(self) -> None:
        with pytest.raises(TypeError, match="no JSON form"):
            Message("t", "e", object())
