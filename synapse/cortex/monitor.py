"""The monitor: what happens on this node, for those who watch it.

Telemetry events are gathered for some milliseconds and sent as one batch, which is encoded once for all
observers of the same interval. With every join comes a snapshot, so that one who comes late sees the truth;
about once a second come gauges. While nobody watches, nothing of this runs. An observer that reads too slowly
loses its oldest batches, is told how many events that were, and gets a snapshot when it has caught up.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, cast

from synapse.channels import Message
from synapse.cortex.clock import Timer
from synapse.cortex.gauges import Gauges, Present, Rates, Snapshot, Unfinished, Waiting
from synapse.cortex.job import Job
from synapse.cortex.tape import Tape
from synapse.protocol import MONITOR
from synapse.telemetry import Event, Rejected

if TYPE_CHECKING:
    from synapse.cortex.cortex import Cortex
    from synapse.cortex.socket import CortexSocket

BATCH = 20_000  # events that may wait for the end of an interval
GAUGES_EVERY = 1.0  # s
RTT_SAMPLE = 500  # connections whose round trip is looked up at a time


class Probe(Protocol):
    """What only the driver can measure."""

    def lag(self) -> float | None:
        """How late the latest of the loop's timers was since the last time this was asked, in s."""

    def rtt(self, socket: CortexSocket) -> float | None:
        """The round trip to a connection's other end, in s; None where no one knows."""


class Observer(Protocol):
    """Who watches: a `MonitorChannel`."""

    @property
    def waiting(self) -> bool:
        """Whether batches wait for this one to catch up."""

    def take(self, message: Message, events: int) -> None:
        """Take a message with so many events in it."""

    def catch_up(self) -> None:
        """Send what waits, if that can be."""


