"""Whatever a handler does, its query ends exactly once, and what it may not say does not leave the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest

from synapse.handlers import HandlerError, HandlerRegistry, HandlerRunner, Query, Think, thinking


def ask(stage: Any, handler: Any, q: str = "", **options: Any) -> Any:
    """Ask one query and return how it went. Closing the stage checks that nothing is left behind."""

    async def main() -> Any:
        async with stage({"x": handler}, **options) as s:
            return await s.ask("x", q)

    return asyncio.run(main())


# Answers


def test_what_a_handler_returns_is_the_data_of_a_success(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> Any:
        return {"length": len(query.q)}

    asked = ask(stage, answer, "hello")
    assert (asked.status, asked.data) == ("success", {"length": 5})


def test_a_thought_has_type_content_and_more(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        await think("step 1")
        await think({"tool": "grep"}, type="tool", depth=2)

    asked = ask(stage, answer)
    assert asked.thoughts == [
        {"type": "reasoning", "content": "step 1"},
        {"type": "tool", "content": {"tool": "grep"}, "depth": 2},
    ]


def test_an_object_with_an_async_call_is_an_async_handler(stage: Any) -> None:
    class Answer:
        async def __call__(self, query: Query, think: Think) -> str:
            return asyncio.current_task().get_name()  # type: ignore[union-attr]

    assert ask(stage, Answer()).data == "query ada/q0"


def test_starting_a_job_returns_before_anything_is_reported(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        await think("at once")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        async with stage({"x": answer}) as s:
            asked = s.submit("x")
            assert not asked.thoughts
            await asked.ended()

    asyncio.run(main())


# Failures


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, StopAsyncIteration, BaseException])
@pytest.mark.parametrize("plain", [False, True])
def test_an_exception_is_named_by_its_class_and_told_in_full_to_the_log_only(
    stage: Any, error: type[BaseException], plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(query: Query, think: Think) -> None:
        raise error("/secret/path")

    def answer_in_a_thread(query: Query, think: Any) -> None:
        raise error("/secret/path")

    asked = ask(stage, answer_in_a_thread if plain else answer)
    assert (asked.status, asked.data) == ("error", {"reason": f"{error.__name__} in handler 'x'"})
    assert "/secret/path" in caplog.text
    assert "Traceback" in caplog.text


def test_a_handler_error_is_told_to_the_agent(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        raise HandlerError("the model is asleep")

    asked = ask(stage, answer)
    assert (asked.status, asked.data) == ("error", {"reason": "the model is asleep"})
    assert asked.job.reason == "the model is asleep"


def test_an_unknown_handler_is_an_error_that_lists_the_known_ones(stage: Any) -> None:
    async def main() -> Any:
        async with stage({"echo": "synapse.handlers:echo"}) as s:
            return await s.ask("nope")

    assert asyncio.run(main()).data == {"reason": "unknown handler 'nope'; known: echo"}


def make_a_loop() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [object(), "\ud800", make_a_loop()], ids=["object", "surrogate", "cycle"])
def test_a_result_without_a_json_form_is_an_error_that_says_so(stage: Any, value: Any) -> None:
    async def answer(query: Query, think: Think) -> Any:
        return value

    asked = ask(stage, answer)
    assert asked.status == "error"
    assert asked.data["reason"].startswith("the result has no JSON form: ")


def test_a_thought_without_a_json_form_is_an_error_that_says_so(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        await think(object())

    def answer_in_a_thread(query: Query, think: Any) -> None:
        think(object())

    for handler in (answer, answer_in_a_thread):
        assert ask(stage, handler).data == {"reason": "the thought has no JSON form: object has no JSON form"}


def test_a_handler_that_cancels_itself_ends_its_query(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    asked = ask(stage, answer)
    assert (asked.status, asked.data) == ("error", {"reason": "handler 'x' was cancelled"})


def test_a_task_cancelled_from_outside_before_its_first_step_ends_its_query(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None: ...

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            asked = s.submit("x")
            asked.job.work.cancel()
            return await asked.ended()

    assert asyncio.run(main()).status == "error"


def test_a_plain_function_that_returns_a_coroutine_is_told_how_to_be_declared(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None: ...

    def undeclared(query: Query, think: Any) -> Any:
        return answer(query, think)

    asked = ask(stage, undeclared)
    assert "must be declared with async def" in asked.data["reason"]


# Interrupts


def test_an_interrupt_stops_a_handler_where_it_waits(stage: Any) -> None:
    stopped = []

    async def answer(query: Query, think: Think) -> None:
        await think("waiting")
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.append(query.interrupted)

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            asked = s.submit("x")
            await asked.thought("waiting")
            s.scheduler.interrupt(asked.job, "enough")
            return await asked.ended()

    assert asyncio.run(main()).status == "interrupted"
    assert stopped == [True]


def test_a_timeout_stops_a_handler(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        await asyncio.sleep(3600)

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            return await s.ask("x", timeout=0.001)

    assert asyncio.run(main()).status == "timeout"


def test_a_handler_that_swallows_its_cancellation_is_not_heard_again(stage: Any) -> None:
    refused = []

    async def answer(query: Query, think: Think) -> str:
        await think("before")
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            try:
                await think("after")
            except asyncio.CancelledError:
                refused.append("after")
                break
        return "an answer no one waits for"

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            asked = s.submit("x")
            await asked.thought("before")
            s.scheduler.interrupt(asked.job, "enough")
            await asyncio.wait([asked.job.work])
            return asked

    asked = asyncio.run(main())
    assert (asked.of("reasoning"), asked.status, refused) == (["before"], "interrupted", ["after"])


def test_a_handler_that_thinks_on_in_an_endless_loop_does_not_hold_the_event_loop(stage: Any) -> None:
    async def answer(query: Query, think: Think) -> None:
        await think("before")
        refusals = 0
        while refusals < 100:
            try:
                await think("on and on")
            except asyncio.CancelledError:
                refusals += 1

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            asked = s.submit("x", timeout=0.01)
            return await asked.ended()

    assert asyncio.run(main()).status == "timeout"


@pytest.mark.parametrize(("stint", "gives_way"), [(3600.0, False), (-1.0, True)])
def test_thoughts_go_out_together_until_the_stint_is_over(
    stage: Any, monkeypatch: pytest.MonkeyPatch, stint: float, gives_way: bool
) -> None:
    monkeypatch.setattr(thinking, "STINT", stint)
    seen: list[str] = []

    async def answer(query: Query, think: Think) -> None:
        asyncio.get_running_loop().call_soon(seen.append, "another's turn")
        for step in range(10):
            await think(step)
            seen.append("thought")

    ask(stage, answer)
    assert seen.index("another's turn") == (0 if gives_way else 10)


# Plain functions


def test_a_plain_function_thinks_and_answers_from_a_thread(stage: Any) -> None:
    def answer(query: Query, think: Any) -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        think("step 1")
        think("step 2", type="note")
        return query.q.upper()

    asked = ask(stage, answer, "hello")
    assert [thought["content"] for thought in asked.thoughts] == ["step 1", "step 2"]
    assert (asked.status, asked.data) == ("success", "HELLO")


@pytest.mark.parametrize("how", ["think", "check_interrupt"])
def test_a_plain_function_is_stopped_where_it_asks(stage: Any, how: str) -> None:
    stopped = []

    def answer(query: Query, think: Any) -> None:
        think("begun")
        try:
            while True:
                think("still here") if how == "think" else query.check_interrupt()
        except BaseException as error:
            stopped.append((type(error).__name__, str(error)))
            raise

    async def main() -> Any:
        async with stage({"x": answer}) as s:
            asked = s.submit("x")
            await asked.thought("begun")
            s.scheduler.interrupt(asked.job, "enough")
            return await asked.ended()

    assert asyncio.run(main()).status == "interrupted"
    assert stopped == [("Interrupted", "enough")]


def test_a_stuck_thread_keeps_its_place_until_it_returns(stage: Any) -> None:
    """max_threads bounds threads, not queries; the error names it, and a place that is free again is used."""
    release = threading.Event()

    def answer(query: Query, think: Any) -> str:
        if query.q == "stick":
            think("stuck")
            release.wait()
        return "done"

    async def main() -> None:
        async with stage({"x": answer}, max_threads=1) as s:
            stuck = s.submit("x", "stick")
            await stuck.thought("stuck")
            s.scheduler.interrupt(stuck.job, "enough")
            refused = await s.ask("x", "again")
            assert refused.status == "error"
            assert "max_threads = 1" in refused.data["reason"]
            release.set()
            assert await s.runner._threads.wait(30)
            assert (await s.ask("x", "again")).data == "done"

    asyncio.run(main())


def test_a_thread_in_an_endless_loop_holds_up_neither_the_event_loop_nor_the_exit() -> None:
    program = """
