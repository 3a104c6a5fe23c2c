"""A stage for handlers: the real scheduler and runner on an asyncio loop, with an outlet that writes down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from synapse.cortex.job import Job
from synapse.cortex.scheduler import Scheduler
from synapse.handlers import HandlerRegistry, HandlerRunner
from synapse.protocol import encode_json

PATIENCE = 30.0  # s; a test that waits longer than this has failed


class Asked:
    """A query on the stage: its job, what was thought, and how it ended."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.thoughts: list[Any] = []
        self.endings: list[tuple[str, Any]] = []
        self._changed = asyncio.Condition()

    async def _until(self, condition: Any) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), PATIENCE)

    async def thought(self, content: Any) -> None:
        """Wait for a thought with this content."""
        await self._until(lambda: self.endings or any(thought["content"] == content for thought in self.thoughts))
        assert not self.endings, self.endings

    async def any_thought(self) -> None:
        """Wait for the first thought."""
        await self._until(lambda: self.thoughts or self.endings)
        assert not self.endings, self.endings

    async def ended(self) -> Asked:
        """Wait for the ending."""
        await self._until(lambda: self.endings)
        return self

    @property
    def status(self) -> str:
        ((status, _),) = self.endings
        return status

    @property
    def data(self) -> Any:
        ((_, data),) = self.endings
        return data

    def of(self, kind: str) -> list[Any]:
        """The contents of all thoughts of a type."""
        return [thought["content"] for thought in self.thoughts if thought["type"] == kind]


class Stage:
    """``async with Stage({"name": handler}) as stage: (await stage.ask("name", "q")).data``."""

    def __init__(self, handlers: Mapping[str, Any], **options: Any) -> None:
        self.registry = HandlerRegistry(handlers)
        self.runner = HandlerRunner(self.registry, **options)
        self.scheduler = Scheduler(asyncio.get_running_loop(), self.runner, self)
        self._asked: dict[Job, Asked] = {}
        self._notices: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.scheduler.drain()
        self.scheduler.interrupt_all("the test is over")
        await self.runner.close()
        while self._notices:
            await asyncio.wait(self._notices)
        assert self.scheduler.ended == len(self._asked), "a query has no ending"
        async with asyncio.timeout(PATIENCE):
            while closing := {task for task in asyncio.all_tasks() if _closes_a_generator(task)}:
                await asyncio.wait(closing)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"

    def submit(self, handler: str, q: str = "", *, agent: str = "ada", **payload: Any) -> Asked:
        """Submit a query; `payload` may have a timeout, in s."""
        job = Job(
            agent, f"q{len(self._asked)}", handler=handler, body={"q": q, **payload}, timeout=payload.get("timeout")
        )
        asked = self._asked[job] = Asked(job)
        assert self.scheduler.submit(job) is None
        return asked

    async def ask(self, handler: str, q: str = "", **payload: Any) -> Asked:
        """Submit a query and wait for its ending."""
        return await self.submit(handler, q, **payload).ended()

    # The scheduler's outlet

    def thought(self, job: Job, thought: Any) -> None:
        self._asked[job].thoughts.append(json.loads(encode_json(thought)))
        self._notify(self._asked[job])

    def ended(self, job: Job, data: Any) -> None:
        self._asked[job].endings.append((str(job.status), json.loads(encode_json(data))))
        self._notify(self._asked[job])

    def _notify(self, asked: Asked) -> None:
        async def notify() -> None:
            async with asked._changed:
                asked._changed.notify_all()

        task = asyncio.ensure_future(notify())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)


def _closes_a_generator(task: asyncio.Task[Any]) -> bool:
    """Whether it is the loop's own, for a generator that a library left (openai does, after ``[DONE]``)."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


@pytest.fixture
def stage() -> type[Stage]:
    """The `Stage` class; to be made inside a running loop."""
    return Stage