class _Group:
    """The observers of one interval, and the events that wait for its end."""

    def __init__(self, monitor: Monitor, interval: float) -> None:
        self._monitor = monitor
        self._interval = interval
        self._clock = monitor.cortex.clock
        self._events: deque[Event] = deque(maxlen=BATCH)
        self._count = 0
        self._timer: Timer | None = None
        self.observers: dict[Observer, None] = {}

    def add(self, event: Event) -> None:
        """Keep an event for the next batch."""
        self._count += 1
        self._events.append(event)
        if self._timer is None:
            self._timer = self._clock.call_later(self._interval, self.flush)

    def flush(self) -> None:
        """Send what has come."""
        self.close()
        if self._count:
            batch = [*self._events]
            lost, self._count = self._count - len(batch), 0
            self._events.clear()
            message = news("events", {"events": batch, "dropped": lost})
            for observer in [*self.observers]:
                observer.take(message, len(batch))
        for observer in [*self.observers]:
            if observer.waiting:
                observer.catch_up()
        if self._timer is None and any(observer.waiting for observer in self.observers):
            self._timer = self._clock.call_later(self._interval, self.flush)

    def close(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Monitor:
    """Gathers what happens for those who watch.

    Parameters
    ----------
    cortex
        The node.

    Attributes
    ----------
    probe : Probe or None
        The driver's; set it before anybody watches.
    """

    def __init__(self, cortex: Cortex) -> None:
        self.cortex = cortex
        self.probe: Probe | None = None
        self._groups: dict[float, _Group] = {}
        self._timer: Timer | None = None
        self._refusals: Counter[str] = Counter()
        self._last: Gauges | None = None
        self._turn = 0
        self._stop_listening: Callable[[], object] = bool

    @property
    def observers(self) -> int:
        """How many watch."""
        return sum(len(group.observers) for group in self._groups.values())

    def watch(self, observer: Observer, interval: float) -> None:
        """Send all that happens from now on to an observer, every `interval` s. It is to have had a snapshot."""
        if not self._groups:
            self._begin()
        group = self._groups.get(interval)
        if group is None:
            group = self._groups[interval] = _Group(self, interval)
        group.observers[observer] = None

    def unwatch(self, observer: Observer) -> None:
        """Send no more; nothing happens if it did not watch."""
        for interval, group in [*self._groups.items()]:
            group.observers.pop(observer, None)
            if not group.observers:
                group.close()
                del self._groups[interval]
        if not self._groups:
            self._end()

    def settle(self) -> None:
        """Send what has been gathered: what comes next is no older than all that."""
        for group in [*self._groups.values()]:
            group.flush()

    def snapshot(self) -> Snapshot:
        """How everything is now."""
        cortex = self.cortex
        presence = cortex.presence.list()
        agents = []
        for agent in cortex.connections.list_active():
            held = cortex.connections.get(agent)
            metas = presence[agent]["metas"] if agent in presence else []
            agents.append(Present(agent, held[0].online_at, len(held), metas))
        return Snapshot(
            cortex.clock.time(), cortex.epoch, cortex.node, agents, [_unfinished(job) for job in cortex.interrupts],
            cortex.policies.encode(), self._gauges(),
        )  # fmt: skip

    def _begin(self) -> None:
        self._stop_listening = self.cortex.bus.listen(self._hear)
        self._refusals.clear()
        self._last = None
        self.cortex.tape = Tape()
        self._timer = self.cortex.clock.call_later(GAUGES_EVERY, self._look)

    def _end(self) -> None:
        self._stop_listening()
        self.cortex.tape = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hear(self, event: Event) -> None:
        if type(event) is Rejected:
            self._refusals[event.policy] += 1
        for group in self._groups.values():
            group.add(event)

    def _look(self) -> None:
        self._timer = self.cortex.clock.call_later(GAUGES_EVERY, self._look)
        self.settle()  # gauges are not to overtake the events that led to them
        self._last = self._gauges(self._round_trips())
        message = news("gauges", self._last)
        for group in self._groups.values():
            for observer in [*group.observers]:
                if not observer.waiting:  # the next ones will do
                    observer.take(message, 0)

    def _gauges(self, rtt: dict[str, float] | None = None) -> Gauges:
        cortex, scheduler, last = self.cortex, self.cortex.schedulers, self._last
        now = cortex.clock.time()
        counts = (scheduler.submitted, scheduler.rejected, scheduler.ended)
        rates = None
        if last is not None and now > last.at:
            before = (last.submitted, last.rejected, last.ended)
            rates = Rates(*((count - old) / (now - last.at) for count, old in zip(counts, before, strict=True)))
        return Gauges(
            now, cortex.connections.count(), len(cortex.sockets), self.observers,
            scheduler.running, scheduler.waiting, scheduler.limit, *counts, rates,
            None if self.probe is None else self.probe.lag(), _waiting(cortex.sockets.values()),
            dict(self._refusals), rtt or {},
        )  # fmt: skip

    def _round_trips(self) -> dict[str, float]:
        """The round trips of some agents; of the next ones the next time."""
        if self.probe is None:
            return {}
        found: dict[str, float] = {}
        channels = [*self.cortex.connections.channels()]
        start = self._turn if self._turn < len(channels) else 0
        for agent, channel in islice(channels, start, start + RTT_SAMPLE):
            rtt = self.probe.rtt(cast("CortexSocket", channel.socket))
            if rtt is not None:
                found[agent] = min(rtt, found.get(agent, rtt))
        self._turn = start + RTT_SAMPLE
        return found


def news(event: str, payload: Any) -> Message:
    """A message to observers."""
    return Message(MONITOR, event, payload, broadcast=True)


def _unfinished(job: Job) -> Unfinished:
    return Unfinished(
        job.agent, job.ref, job.handler, job.priority, job.attempt,
        job.submitted, job.started, job.first_thought, job.thoughts,
    )  # fmt: skip


def _waiting(sockets: Iterable[CortexSocket]) -> Waiting:
    lagging = [socket for socket in sockets if socket.waiting]
    depths = [socket.waiting for socket in lagging]
    return Waiting(len(lagging), sum(depths), sum(socket.waiting_bytes for socket in lagging), max(depths, default=0))
