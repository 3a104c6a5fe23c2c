"""MessageRouter: the cortex protocol's messages, to every connection of their agent."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.channels import LocalPubSub, Message
from synapse.cortex import MessageRouter, topic_of
from synapse.protocol import V1_SERIALIZER, Error


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def deliver(self, message: Message) -> None:
        assert not message.broadcast
        frame = V1_SERIALIZER.decode_from_server(message.encoded(V1_SERIALIZER, None).data, False)
        self.heard.append((frame.event, frame.payload))


@pytest.fixture
def router() -> MessageRouter:
    return MessageRouter(LocalPubSub())


@pytest.fixture
def ear(router: MessageRouter) -> Ear:
    ear = Ear()
    router.subscribe("a", ear)
    return ear


def test_each_message_has_its_event_and_fields(router: MessageRouter, ear: Ear) -> None:
    router.broadcast_thought("a", "q1", {"content": "hm"}, 17)
    router.broadcast_result("a", "q1", "success", {"n": 1}, 2.5)
    router.broadcast_interrupted("a", "q2", "enough")
    router.broadcast_error("a", Error("overloaded", retry_after_ms=5))
    router.broadcast_system("a", "news", {"n": 1})
    assert ear.heard == [
        ("thought", {"thought": {"content": "hm"}, "ref": "q1", "timestamp": 17}),
        ("result", {"ref": "q1", "status": "success", "data": {"n": 1}, "latency_ms": 2.5}),
        ("interrupted", {"ref": "q2", "reason": "enough"}),
        ("error", {"reason": "overloaded", "retry_after_ms": 5}),
        ("news", {"n": 1}),
    ]


def test_other_agents_hear_nothing(router: MessageRouter, ear: Ear) -> None:
    router.broadcast_interrupted("b", "q1", "enough")
    assert ear.heard == []


def test_whoever_unsubscribed_hears_no_more(router: MessageRouter, ear: Ear) -> None:
    router.unsubscribe("a", ear)
    router.broadcast_interrupted("a", "q1", "enough")
    assert ear.heard == []


@pytest.mark.parametrize("thought", [object(), {"a": {1, object()}}, "\ud800"])
def test_what_has_no_json_form_is_refused(router: MessageRouter, ear: Ear, thought: Any) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        router.broadcast_thought("a", "q1", thought, 17)
    assert ear.heard == []


def test_an_agents_topic_bears_its_name() -> None:
    assert topic_of("my_agent") == "cortex:my_agent"
