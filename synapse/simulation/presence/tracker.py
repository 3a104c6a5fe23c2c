"""Presence replicated by heartbeat: what one node sends, and when it takes another for gone.

Every `broadcast_period` a node tells the others what has joined and left at it since, if anything has; when nothing has
for `max_silent_periods`, it says just that it is there, and what it knows. Who hears of things it does not know asks
for them, every `clock_sample_periods`. Who hears nothing of a node for `down_period` hides its presences, and after
`permdown_period` forgets them. Source: Phoenix.Tracker.Shard and Phoenix.Tracker.Replica (phoenix_pubsub 2.1,
``lib/phoenix/tracker/shard.ex`` and ``replica.ex``), whose rules and order these are.

Simplified: one shard; a message is handled in no time; clocks run alike on all nodes; and see `replica_set`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from synapse.policies import Policy, PolicyError
from synapse.policies.fields import Bound, Count, Seconds
from synapse.simulation.env import Environment, Timer
from synapse.simulation.links import Links
from synapse.simulation.presence.clocks import Clocks, Context, Ref
from synapse.simulation.presence.replica_set import Changes, ReplicaSet, Tag

STUTTER = 0.25  # of a period: how far the first heartbeats of nodes that start together are spread


class Replication(Policy, frozen=True, tag="phoenix-tracker"):
    """How presence is replicated. The defaults are Phoenix.Tracker's.

    Parameters
    ----------
    broadcast_period
        How often a node tells what is new, in s.
    max_silent_periods
        After how many periods without news it says at least that it is there.
    down_period
        After how long without a word a node counts as down, in s. None: twice the longest silence,
        ``2 * broadcast_period * max_silent_periods``, which is 30 s.
    permdown_period
        After how long it is forgotten, in s.
    clock_sample_periods
        Every how many periods a node asks for what it does not know.
    """

    broadcast_period: Annotated[Seconds, Meta(description="How often a node tells what is new.")] = 1.5
    max_silent_periods: Annotated[Bound, Meta(description="Periods without news before a sign of life.")] = 10
    down_period: Annotated[Seconds, Meta(description="After how long without a word a node is down.")] | None = None
    permdown_period: Annotated[Seconds, Meta(description="After how long it is forgotten.")] = 1200.0
    clock_sample_periods: Annotated[Count, Meta(description="Periods between questions for what is missing.")] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.down < 2 * self.broadcast_period:
            raise PolicyError(
                "down_period",
                f"must be at least two broadcast periods, {2 * self.broadcast_period:g} s; not {self.down:g}",
            )
        if self.permdown_period <= self.down:
            raise PolicyError(
                "permdown_period", f"must be longer than the down period, {self.down:g} s; not {self.permdown_period:g}"
            )

    @property
    def down(self) -> float:
        """The down period, in s."""
        if self.down_period is not None:
            return self.down_period
        return 2 * self.broadcast_period * self.max_silent_periods


class Heartbeat(msgspec.Struct, eq=False):
    """What is new at a node, if anything, and what it knows."""

    ref: Ref
    delta: Changes | None
    context: Context


class TransferRequest(msgspec.Struct, eq=False):
    """A question for all that the other knows of the replicas in `context`."""

    ref: Ref
    context: Context


class Transfer(msgspec.Struct, eq=False):
    """The answer."""

    ref: Ref
    state: Changes


class Farewell(msgspec.Struct, eq=False):
    """A node stops, and says so."""

    ref: Ref


class Status(Enum):
    """What a node takes another for."""

    UP = "up"
    DOWN = "down"
    PERMDOWN = "permdown"


class Witness(Protocol):
    """Who wants to know what a node sees. It must change nothing."""

    def shows(self, observer: int, tags: list[Tag]) -> None:
        """Presences show at a node that did not."""

    def hides(self, observer: int, tags: list[Tag]) -> None:
        """Presences do not show any more."""

    def takes_for(self, observer: int, ref: Ref, status: Status) -> None:
        """A node has made up its mind about another."""


class Replica(msgspec.Struct, eq=False):
    """Another node, as one node sees it."""

    ref: Ref
    heard: float  # s
    status: Status = Status.UP


class Tracker:
    """One node's part, from one start to its crash or stop.

    Parameters
    ----------
    env
        The clock.
    links
        What carries its messages.
    ref
        Its node's name, and which start of the node this is.
    policy
        The periods.
    uniforms
        The stream of random numbers for its first heartbeat; one is taken.
    witness
        Is told what shows and what does not.
    offset
        How long before the first heartbeat is due, in s, besides the stutter of a quarter of a period at most.
    """

    __slots__ = ("_clocks", "_env", "_links", "_policy", "_samples", "_silent", "_timer", "_witness", "ref", "replicas",
                 "set")  # fmt: skip

    def __init__(
        self,
        env: Environment,
        links: Links,
        ref: Ref,
        policy: Replication,
        uniforms: Callable[[], float],
        witness: Witness,
        offset: float = 0.0,
    ) -> None:
        self._env = env
        self._links = links
        self._policy = policy
        self._witness = witness
        self._clocks = Clocks()
        self._samples = policy.clock_sample_periods
        self._silent = policy.max_silent_periods
        self.ref = ref
        self.set = ReplicaSet(ref)
        self.replicas: dict[int, Replica] = {}
        links.attach(ref[0], self.receive)
        first = offset + STUTTER * policy.broadcast_period * uniforms()
        self._timer: Timer = env.call_later(first, self._tick)

    def __repr__(self) -> str:
        return f"<Tracker {self.ref}, {len(self.replicas)} others, {self.set!r}>"

    def track(self) -> Tag:
        """Let one be present here. It shows here at once."""
        tag = self.set.join()
        self._witness.shows(self.ref[0], [tag])
        return tag

    def untrack(self, tag: Tag) -> None:
        """Let it be present no longer.

        Raises
        ------
        KeyError
            If it is not present here.
        """
        self.set.leave(tag)
        self._witness.hides(self.ref[0], [tag])

    def crash(self) -> None:
        """Stop without a word."""
        self._timer.cancel()
        self._links.detach(self.ref[0])

    def stop(self) -> None:
        """Take leave, so that the others need not wait, and stop."""
        self._links.broadcast(self.ref[0], Farewell(self.ref))
        self.crash()

    def receive(self, message: Any) -> None:
        """Handle a message of another node."""
        match message:
            case Heartbeat(ref, delta, context):
                self._hear(ref)
                if delta is not None:
                    self._merge(delta)
                self._clocks.append(ref, context)
            case TransferRequest(ref, context):
                self._links.send(self.ref[0], ref[0], Transfer(self.ref, self.set.extract(context)))
            case Transfer(_, state):
                self._merge(state)
            case Farewell(ref):
                replica = self.replicas.get(ref[0])
                if replica is not None and replica.ref == ref:
                    self._down(replica)
                    self._permdown(replica)

    def _tick(self) -> None:
        self._broadcast()
        self._ask()
        self._detect()
        self._timer = self._env.call_later(self._policy.broadcast_period, self._tick)

    def _broadcast(self) -> None:
        if self.set.delta.clouds:
            self._say(self.set.take_delta())
        elif self._silent >= self._policy.max_silent_periods:
            self._say(None)
        else:
            self._silent += 1

    def _say(self, delta: Changes | None) -> None:
        self._silent = 0
        self._links.broadcast(self.ref[0], Heartbeat(self.ref, delta, self.set.clock()))

    def _ask(self) -> None:
        """Ask those who know more, every so many periods."""
        if self._samples > 1:
            self._samples -= 1
            return
        self._samples = self._policy.clock_sample_periods
        self._clocks.append(self.ref, self.set.clock())
        for ref in self._clocks.contexts:
            if ref != self.ref:
                self._links.send(self.ref[0], ref[0], TransferRequest(self.ref, self.set.clock()))
        self._clocks = Clocks()

    def _detect(self) -> None:
        now = self._env.time()
        for replica in list(self.replicas.values()):
            silence = now - replica.heard
            if silence > self._policy.permdown_period:
                self._down(replica)
                self._permdown(replica)
            elif silence > self._policy.down:
                self._down(replica)

    def _hear(self, ref: Ref) -> None:
        """A heartbeat: its node is there; if it has been started anew, it is another than before."""
        now, replica = self._env.time(), self.replicas.get(ref[0])
        if replica is not None and replica.ref != ref:
            self._down(replica)
            self._permdown(replica)
            replica = None
        if replica is None:
            self.replicas[ref[0]] = Replica(ref, now)
            self._up(ref)
        else:
            replica.heard = now
            if replica.status is not Status.UP:
                replica.status = Status.UP
                self._up(ref)

    def _up(self, ref: Ref) -> None:
        self._witness.takes_for(self.ref[0], ref, Status.UP)
        self._witness.shows(self.ref[0], self.set.up(ref))

    def _down(self, replica: Replica) -> None:
        if replica.status is Status.UP:
            replica.status = Status.DOWN
            self._witness.takes_for(self.ref[0], replica.ref, Status.DOWN)
            self._witness.hides(self.ref[0], self.set.mark_down(replica.ref))

    def _permdown(self, replica: Replica) -> None:
        del self.replicas[replica.ref[0]]
        self.set.forget(replica.ref)
        self._witness.takes_for(self.ref[0], replica.ref, Status.PERMDOWN)

    def _merge(self, changes: Changes) -> None:
        joins, leaves = self.set.merge(changes)
        down = self.set.down
        if leaves:
            self._witness.hides(self.ref[0], [tag for tag in leaves if tag[0] not in down])
        if joins:
            self._witness.shows(self.ref[0], [tag for tag in joins if tag[0] not in down])
