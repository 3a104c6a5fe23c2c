"""MessageRouter: takes what queries say to every connection of their agent.

It publishes on the agent's topic; on which node the connections are is PubSub's concern.
"""

from __future__ import annotations

from typing import Any

from synapse.channels import Message, PubSub, Subscriber
from synapse.protocol import Error, Interrupted, Outcome, Result, Thought


def topic_of(agent: str) -> str:
    """An agent's topic.

    >>> topic_of("a1")
    'cortex:a1'
    """
    return f"cortex:{agent}"


class MessageRouter:
    """Publishes the cortex protocol's messages, and returns what it published where that may be sent again."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub

    def subscribe(self, agent: str, subscriber: Subscriber) -> None:
        """Hear all that is routed to an agent."""
        self._pubsub.subscribe(topic_of(agent), subscriber)

    def unsubscribe(self, agent: str, subscriber: Subscriber) -> None:
        """Hear no more."""
        self._pubsub.unsubscribe(topic_of(agent), subscriber)

    def broadcast_thought(self, agent: str, ref: str, thought: Any, timestamp: int, seq: int | None = None) -> Message:
        """One step of a query; `timestamp` is Unix time in ms. Raises TypeError if it has no JSON form."""
        return self._publish(agent, "thought", Thought(thought, ref, timestamp, seq), keep=False, stream=ref)

    def broadcast_result(self, agent: str, ref: str, status: Outcome, data: Any, latency_ms: float) -> Message:
        """The ending of a query. Raises TypeError if the data have no JSON form."""
        return self._publish(agent, "result", Result(ref, status, data, latency_ms))

    def broadcast_interrupted(self, agent: str, ref: str, reason: str) -> Message:
        """The ending of an interrupted query."""
        return self._publish(agent, "interrupted", Interrupted(ref, reason))

    def broadcast_error(self, agent: str, error: Error) -> None:
        """Something went wrong that belongs to no one message of the agent's."""
        self._publish(agent, "error", error)

    def broadcast_system(self, agent: str, event: str, payload: Any) -> None:
        """News from the server itself."""
        self._publish(agent, event, payload)

    def _publish(
        self, agent: str, event: str, payload: Any, *, keep: bool = True, stream: str | None = None
    ) -> Message:
        message = Message(topic_of(agent), event, payload, keep=keep, stream=stream)
        self._pubsub.publish(message)
        return message
