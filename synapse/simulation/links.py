"""What carries messages from node to node: PubSub's links, with latency, loss and partitions.

A message is a Python object and one entry on the schedule; nothing is encoded and nothing waits in a process. As on
the TCP connections between Erlang's nodes, messages from one node to another arrive in the order in which they were
sent. A link knows nothing of what it carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ulp
from typing import Any

from synapse.simulation.env import Environment


class Links:
    """Every node linked with every other.

    Parameters
    ----------
    env
        The clock.
    latency
        The stream of the times that messages take, in s: ``variates.stream("links", law).__next__``, say.
    uniforms
        The stream of random numbers from [0, 1) that losses are decided by. None is taken if there is no loss.
    loss
        The probability that a message is lost.

    Attributes
    ----------
    sent, delivered, lost, cut, absent : int
        Messages: a broadcast to n nodes counts as n. `cut` were those between parts of the network that could not reach
        each other when they were sent or when they would have arrived; `absent`, to a node that was not there, or
        that has been started anew since. ``sent == delivered + lost + cut + absent + flying``.

    Raises
    ------
    ValueError
        If `loss` is no probability.
    """

    __slots__ = (
        "_arrivals", "_env", "_latency", "_loss", "_parts", "_ports", "_uniforms", "absent", "cut", "delivered", "lost",
        "sent",
    )  # fmt: skip

    def __init__(
        self,
        env: Environment,
        latency: Callable[[], float],
        uniforms: Callable[[], float],
        loss: float = 0.0,
    ) -> None:
        if not 0.0 <= loss <= 1.0:
            raise ValueError(f"loss must be a probability, from 0 to 1; not {loss}")
        self._env = env
        self._latency = latency
        self._uniforms = uniforms
        self._loss = loss
        self._ports: dict[int, Callable[[Any], object]] = {}
        self._parts: dict[int, int] | None = None  # which part of a split network each node is in
        self._arrivals: dict[tuple[int, int], float] = {}  # when the latest message arrives, by source and target
        self.sent = self.delivered = self.lost = self.cut = self.absent = 0

    def __repr__(self) -> str:
        return f"<Links of {len(self._ports)} nodes{', split' if self._parts else ''}, {self.delivered} delivered>"

    @property
    def flying(self) -> int:
        """How many messages are under way."""
        return self.sent - self.delivered - self.lost - self.cut - self.absent

    def attach(self, node: int, receive: Callable[[Any], object]) -> None:
        """Let a node take part. What is under way to one that had its name before is not for it.

        Parameters
        ----------
        node
            Its name.
        receive
            Is given each message.
        """
        self._ports[node] = receive

    def detach(self, node: int) -> None:
        """Take a node off. What it has sent still arrives; what is under way to it does not."""
        self._ports.pop(node, None)

    def split(self, groups: Iterable[Iterable[int]]) -> None:
        """Let messages pass within these groups only. Nodes of no group are one more. Replaces the split before."""
        self._parts = {node: part for part, group in enumerate(groups, 1) for node in group}

    def heal(self) -> None:
        """Let messages pass everywhere again."""
        self._parts = None

    def connected(self, a: int, b: int) -> bool:
        """Whether messages pass between two nodes."""
        parts = self._parts
        return parts is None or parts.get(a, 0) == parts.get(b, 0)

    def send(self, source: int, target: int, message: Any) -> None:
        """Send a message, which must not change any more."""
        self.sent += 1
        port = self._ports.get(target)
        if port is None:
            self.absent += 1
        elif not self.connected(source, target):
            self.cut += 1
        elif self._loss and self._uniforms() < self._loss:
            self.lost += 1
        else:
            delay = self._delay((source, target))
            self._env.call(delay, self._deliver, (source, target, port, message))

    def broadcast(self, source: int, message: Any) -> None:
        """Send a message to all other nodes, in the order in which they were attached."""
        for target in list(self._ports):
            if target != source:
                self.send(source, target, message)

    def _delay(self, way: tuple[int, int]) -> float:
        """A latency, or what it takes not to overtake the message before."""
        now, delay = self._env.time(), self._latency()
        before = self._arrivals.get(way, now)
        if now + delay < before:
            delay = before - now
            if now + delay < before:  # by rounding
                delay += ulp(before)
        self._arrivals[way] = now + delay
        return delay

    def _deliver(self, flight: tuple[int, int, Callable[[Any], object], Any]) -> None:
        source, target, port, message = flight
        if self._ports.get(target) != port:
            self.absent += 1
        elif not self.connected(source, target):
            self.cut += 1
        else:
            self.delivered += 1
            port(message)
