"""Processes of arrivals: when the next query of an open population comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from synapse.policies import PolicyError
from synapse.simulation.distributions import Array, Exponential, read_column
from synapse.simulation.env import Schedule
from synapse.simulation.spec.arrivals import Arrivals, Bursty, Closed, Diurnal, Poisson, Regular, Trace
from synapse.simulation.variates import Variates

NEVER = math.inf


class Source:
    """Calls `arrive` at each arrival of a process, whose own clock can be made to run faster or slower.

    Parameters
    ----------
    env
        The clock.
    times
        When queries come, in order, by the process's own clock, s.
    arrive
        What is called.
    """

    __slots__ = ("_arrive", "_come_call", "_due", "_env", "_from", "_is_steady", "_next", "_pace", "_since", "_times")

    def __init__(self, env: Schedule, times: Iterator[float], arrive: Callable[[], object]) -> None:
        self._env = env
        self._times = times
        self._arrive = arrive
        self._pace = 1.0
        self._is_steady = env.time() == 0.0  # its clock and the environment's are one
        self._since = self._from = env.time()  # when the pace was set last, by the environment's and by its own clock
        self._next = NEVER  # when the next one comes, by its own clock
        self._due = NEVER  # and by the environment's
        self._come_call = self._come
        env.lapses(self._come_call, lambda at, _: at != self._due)
        self._look_ahead()

    def pulse(self, factor: float) -> None:
        """Let its clock run `factor` times as fast as usual from now on."""
        self._is_steady = False
        now = self._env.time()
        self._from += (now - self._since) * self._pace
        self._since, self._pace = now, factor
        if self._due < NEVER:
            self._due = NEVER
            self._env.forget_one()
            self._schedule()

    def _look_ahead(self) -> None:
        self._next = next(self._times, NEVER)
        if self._next < NEVER:
            self._schedule()

    def _schedule(self) -> None:
        env = self._env
        due = self._since + (self._next - self._from) / self._pace
        self._due = due = max(due, env._now)  # a rounding error could make it late
        env.call_at(due, self._come_call, None)

    def _come(self, _: None) -> None:
        if self._env._now != self._due:
            self._env.lapse()
            return
        if self._is_steady:  # the usual case, without a detour
            self._next = self._due = due = next(self._times, NEVER)
            if due < NEVER:
                self._env.call_at(due, self._come_call, None)
        else:
            self._look_ahead()
        self._arrive()


def times(arrivals: Arrivals, variates: Variates, share: float, name: str) -> Iterator[float]:
    """When queries come, s from the beginning.

    Parameters
    ----------
    arrivals
        The process; not a closed one.
    variates
        The streams.
    share
        The share of all queries that is wanted.
    name
        Whose stream it is.
    """
    units = (f"{name}/arrivals", Exponential(1.0))
    lots = variates.stream(f"{name}/thinning")
    match arrivals:
        case Poisson():
            return _poisson(variates.blocks(*units), arrivals.rate * share)
        case Regular():
            return _regular(arrivals.rate * share)
        case Bursty():
            return _bursty(arrivals, variates.stream(*units), share)
        case Diurnal():
            return _diurnal(arrivals, variates.blocks(*units), lots, share)
        case Trace():
            return _trace(arrivals, lots, share)
        case Closed():
            raise PolicyError("arrivals", "are not a process of their own: the agents are closed")


def _poisson(units: Iterator[Array], rate: float) -> Iterator[float]:
    return chain.from_iterable(_sums(units, rate))


def _sums(units: Iterator[Array], rate: float) -> Iterator[list[float]]:
    now = 0.0
    for block in units:
        gaps = block / rate
        gaps[0] += now
        times = np.cumsum(gaps).tolist()
        now = times[-1]
        yield times


def _regular(rate: float) -> Iterator[float]:
    number = 0
    while True:
        number += 1
        yield number / rate


def _bursty(process: Bursty, units: Iterator[float], share: float) -> Iterator[float]:
    """In each state, arrivals and its end compete."""
    now, state = 0.0, 0
    until = next(units) * process.stays[0]
    while True:
        rate = process.rates[state] * share
        gap = next(units) / rate if rate else math.inf
        if now + gap < until:
            now += gap
            yield now
        else:
            now, state = until, (state + 1) % len(process.rates)
            until = now + next(units) * process.stays[state]


def _diurnal(process: Diurnal, units: Iterator[Array], lots: Iterator[float], share: float) -> Iterator[float]:
    """Thinned from a Poisson process at the highest rate (Lewis and Shedler 1979)."""
    highest = process.rate * (1 + process.swing) * share
    turns = 2 * math.pi / process.period
    for now in _poisson(units, highest):
        if next(lots) * (1 + process.swing) < 1 + process.swing * math.sin(turns * now):
            yield now


def _trace(process: Trace, lots: Iterator[float], share: float) -> Iterator[float]:
    known = np.sort(read_column(process.file, process.column, "file"))
    for time in ((known - known[0]) / process.speed).tolist():
        if share >= 1 or next(lots) < share:
            yield time
