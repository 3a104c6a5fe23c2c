"""What Prometheus scrapes: the core's events as counters and histograms, its state as gauges, and the health.

An event costs a look-up and an addition to a plain number. prometheus_client comes in at a scrape, where it
turns these numbers into its text. The names and what they mean stand in ``docs/metrics.md``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from synapse.cortex import ALL_OTHERS, Cortex, Scheduler
from synapse.telemetry import STATUSES, Dropped, Finished, PresenceChanged, Refused, Rejected, Started
from synapse.telemetry.table import RESULTS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Tally: TypeAlias = Counter[tuple[str, ...]]
"""How often, by the values of a metric's labels."""

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_EVERY = 0.5  # s between two looks at the lag of the loop

NEARLY_FULL = 0.9  # of the queue's bound
OVERLOAD_MEMORY = 5.0  # s for which a query that was turned away counts


class Histogram:
    """How many values were at most so large, for each of some bounds, in s."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """The bounds with how many values were at or below each, as Prometheus wants them."""
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            buckets.append((bound, below))
        return buckets


class Metrics:
    """The numbers of one cortex since its start, fed by its bus and read at a scrape.

    Parameters
    ----------
    cortex
        Whose. All is called on its clock's thread.
    """

    def __init__(self, cortex: Cortex) -> None:
        self._cortex = cortex
        self._started_at = cortex.clock.time()
        self._queries: Tally = Counter({(status,): 0 for status in STATUSES})
        self._rejections: Tally = Counter()
        self._refusals: Tally = Counter()
        self._dropped_messages: Tally = Counter()
        self._dropped_bytes: Tally = Counter()
        self._presence: Tally = Counter({("join",): 0, ("leave",): 0})
        self._waits: dict[str, Histogram] = {ALL_OTHERS: Histogram(LATENCY_BUCKETS)}
        self._first_thought = Histogram(LATENCY_BUCKETS)
        self._result = Histogram(LATENCY_BUCKETS)
        self._lag = Histogram(LAG_BUCKETS)
        self._overloaded_at = -math.inf
        self._notes: dict[type, Callable[[Any], None]] = {
            Started: self._note_started,
            Finished: self._note_finished,
            Rejected: self._note_rejected,
            Refused: self._note_refused,
            Dropped: self._note_dropped,
            PresenceChanged: self._note_presence,
        }
        cortex.bus.listen(self.hear)
        self._worst_lag = 0.0
        self._timer = cortex.clock.call_later(0, self._await_tick)  # the lag counts from when the loop runs

    def close(self) -> None:
        """Look at the loop's lag no more. Events are counted on."""
        self._timer.cancel()

    @property
    def health(self) -> str:
        """``draining``, ``overloaded`` or ``ready``.

        Overloaded: a queue is nearly full, or a query was turned away for overload a moment ago.
        """
        schedulers = self._cortex.schedulers
        if schedulers.draining:
            return "draining"
        if any(map(_nearly_full, schedulers.by_name().values())):
            return "overloaded"
        recent = self._cortex.clock.time() - self._overloaded_at < OVERLOAD_MEMORY
        return "overloaded" if recent else "ready"

    def take_lag(self) -> float:
        """The worst lag of the loop since the last time this was asked, in s."""
        worst, self._worst_lag = self._worst_lag, 0.0
        return worst

    # Events

    def hear(self, event: Any) -> None:
        """Take note of an event."""
        note = self._notes.get(type(event))
        if note is not None:
            note(event)

    def _note_started(self, event: Started) -> None:
        name = self._cortex.schedulers.name_of(event.handler)
        wait = self._waits.get(name)
        if wait is None:
            wait = self._waits[name] = Histogram(LATENCY_BUCKETS)
        wait.observe(event.waited)

    def _note_finished(self, event: Finished) -> None:
        self._queries[event.status,] += 1
        if event.first_thought is not None:
            self._first_thought.observe(event.first_thought - event.submitted)
        if event.status in RESULTS:
            self._result.observe(event.at - event.submitted)
        if event.reason == "overloaded":  # it was accepted, then evicted
            self._overloaded_at = event.at

    def _note_rejected(self, event: Rejected) -> None:
        self._queries["rejected",] += 1
        self._rejections[self._cortex.schedulers.name_of(event.handler), event.reason, event.policy] += 1
        if event.reason == "overloaded":
            self._overloaded_at = event.at

    def _note_refused(self, event: Refused) -> None:
        self._refusals[event.what, event.reason, event.policy] += 1

    def _note_dropped(self, event: Dropped) -> None:
        self._dropped_messages[event.policy,] += event.messages
        self._dropped_bytes[event.policy,] += event.bytes

    def _note_presence(self, event: PresenceChanged) -> None:
        self._presence["join",] += event.joins
        self._presence["leave",] += event.leaves

    # The lag of the loop

    def _await_tick(self) -> None:
        due = self._cortex.clock.time() + LAG_EVERY
        self._timer = self._cortex.clock.call_later(LAG_EVERY, lambda: self._tick(due))

    def _tick(self, due: float) -> None:
        lag = max(0.0, self._cortex.clock.time() - due)
        self._lag.observe(lag)
        self._worst_lag = max(self._worst_lag, lag)
        self._await_tick()

    # A scrape

    @cached_property
    def registry(self) -> CollectorRegistry:
        """A registry of our own: Jupyter's own metrics have theirs, and so has each service of a process."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def exposition(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and that format's content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        cortex, schedulers = self._cortex, self._cortex.schedulers.by_name()
        yield _gauge("synapse_uptime_seconds", "Time since the start.", cortex.clock.time() - self._started_at)
        yield _gauge("synapse_connections", "Open connections.", len(cortex.sockets))
        yield _gauge("synapse_agents", "Connected agents.", cortex.connections.count())
        yield _gauges(
            "synapse_queries_running", "Queries that hold a slot.", "handler",
            {name: one.running for name, one in schedulers.items()},
        )  # fmt: skip
        yield _gauges(
            "synapse_queries_limit", "How many may hold a slot.", "handler",
            {name: one.limit for name, one in schedulers.items()},
        )  # fmt: skip
        yield _gauges(
            "synapse_queue_depth", "Accepted queries that wait for a slot.", "handler",
            {name: one.waiting for name, one in schedulers.items()},
        )  # fmt: skip
        yield _counter("synapse_queries_total", "Queries by how they ended.", self._queries, "status")
        yield _counter("synapse_rejections_total", "Refused queries.", self._rejections, "handler", "reason", "policy")
        yield _counter(
            "synapse_refusals_total", "Refused connections, joins and messages.",
            self._refusals, "what", "reason", "policy",
        )  # fmt: skip
        lagging = [socket for socket in cortex.sockets.values() if socket.waiting]
        depth, size = sum(one.waiting for one in lagging), sum(one.waiting_bytes for one in lagging)
        yield _gauge("synapse_mailboxes", "Connections whose reader lags.", len(lagging))
        yield _gauge("synapse_mailbox_depth", "Messages that wait for readers.", depth)
        yield _gauge("synapse_mailbox_bytes", "Bytes that wait for readers.", size)
        yield _counter(
            "synapse_mailbox_dropped_messages_total", "Messages that slow readers have lost.",
            self._dropped_messages, "policy",
        )  # fmt: skip
        yield _counter(
            "synapse_mailbox_dropped_bytes_total", "Bytes that slow readers have lost.", self._dropped_bytes, "policy"
        )
        yield _counter(
            "synapse_presence_changes_total", "Metas that joined and left a presence.", self._presence, "change"
        )
        yield _histograms("synapse_queue_wait_seconds", "From submission to the slot.", "handler", self._waits)
        yield _histogram(
            "synapse_first_thought_latency_seconds", "From submission to the first thought.", self._first_thought
        )
        yield _histogram("synapse_result_latency_seconds", "From submission to the result.", self._result)
        yield _histogram("synapse_event_loop_lag_seconds", "How late a timer of the event loop was.", self._lag)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, meaning, value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counter(name: str, meaning: str, tally: Tally, *labels: str) -> CounterMetricFamily:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, meaning, labels=labels)
    for values, count in tally.items():
        family.add_metric(values, count)
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> HistogramMetricFamily:
    from prometheus_client.core import HistogramMetricFamily

    return HistogramMetricFamily(name, meaning, histogram.buckets(), histogram.total)


def _histograms(name: str, meaning: str, label: str, histograms: Mapping[str, Histogram]) -> HistogramMetricFamily:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, meaning, labels=[label])
    for value, histogram in histograms.items():
        family.add_metric([value], histogram.buckets(), histogram.total)
    return family


def _nearly_full(scheduler: Scheduler) -> bool:
    bound = getattr(scheduler.policies.queue, "bound", math.inf)  # another's policy may know none
    return scheduler.waiting >= max(1, NEARLY_FULL * bound)
