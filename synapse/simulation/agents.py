"""Agents: closed ones, which think between their queries, and open ones, whose queries just come."""

from __future__ import annotations

from functools import partial
from typing import Any

from synapse.simulation.distributions import Law
from synapse.simulation.node import Try
from synapse.simulation.population import Population


class Closed(Population):
    """Agents that think, ask, wait, and think again. `think` is the law of their thinking."""

    __slots__ = (
        "_pace",
        "_think",
        "_wake_call",
        "_wakes",
    )

    def __init__(self, think: Law, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._think = self._chance.rows("think", think)
        self._pace = 1.0
        self._wake_call = self._wake
        self._env.lapses(self._wake_call, self._does_not_wake)
        self._wakes: list[float | None] = [None] * len(self.names)
        for row in range(len(self.names)):
            self._begin_to_think(row)

    def pulse(self, factor: float) -> None:
        """Think `factor` times as fast as usual from now on; thoughts that have begun, too."""
        env, now = self._env, self._env.time()
        before, self._pace = self._pace, factor
        for row, wakes in enumerate(self._wakes):
            if wakes is not None:
                delay = (wakes - now) * before / factor
                self._wakes[row] = now + delay
                env.forget_one()
                env.call(delay, self._wake_call, row)

    def _begin_to_think(self, row: int) -> None:
        env = self._env
        delay = self._think.draw(row) / self._pace
        self._wakes[row] = env._now + delay
        env.call(delay, self._wake_call, row)

    def _wake(self, row: int) -> None:
        if self._wakes[row] != self._env._now:
            self._env.lapse()
            return
        self._wakes[row] = None
        if self.homes is not None and self.homes[row] < 0:
            self._held.setdefault(row, []).append(partial(self.ask, row))
        else:
            self.ask(row)

    def _does_not_wake(self, at: float, row: int) -> bool:
        return self._wakes[row] != at

    def _end(self, job: Try) -> None:
        self._begin_to_think(job.row)


class Open(Population):
    """Queries that come whatever becomes of those before. Each is the next agent's, in turn."""

    __slots__ = ("_turn",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turn = 0

    def arrive(self) -> None:
        """One more query. That of an agent without a connection waits until it has one."""
        row = self._turn
        self._turn = row + 1 if row + 1 < len(self.names) else 0
        if self.homes is not None and self.homes[row] < 0:
            self._held.setdefault(row, []).append(partial(self.ask, row))
        else:
            self.ask(row)

    def _end(self, job: Try) -> None:
        """No one waits for it to go on."""


class Outlets:
    """The outlet of schedulers whose tries are of several populations."""

    def thought(self, job: Any, thought: Any) -> None:
        """To whom it belongs."""
        job.population.thought(job, thought)

    def ended(self, job: Any, data: Any) -> None:
        """To whom it belongs."""
        job.population.ended(job, data)