import asyncio
from synapse.cortex.job import Job
from synapse.cortex.scheduler import Scheduler
from synapse.handlers import HandlerRegistry, HandlerRunner

def answer(query, think):
    think("begun")
    while True:
        pass

class Outlet:
    def thought(self, job, thought):
        begun.set()
    def ended(self, job, data):
        print(job.status)

async def main():
    global begun
    begun = asyncio.Event()
    runner = HandlerRunner(HandlerRegistry({"x": answer}), grace=0.01)
    scheduler = Scheduler(asyncio.get_running_loop(), runner, Outlet())
    job = Job("ada", "1", handler="x", body={"q": ""})
    scheduler.submit(job)
    await begun.wait()
    scheduler.interrupt(job, "enough")
    await runner.close()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "interrupted\n"
    assert "1 handler threads have not heeded" in done.stderr


# Closing


def test_closing_ends_what_runs_and_waits_and_closes_the_handlers(stage: Any) -> None:
    class Answer:
        closed = False

        async def __call__(self, query: Query, think: Think) -> None:
            await asyncio.sleep(3600)

        def close(self) -> None:
            self.closed = True

    answer = Answer()

    async def main() -> list[Any]:
        async with stage({"x": answer}) as s:
            asked = [s.submit("x") for _ in range(s.scheduler.limit + 3)]
            await asyncio.sleep(0)
            await s.runner.close()
            return [await one.ended() for one in asked]

    endings = {(one.status, str(one.data)) for one in asyncio.run(main())}
    assert endings == {("error", "{'reason': 'shutting_down'}")}
    assert answer.closed


def test_closing_does_not_wait_forever_for_a_handler_that_will_not_stop(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = False

    async def answer(query: Query, think: Think) -> None:
        while not let_go:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def main() -> None:
        nonlocal let_go
        async with stage({"x": answer}, grace=0.01) as s:
            asked = s.submit("x")
            await asyncio.sleep(0)
            work = asked.job.work
            s.scheduler.interrupt_all("the end")
            await s.runner.close()
            let_go = True
            work.cancel()
            await asyncio.wait([work])

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "query ada/q0: its handler swallows its cancellation" in caplog.text


def test_the_repr_shows_how_busy_it_is() -> None:
    assert repr(HandlerRunner(HandlerRegistry({}), max_threads=3)) == "<HandlerRunner 0 running, 0/3 threads>"
