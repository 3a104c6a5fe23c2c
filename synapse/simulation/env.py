"""Time for a simulation: a SimPy environment that is also a `Clock` for the core.

SimPy wakes a process for each event, by an `Event` object that holds a list of callbacks. What is simulated here by
the million, an arrival or the end of a service, needs neither: `Schedule.call` puts a function and its argument
on the schedule, and `run` calls it. Processes live beside that on the same schedule, in the same order:
by time, then urgency, then who was scheduled first.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from simpy.core import EmptySchedule, StopSimulation
from simpy.core import Environment as SimPyEnvironment
from simpy.events import NORMAL, URGENT, Event, EventPriority

COMPILED = not __file__.endswith(".py")
"""Whether what a simulation spends its time on was compiled when this was installed."""

FEW = 64  # cancelled timers that are not worth a sweep


class Timer:
    """What `Schedule.call_later` returns.

    Attributes
    ----------
    callback : callable or None
        What will be called. None once it was, or was cancelled.
    """

    __slots__ = ("callback", "env")

    def __init__(self, callback: Callable[[], object], env: Schedule) -> None:
        self.callback: Callable[[], object] | None = callback
        self.env = env

    def cancel(self) -> None:
        """Call it off. Of no effect once it was called."""
        if self.callback is not None:
            self.callback = None
            self.env.forget_one()


class Schedule:
    """What is to come: functions to call, with an argument each, in the order of their times.

    A cancelled timer stays on it until its time comes or until a sweep: at most `FEW` of them, or as many as there are
    others, whichever is more. So it never has more than twice what is to come, and `FEW`. Calls that have lapsed count
    as cancelled timers do: see `lapses`.

    Parameters
    ----------
    initial_time
        When it begins, s.

    Attributes
    ----------
    called : int
        How many events have happened; cancelled timers do not count.
    """

    __slots__ = ("_cancelled", "_entries", "_lapsed", "_now", "_number", "_passed")

    def __init__(self, initial_time: float = 0.0) -> None:
        self._now = initial_time
        self._entries: list[tuple[float, int, int, Callable[[Any], object], Any]] = []
        self._number = 0
        self._cancelled = 0
        self._passed = 0  # entries taken off that were cancelled timers, or swept ones
        self._lapsed: dict[Callable[[Any], object], Callable[[float, Any], bool]] = {_fire: _is_cancelled}

    @property
    def called(self) -> int:
        return self._number - len(self._entries) - self._passed

    def __len__(self) -> int:
        """How many events are to come."""
        return len(self._entries) - self._cancelled

    def time(self) -> float:
        """Now, in s."""
        return self._now

    def lapses(self, callback: Callable[[Any], object], lapsed: Callable[[float, Any], bool]) -> None:
        """Tell that calls of `callback` may lapse: be of no use any more when they come.

        ``lapsed(at, argument)`` says whether the call at a time has. Whoever makes one lapse says so by `forget_one`;
        and `callback`, if it finds that its call has lapsed, by `lapse`.
        """
        self._lapsed[callback] = lapsed

    def lapse(self) -> None:
        """A call that has lapsed came nevertheless."""
        self._cancelled -= 1
        self._passed += 1

    def call(self, delay: float, callback: Callable[[Any], object], argument: Any) -> None:
        """Call ``callback(argument)`` after `delay` seconds, at least 0. It cannot be cancelled."""
        self._number = number = self._number + 1
        heappush(self._entries, (self._now + delay, NORMAL, number, callback, argument))

    def call_at(self, due: float, callback: Callable[[Any], object], argument: Any) -> None:
        """Call ``callback(argument)`` at a time, s, now or later. It cannot be cancelled."""
        self._number = number = self._number + 1
        heappush(self._entries, (due, NORMAL, number, callback, argument))

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call back after `delay` seconds, not before this turn has ended; a negative delay is 0.

        Raises
        ------
        ValueError
            If the delay is not a number.
        """
        if not delay >= 0.0:
            if delay != delay:
                raise ValueError("delay must be a number, in s; not nan")
            delay = 0.0
        timer = Timer(callback, self)
        self.call(delay, _fire, timer)
        return timer

    def forget_one(self) -> None:
        """One more of the timers on the schedule was cancelled, or of the calls has lapsed."""
        self._cancelled += 1
        if self._cancelled > FEW and 2 * self._cancelled > len(self._entries):
            entries = self._entries
            entries[:] = [entry for entry in entries if not self._has_lapsed(entry)]  # in place: `_pass` holds the list
            heapify(entries)
            self._passed += self._cancelled
            self._cancelled = 0

    def _pass(self) -> None:
        """Let time pass until nothing is to come."""
        entries, pop = self._entries, heappop
        while entries:
            self._now, _, _, callback, argument = pop(entries)
            callback(argument)

    def _has_lapsed(self, entry: tuple[Any, ...]) -> bool:
        lapsed = self._lapsed.get(entry[3])
        return lapsed is not None and lapsed(entry[0], entry[4])


