"""An executor that works at once, in the caller's own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Inline(Executor):
    """Runs a task when it is handed in.

    Attributes
    ----------
    tasks : list
        The first argument of each task.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.tasks: list[Any] = []
        self._stop_after = stop_after

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._stop_after is not None and len(self.tasks) >= self._stop_after:
            raise KeyboardInterrupt
        self.tasks.append(args[0])
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
