"""One query as the IO thread hears it and any other thread reads it: an append-only log and an ending."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from synapse.client.errors import SynapseError
from synapse.client.values import Result, Thought


class Stream:
    """Thoughts in order, then a result or a failure.

    Written by the IO thread only. A reader looks at `thoughts` and `over`; if there is nothing new it
    registers a wake-up with `on_change`, **looks again**, and then sleeps. No lock is needed: list and deque
    operations are atomic, and a change that the second look misses happens after the registration.
    """

    __slots__ = ("_wakeups", "attempts", "failure", "ref", "result", "thoughts")

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.attempts = 1  # the one that is waited for included
        self.thoughts: list[Thought] = []
        self.result: Result | None = None
        self.failure: SynapseError | None = None
        self._wakeups: deque[Callable[[], object]] = deque()

    @property
    def over(self) -> bool:
        """Whether nothing will be added."""
        return self.result is not None or self.failure is not None

    @property
    def ending(self) -> Result:
        """The result. Raises the failure if there was one."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        if self.result is None:
            raise RuntimeError("the query has not ended")
        return self.result

    def on_change(self, wake: Callable[[], object]) -> None:
        """Call ``wake()`` once, from the IO thread, after the next change."""
        self._wakeups.append(wake)

    def think(self, thought: Thought) -> None:
        self.thoughts.append(thought)
        self._changed()

    def end(self, result: Result) -> None:
        self.attempts = result.attempts
        self.result = result
        self._changed()

    def fail(self, failure: SynapseError) -> None:
        self.failure = failure
        self._changed()

    def _changed(self) -> None:
        while self._wakeups:
            self._wakeups.popleft()()