class Environment(Schedule, SimPyEnvironment):
    """A SimPy environment that calls plain functions, too.

    Parameters
    ----------
    initial_time
        When it begins, s.
    """

    def __init__(self, initial_time: float = 0.0) -> None:
        Schedule.__init__(self, float(initial_time))
        SimPyEnvironment.__init__(self, float(initial_time))
        self._happen_now = self._happen

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """SimPy's way: let an event happen after `delay` seconds."""
        self._number = number = self._number + 1
        heappush(self._entries, (self._now + delay, priority, number, self._happen_now, event))

    def peek(self) -> float:
        """When the next event happens, s; infinity if there is none."""
        entries = self._entries
        while entries and self._has_lapsed(entries[0]):
            heappop(entries)
            self.lapse()
        return entries[0][0] if entries else float("inf")

    def step(self) -> None:
        """Let the next event happen.

        Raises
        ------
        simpy.core.EmptySchedule
            If there is none.
        """
        self.peek()
        if not self._entries:
            raise EmptySchedule
        self._now, _, _, callback, argument = heappop(self._entries)
        callback(argument)

    def run(self, until: float | Event | None = None) -> Any:
        """Let time pass.

        Parameters
        ----------
        until
            Up to when, s, without what happens at that very moment; or until an event has happened, whose value is
            returned; or None, until nothing is to come.

        Raises
        ------
        ValueError
            If `until` is not later than now.
        RuntimeError
            If nothing is to come any more, and the event has not happened.
        """
        stop = self._stop_at(until)
        if stop is not None and stop.processed:
            return stop.value
        try:
            self._pass()
        except StopSimulation as end:
            return end.args[0]
        if stop is not None:
            raise RuntimeError(f"nothing is to come any more, but {until!r} has not happened")
        return None

    def _stop_at(self, until: float | Event | None) -> Event | None:
        if until is None or isinstance(until, Event):
            stop = until
        else:
            if not until > self._now:
                raise ValueError(f"until must be later than now, {self._now} s; not {until}")
            stop = Event(self)
            stop._ok, stop._value = True, None
            self.schedule(stop, URGENT, until - self._now)
        if stop is not None and not stop.processed:
            stop.callbacks.append(StopSimulation.callback)
        return stop

    def _happen(self, event: Event) -> None:
        """What SimPy's `step` does with an event."""
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for place, callback in enumerate(callbacks, 1):
            try:
                callback(event)
            except StopSimulation:
                if others := callbacks[place:]:
                    event.callbacks = others
                    self.schedule(event, EventPriority(-1))  # they hear of it when time goes on
                raise
        if not event._ok and not hasattr(event, "_defused"):
            error = type(event._value)(*event._value.args)
            error.__cause__ = event._value
            raise error


def _fire(timer: Timer) -> None:
    callback = timer.callback
    if callback is None:
        timer.env.lapse()
        return
    timer.callback = None
    callback()


def _is_cancelled(at: float, timer: Timer) -> bool:  # noqa: ARG001
    return timer.callback is None
