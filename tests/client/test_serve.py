"""``agent.serve``: functions of this process answer queries, through a real cortex in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import synapse
from synapse.client import bench, io, opening
from synapse.handlers import HandlerError, HandlerTimeout, Query
from tests.client.fake import PATIENCE


@pytest.fixture
def agent() -> Iterator[synapse.Agent]:
    """An agent on a cortex in this process, which ends with the test."""
    with synapse.connect(agent="ada") as connected:
        yield connected
    io.io_thread().stop()


def spell(query: Query, think: Any) -> dict[str, int]:
    for letter in query.q:
        think(letter, type="letter")
    return {"length": len(query.q)}


class Latch:
    """Threads and loops tell each other that something has happened."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.open = self._event.set

    def wait(self) -> None:
        assert self._event.wait(PATIENCE)


class TestAPlainFunction:
    def test_streams_thoughts_and_returns_the_result(self, agent: synapse.Agent) -> None:
        with agent.serve(spell) as worker:
            query = agent.query("cat", handler=worker.handler)
            assert [(thought.type, thought.content) for thought in query] == [("letter", letter) for letter in "cat"]
            assert query.result.data == {"length": 3}
            assert (worker.handler, worker.answered, worker.status) == ("worker:spell", 1, "serving")

    def test_sees_the_query_as_on_the_server(self, agent: synapse.Agent) -> None:
        def about(query: Query, think: Any) -> Any:
            return [query.agent, query.ref, query.q, query.priority, query.timeout is not None]

        with agent.serve(about):
            query = agent.query("x", handler="worker:about", priority=2)
            assert query.result.data == ["ada", query.ref, "x", 2, True]

    def test_fails_in_words_by_a_handler_error(self, agent: synapse.Agent) -> None:
        def fail(query: Query, think: Any) -> None:
            raise HandlerError("rate_limited", detail="slowly", retry_after=1.5)

        with agent.serve(fail):
            result = agent.ask("", handler="worker:fail")
            data = {"reason": "rate_limited", "detail": "slowly", "retry_after_ms": 1500}
            assert (result.status, result.data) == ("error", data)

    def test_may_time_out_itself(self, agent: synapse.Agent) -> None:
        def slow(query: Query, think: Any) -> None:
            raise HandlerTimeout("the database was silent")

        with agent.serve(slow):
            result = agent.ask("", handler="worker:slow")
            assert (result.status, result.data) == ("timeout", {"reason": "the database was silent"})

    def test_that_breaks_is_named_by_its_exception_and_told_in_full_to_its_owner_only(
        self, agent: synapse.Agent, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(query: Query, think: Any) -> None:
            raise ValueError("a secret")

        with agent.serve(broken):
            result = agent.ask("", handler="worker:broken")
        assert result.data == {"reason": "ValueError in handler 'worker:broken'"}
        assert "a secret" in caplog.text

    @pytest.mark.parametrize("how", ["check", "think"])
    def test_is_stopped_where_it_looks(self, agent: synapse.Agent, how: str) -> None:
        stopped = Latch()

        def count(query: Query, think: Any) -> None:
            think("begun")
            try:
                while True:
                    query.check_interrupt() if how == "check" else think("more")
            finally:
                stopped.open()

        with agent.serve(count):
            query = agent.query("", handler="worker:count")
            next(iter(query))
            query.interrupt("enough")
            assert (query.result.status, query.result.reason) == ("interrupted", "enough")
            stopped.wait()

    def test_takes_its_place_until_it_returns(self, agent: synapse.Agent) -> None:
        """One that does not heed its interruption is still at work; no other is begun beside it."""
        begun, release, order = Latch(), Latch(), []

        def stubborn(query: Query, think: Any) -> None:
            order.append(f"{query.q} begins")
            if query.q == "first":
                begun.open()
                release.wait()
            order.append(f"{query.q} ends")

        with agent.serve(stubborn):
            first = agent.query("first", handler="worker:stubborn")
            begun.wait()
            second = agent.query("second", handler="worker:stubborn")
            first.interrupt()
            assert first.result.status == "interrupted"
            release.open()
            assert second.result.ok
        assert order == ["first begins", "first ends", "second begins", "second ends"]

    def test_may_ask_others_meanwhile(self, agent: synapse.Agent) -> None:
        def relay(query: Query, think: Any) -> Any:
            return agent.ask(query.q, handler="worker:spell").data

        with agent.serve(spell), agent.serve(relay):
            assert agent.ask("word", handler="worker:relay").data == {"length": 4}

    def test_loses_no_thought(self, agent: synapse.Agent) -> None:
        def many(query: Query, think: Any) -> int:
            for number in range(3000):
                think(number)
            return 3000

        with agent.serve(many):
            query = agent.query("", handler="worker:many")
            assert [thought.content for thought in query] == list(range(3000))
            assert query.result.data == 3000

    def test_that_waits_in_think_for_a_slow_reader_is_stopped_there(
        self, agent: synapse.Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        thinking, stopped = Latch(), Latch()
        tell = agent._connection.tell

        def never_read(topic: str, event: str, *rest: Any) -> None:
            if event == "done":
                tell(topic, event, *rest)

        def talk(query: Query, think: Any) -> None:
            try:
                think("on its way")
                thinking.open()
                think("too many: waits")
                think("never said")
            finally:
                stopped.open()

        monkeypatch.setattr(bench, "MOST_UNSENT", 1)
        monkeypatch.setattr(agent._connection, "tell", never_read)
        with agent.serve(talk):
            query = agent.query("", handler="worker:talk")
            thinking.wait()
            query.interrupt()
            assert query.result.status == "interrupted"
            stopped.wait()


class TestAnAsyncFunction:
    def test_of_a_sync_agent_runs_in_a_thread_of_its_own_that_ends_with_it(self, agent: synapse.Agent) -> None:
        async def where(query: Query, think: Any) -> str:
            await think("here")
            return threading.current_thread().name

        with agent.serve(where):
            assert agent.ask("", handler="worker:where").data == "synapse-worker where"
        (thread,) = [one for one in threading.enumerate() if one.name == "synapse-worker where"] or [None]
        if thread is not None:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def test_is_cancelled_by_an_interrupt(self, agent: synapse.Agent) -> None:
        cancelled = Latch()

        async def wait(query: Query, think: Any) -> None:
            await think("begun")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.open()
                raise

        with agent.serve(wait, "waiting"):
            query = agent.query("", handler="worker:waiting")
            next(iter(query))
            query.interrupt()
            assert query.result.status == "interrupted"
            cancelled.wait()

    def test_waits_in_think_while_too_many_of_its_thoughts_are_unsent(
        self, agent: synapse.Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench, "MOST_UNSENT", 4)
        most = 0

        async def talk(query: Query, think: Any) -> None:
            nonlocal most
            for number in range(200):
                await think(number)
                most = max(most, *(len(task.unsent) for task in worker._bench._tasks.values()))

        with agent.serve(talk) as worker:
            query = agent.query("", handler="worker:talk")
            assert [thought.content for thought in query] == list(range(200))
            assert query.result.ok
        assert most <= 4

    def test_runs_as_many_at_once_as_it_says(self, agent: synapse.Agent) -> None:
        meeting = asyncio.Barrier(3)

        async def meet(query: Query, think: Any) -> None:
            await meeting.wait()

        with agent.serve(meet, concurrency=3):
            queries = [agent.query("", handler="worker:meet") for _ in range(3)]
            assert [query.result.status for query in queries] == ["success"] * 3

    def test_of_an_async_agent_runs_in_its_loop(self) -> None:
        async def main() -> None:
            async def here(query: Query, think: Any) -> bool:
                await think("here")
                return asyncio.get_running_loop() is home

            home = asyncio.get_running_loop()
            async with await synapse.aconnect(agent="ada") as ada, await ada.serve(here) as worker:
                query = ada.query("", handler=worker.handler)
                assert [thought.content async for thought in query] == ["here"]
                assert (await query.result()).data is True
                assert repr(worker) == "<AsyncWorker 'worker:here' serving, 0 running, 1 answered>"

        asyncio.run(main())
        io.io_thread().stop()

    def test_an_object_with_an_async_call_may_serve_under_a_name(self, agent: synapse.Agent) -> None:
        class Answer:
            started = 0

            async def start(self) -> None:
                self.started += 1

            async def __call__(self, query: Query, think: Any) -> int:
                return self.started

        with agent.serve(Answer(), "answer"):
            assert [agent.ask("", handler="worker:answer").data for _ in range(2)] == [1, 1]


class TestTheEnd:
    def test_a_worker_that_stops_ends_its_queries_with_an_error_that_says_so(self, agent: synapse.Agent) -> None:
        stopped = Latch()

        def wait(query: Query, think: Any) -> None:
            think("begun")
            while not query.interrupted:
                pass
            stopped.open()

        worker = agent.serve(wait)
        query = agent.query("", handler="worker:wait")
        next(iter(query))
        worker.stop()
        worker.stop()
        assert query.result.data["reason"] == "worker_gone"
        stopped.wait()
        assert worker.status == "stopped"
        assert worker.wait()
        assert agent.ask("", handler="worker:wait").data["reason"] == "no_worker"

    def test_a_worker_ends_with_its_agent(self, agent: synapse.Agent) -> None:
        with synapse.connect(agent="grace") as grace:
            worker = grace.serve(spell)
            assert agent.presence()["grace"][0]["serves"] == ["spell"]
        assert worker.wait(PATIENCE)
        assert worker.status == "stopped"
        with pytest.raises(synapse.AgentClosed):
            grace.serve(spell)

    def test_an_agent_that_nobody_holds_any_more_takes_its_worker_along(self, agent: synapse.Agent) -> None:
        """As after running a notebook's cell again."""
        grace = synapse.connect(agent="grace")
        over = grace.serve(spell)._over
        del grace
        gc.collect()
        over.result(PATIENCE)

    def test_a_worker_comes_back_after_a_drop_and_what_it_did_has_ended(self, agent: synapse.Agent) -> None:
        stopped = Latch()

        def work(query: Query, think: Any) -> str:
            think("begun")
            while query.q == "wait" and not query.interrupted:
                pass
            stopped.open()
            return "done"

        with synapse.connect(agent="grace") as grace, grace.serve(work) as worker:
            query = agent.query("wait", handler="worker:work")
            next(iter(query))
            grace._io.soon(_cut, "grace")
            assert query.result.data["reason"] == "worker_gone"
            stopped.wait()
            _until_serving(agent, worker)
            assert agent.ask("now", handler="worker:work").data == "done"

    def test_a_worker_that_is_refused_for_good_says_why(
        self, agent: synapse.Agent, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "synapse.client.bench")
        worker = agent.serve(spell)
        agent._io.soon(lambda: agent._connection._topic_news(_refusal()))
        with pytest.raises(synapse.JoinError, match="unauthorized"):
            worker.wait(PATIENCE)

    def test_a_worker_that_is_refused_by_a_rule_says_by_which(self, agent: synapse.Agent) -> None:
        before = agent.server.policies
        agent.server.apply(connections={"kind": "connections", "channels": 1})
        try:
            with pytest.raises(synapse.JoinError) as refusal:
                agent.serve(spell)
        finally:
            agent.server.apply(before)
        assert refusal.value.policy == "connections.channels"


class TestSizes:
    def test_a_result_that_the_server_would_not_read_is_an_error_that_says_so(self, agent: synapse.Agent) -> None:
        def large(query: Query, think: Any) -> str:
            return "x" * 2**20

        with agent.serve(large):
            result = agent.ask("", handler="worker:large")
            assert result.data["reason"].startswith("the result is too large: 1048578 bytes, at most ")
            assert agent.ask("still here").ok

    def test_so_is_a_thought(self, agent: synapse.Agent) -> None:
        def large(query: Query, think: Any) -> None:
            think("x" * 2**20)

        with agent.serve(large):
            assert "the thought is too large" in agent.ask("", handler="worker:large").data["reason"]

    def test_many_thoughts_are_sent_in_messages_that_it_reads(self, agent: synapse.Agent) -> None:
        async def much(query: Query, think: Any) -> None:
            for _ in range(50):
                await think("x" * 100_000)

        with agent.serve(much):
            query = agent.query("", handler="worker:much")
            assert [len(thought.content) for thought in query] == [100_000] * 50
            assert query.result.ok


class TestArguments:
    def test_a_function_without_a_name_needs_one(self, agent: synapse.Agent) -> None:
        with pytest.raises(ValueError, match="name must be"):
            agent.serve(lambda query, think: None)

    @pytest.mark.parametrize("name", ["", "a*", "a\n", "x" * 201])
    def test_a_name_must_be_one(self, agent: synapse.Agent, name: str) -> None:
        with pytest.raises(ValueError, match="name must be"):
            agent.serve(spell, name)

    def test_what_serves_must_be_callable(self, agent: synapse.Agent) -> None:
        with pytest.raises(TypeError, match="function must be callable"):
            agent.serve("spell")  # type: ignore[arg-type]

    def test_a_concurrency_must_be_one(self, agent: synapse.Agent) -> None:
        with pytest.raises(ValueError, match="concurrency"):
            agent.serve(spell, concurrency=0)

    def test_one_agent_serves_a_name_once(self, agent: synapse.Agent) -> None:
        with agent.serve(spell):
            with pytest.raises(ValueError, match="joined by this agent already"):
                agent.serve(spell)
            assert agent.ask("cat", handler="worker:spell").ok


def test_a_worker_shows_itself_in_a_notebook(agent: synapse.Agent) -> None:
    with agent.serve(spell) as worker:
        assert repr(worker) == "<Worker 'worker:spell' serving, 0 running, 0 answered>"
        assert "Worker spell" in worker._repr_html_()


def _cut(agent: str) -> None:
    """Have the server end an agent's connection. In the IO thread, where both live."""
    server = opening._embedded[io.io_thread()].result()
    assert server.service.cortex.connections.disconnect(agent) == 1


def _refusal() -> Any:
    from synapse.client.events import JoinRefused

    return JoinRefused("worker:spell", "unauthorized", final=True)


def _until_serving(agent: synapse.Agent, worker: synapse.Worker) -> None:
    """Ask until its name is answered again."""
    for _ in range(1000):
        if agent.ask("now", handler=worker.handler).ok:
            return
        agent.ping()
    raise AssertionError(f"{worker!r} never came back")
