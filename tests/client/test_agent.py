"""Both faces of an agent, over real WebSockets, against a fake cortex whose every answer is known."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

import synapse
from synapse import Agent, Result, Thought
from synapse.client import opening
from synapse.client.connection import Connection
from synapse.client.io import io_thread
from synapse.client.opening import Opened, Plan
from synapse.client.rules import RestRules
from synapse.client.settings import Backoff, Settings
from tests.client.fake import PATIENCE, FakeCortex


@pytest.fixture
def agent(cortex: FakeCortex) -> Iterator[Agent]:
    with synapse.connect(cortex.url, agent="ada", api_key="s3cret", token="t0ken") as agent:
        yield agent


def hurried(cortex: FakeCortex, **settings: Any) -> Agent:
    """An agent with other settings than a user's: patience that a test can wait out."""

    async def open_it() -> Opened:
        io = io_thread()
        target = synapse.client.discovery.normalise(cortex.url)
        connection = Connection(io, target, "ada", Settings(reconnect=Backoff(base=0.01, cap=0.01), **settings))
        await connection.open(PATIENCE)
        return Opened(connection, RestRules(target))

    return Agent(io_thread().call(open_it()), io_thread(), None)


class TestConnect:
    def test_joins_its_topic_with_the_key(self, cortex: FakeCortex, agent: Agent) -> None:
        assert cortex.wait_for_event("phx_join")[2:] == ["cortex:ada", "phx_join", {"api_key": "s3cret", "resume": {}}]
        assert (agent.id, agent.status) == ("ada", "joined")

    def test_sends_the_token_in_a_header_and_not_in_the_address(self, cortex: FakeCortex, agent: Agent) -> None:
        assert cortex.headers[0]["authorization"] == "token t0ken"
        assert cortex.headers[0]["path"] == "/cortex/websocket?vsn=2.0.0"

    def test_offers_no_compression(self, cortex: FakeCortex, agent: Agent) -> None:
        assert "sec-websocket-extensions" not in cortex.headers[0]

    def test_uses_the_environments_server(self, cortex: FakeCortex, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SYNAPSE_URL", cortex.url)
        monkeypatch.setenv("SYNAPSE_API_KEY", "env")
        with synapse.connect() as agent:
            assert agent.url == f"{cortex.url}/websocket"
        assert cortex.frames[0][4] == {"api_key": "env", "resume": {}}

    def test_gives_an_agent_a_name_of_its_own(self, cortex: FakeCortex, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JPY_SESSION_NAME", "work/study.ipynb")
        with synapse.connect(cortex.url) as one, synapse.connect(cortex.url) as other:
            assert one.id.startswith("study-")
            assert one.id != other.id

    def test_a_refused_join_says_what_to_do(self, cortex: FakeCortex) -> None:
        cortex.refuse_join = "unauthorized"
        with pytest.raises(synapse.JoinError, match=r"unauthorized\. Pass api_key=… or set SYNAPSE_API_KEY") as caught:
            synapse.connect(cortex.url, agent="ada")
        assert (caught.value.reason, caught.value.topic) == ("unauthorized", "cortex:ada")
        cortex.wait_for(lambda: cortex.closes)

    def test_no_server_is_an_error_that_names_the_address(self) -> None:
        with pytest.raises(
            synapse.ConnectError, match=r"cannot connect to ws://127\.0\.0\.1:1/cortex/websocket: "
        ) as caught:
            synapse.connect("ws://127.0.0.1:1/cortex")
        assert isinstance(caught.value, ConnectionError)

    def test_a_server_without_a_cortex_is_an_error_that_says_so(self, cortex: FakeCortex) -> None:
        cortex.refuse_handshake = HTTPStatus.NOT_FOUND
        with pytest.raises(synapse.ConnectError, match=r"HTTP status 404.*enable the extension") as caught:
            synapse.connect(cortex.url)
        assert caught.value.status == 404

    def test_a_redirect_is_not_followed(self, cortex: FakeCortex) -> None:
        """The api_key travels in the first message: it must not reach another server."""
        cortex.refuse_handshake = HTTPStatus.FOUND
        with pytest.raises(synapse.ConnectError, match="HTTP status 302"):
            synapse.connect(cortex.url)

    def test_no_answer_to_the_join_is_an_error(self, cortex: FakeCortex) -> None:
        cortex.ignore_joins = True
        with pytest.raises(synapse.ConnectError, match=r"no answer within 0\.2 s"):
            synapse.connect(cortex.url, timeout=0.2)
        cortex.wait_for(lambda: cortex.closes)

    @pytest.mark.parametrize("name", ["", "presence", "monitor", "x" * 256, "a\nb", 7])
    def test_an_impossible_name_is_refused_here(self, name: Any) -> None:
        with pytest.raises(
            ValueError, match="agent must be a name of 1 to 255 printable characters, and not monitor or presence"
        ):
            synapse.connect("ws://127.0.0.1:1", agent=name)

    def test_the_longest_name_that_a_server_takes_is_taken(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url, agent="x" * 255) as agent:
            assert agent.status == "joined"

    def test_an_impossible_timeout_is_refused_here(self) -> None:
        with pytest.raises(ValueError, match="timeout must be more than 0 s"):
            synapse.connect("ws://127.0.0.1:1", timeout=0)

    def test_closing_leaves_politely_and_may_be_repeated(self, cortex: FakeCortex, agent: Agent) -> None:
        agent.close()
        agent.close()
        cortex.wait_for_event("phx_leave")
        assert cortex.wait_for(lambda: cortex.closes) == [1000]
        assert agent.status == "closed"
        with pytest.raises(synapse.AgentClosed, match="Make a new one"):
            agent.ask("hello")

    def test_an_agent_that_nobody_holds_leaves(self, cortex: FakeCortex) -> None:
        agent = synapse.connect(cortex.url)
        del agent
        gc.collect()
        cortex.wait_for_event("phx_leave")

    def test_a_query_keeps_its_agent(self, cortex: FakeCortex) -> None:
        query = synapse.connect(cortex.url).query("hello")
        gc.collect()
        assert query.result.ok

    def test_in_the_io_thread_itself_it_is_an_error_and_no_deadlock(self, agent: Agent) -> None:
        async def handler() -> None:
            agent.ping()

        with pytest.raises(RuntimeError, match="aconnect"):
            io_thread().call(handler())


class TestEmbedded:
    """Without any server: one embedded cortex for the whole process."""

    class Server:
        def __init__(self, cortex: FakeCortex) -> None:
            self.url = f"{cortex.url}/websocket"
            self.api_key = "embedded-key"

        async def stop(self) -> None:
            """Nothing to stop."""

    @pytest.fixture
    def starts(self, cortex: FakeCortex, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        starts: list[int] = []

        async def start(io: Any) -> Any:
            starts.append(1)
            return self.Server(cortex)

        monkeypatch.setattr(opening, "_embed", start)
        yield starts
        opening._embedded.clear()

    def test_is_announced_in_one_line_and_shared(
        self, cortex: FakeCortex, starts: list[int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with synapse.connect() as one, synapse.connect() as other:
            assert one.url == other.url
        assert starts == [1]
        line = f"cortex: embedded at ws://127.0.0.1:{cortex.port} (no Jupyter server found)\n"
        assert capsys.readouterr().out == line
        assert cortex.frames[0][4] == {"api_key": "embedded-key", "resume": {}}

    def test_is_shared_by_agents_that_connect_at_once(self, cortex: FakeCortex, starts: list[int]) -> None:
        async def main() -> None:
            agents = await asyncio.gather(*[synapse.aconnect() for _ in range(5)])
            await asyncio.gather(*[agent.close() for agent in agents])

        asyncio.run(main())
        assert starts == [1]

    def test_stands_in_for_a_parent_server_without_the_extension(
        self, cortex: FakeCortex, starts: list[int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        parent = FakeCortex()
        parent.refuse_handshake = HTTPStatus.NOT_FOUND
        try:
            target = synapse.client.discovery.normalise(parent.url)
            plan = Plan("ada", (target,), explicit=False, timeout=PATIENCE)
            opened = io_thread().call(opening.establish(io_thread(), plan))
            io_thread().call(opened.connection.close())
        finally:
            parent.stop()
        assert opened.notice is not None
        assert "the Jupyter server of this kernel has no cortex: HTTP status 404" in opened.notice

    def test_never_stands_in_for_a_server_that_was_named(self, cortex: FakeCortex, starts: list[int]) -> None:
        with pytest.raises(synapse.ConnectError):
            synapse.connect("ws://127.0.0.1:1")
        assert starts == []


class TestQuery:
    def test_streams_its_thoughts_and_then_has_its_result(self, agent: Agent) -> None:
        query = agent.query("to be or not")
        assert [thought.content for thought in query] == ["to", "be", "or", "not"]
        assert query.result == Result(query.ref, "success", {"echo": "to be or not"}, 0.0125)
        assert query.status == "success"

    def test_can_be_iterated_again_from_the_start(self, agent: Agent) -> None:
        query = agent.query("a b c")
        assert next(iter(query)).content == "a"
        assert [thought.content for thought in query] == ["a", "b", "c"]
        assert len(query.thoughts) == 3

    def test_sends_what_was_asked_for(self, cortex: FakeCortex, agent: Agent) -> None:
        query = agent.query("hi", priority=1, timeout=2.5, handler="kernel")
        payload = cortex.wait_for_event("query")[4]
        expected = {"q": "hi", "ref": query.ref, "priority": 1, "timeout": 2500, "handler": "kernel", "attempt": 1}
        assert payload == expected

    def test_uses_the_agents_handler_by_default(self, cortex: FakeCortex) -> None:
        with synapse.connect(cortex.url, handler="kernel") as agent:
            agent.ask("hi")
        assert cortex.wait_for_event("query")[4]["handler"] == "kernel"

    def test_ask_is_query_and_result(self, agent: Agent) -> None:
        assert agent.ask("hi").data == {"echo": "hi"}

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"priority": 10}, "priority"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": 1e9}, "timeout"),
            ({"q": 5}, "q"),
            ({"handler": 5}, "handler"),
        ],
    )
    def test_an_impossible_one_is_an_error_that_names_the_argument(
        self, agent: Agent, more: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(ValueError, match=f"invalid field: {field}: "):
            agent.query(**{"q": "hi", **more})

    def test_a_refused_one_raises_the_servers_reason(self, agent: Agent) -> None:
        query = agent.query("refuse")
        with pytest.raises(
            synapse.QueryRefused, match=r"refused by Admission: overloaded\. Ask again in 1\.5 s"
        ) as caught:
            list(query)
        assert (caught.value.reason, caught.value.retry_after, caught.value.policy) == ("overloaded", 1.5, "Admission")
        assert query.status == "refused"
        with pytest.raises(synapse.QueryRefused):
            query.result  # noqa: B018

    def test_that_is_interrupted_ends_so(self, agent: Agent) -> None:
        query = agent.query("wait here")
        thoughts = iter(query)
        assert next(thoughts).content == "wait"
        assert query.status == "thinking"
        query.interrupt("enough")
        assert query.result.status == "interrupted"
        assert query.result.reason == "enough"
        assert not query.result.ok
        assert [thought.content for thought in thoughts] == ["here"]

    def test_that_is_left_early_in_a_with_statement_is_interrupted(self, cortex: FakeCortex, agent: Agent) -> None:
        with agent.query("wait here") as query:
            for _ in query:
                break
        assert cortex.wait_for_event("interrupt")[4]["ref"] == query.ref

    def test_keyboard_interrupt_stops_it_on_the_server_too(self, cortex: FakeCortex, agent: Agent) -> None:
        query = agent.query("wait")
        thoughts = iter(query)
        assert next(thoughts).content == "wait"
        interrupt_when_waiting(query)
        with pytest.raises(KeyboardInterrupt):
            next(thoughts)
        assert cortex.wait_for_event("interrupt")[4] == {"ref": query.ref, "reason": "user requested"}
        assert query.result.status == "interrupted"

    def test_keyboard_interrupt_while_waiting_for_the_result_does_the_same(
        self, cortex: FakeCortex, agent: Agent
    ) -> None:
        query = agent.query("wait")
        assert next(iter(query)).content == "wait"
        interrupt_when_waiting(query)
        with pytest.raises(KeyboardInterrupt):
            query.result  # noqa: B018
        assert cortex.wait_for_event("interrupt")[4]["ref"] == query.ref

    def test_a_keyboard_interrupt_just_before_the_wait_is_not_missed(self, cortex: FakeCortex, agent: Agent) -> None:
        query = agent.query("wait")
        assert next(iter(query)).content == "wait"
        interrupt_when_waiting(query, unnoticed=True)
        with pytest.raises(KeyboardInterrupt):
            query.result  # noqa: B018
        assert cortex.wait_for_event("interrupt")[4]["ref"] == query.ref

    def test_many_at_once_from_many_threads(self, agent: Agent) -> None:
        """Each gets its own thoughts, in order, and its own ending."""
        wrong: list[Any] = []

        def drive(name: int) -> None:
            for number in range(20):
                q = " ".join(f"{name}-{number}-{step}" for step in range(5))
                query = agent.query(q)
                if [thought.content for thought in query] != q.split() or query.result.data != {"echo": q}:
                    wrong.append(query)

        threads = [threading.Thread(target=drive, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_one_that_ended_leaves_nothing_behind(self, agent: Agent) -> None:
        for _ in range(50):
            agent.ask("a b")
        connection = agent._connection
        assert connection._streams == {}
        assert connection._session.live == 0

    def test_closing_the_agent_ends_the_waiting_for_it(self, agent: Agent) -> None:
        query = agent.query("wait")
        next(iter(query))
        agent.close()
        with pytest.raises(synapse.AgentClosed):
            query.result  # noqa: B018
        assert query.status == "lost"


def interrupt_when_waiting(query: synapse.Query, *, unnoticed: bool = False) -> None:
    """Press Ctrl-C once this thread is about to sleep for more news of the query.

    `unnoticed`: in a way that does not end a sleep, as if it had come in the moment before.
    """
    wakeups = query._stream._wakeups
    before = len(wakeups)

    def press() -> None:
        while len(wakeups) == before:
            pass
        if unnoticed:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # this thread's sleep ends, if it has one
        else:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()


class TestAgent:
    def test_ping_is_a_time(self, agent: Agent) -> None:
        assert agent.ping() > 0

    def test_presence_is_the_servers_roster(self, cortex: FakeCortex, agent: Agent) -> None:
        roster = agent.presence()
        assert list(roster) == ["<b>", "ada"]
        assert roster["ada"][0]["status"] == "active"
        assert cortex.wait_for_event("phx_join", 2)[2:] == ["cortex:presence", "phx_join", {"api_key": "s3cret"}]

    def test_presence_follows_the_news(self, cortex: FakeCortex, agent: Agent) -> None:
        agent.presence()
        leaves = {"ada": {"metas": [{"phx_ref": "F1"}]}}
        cortex.say(None, None, "cortex:presence", "presence_diff", {"joins": {}, "leaves": leaves})
        agent.ping()  # what was sent before its answer has been heard
        assert list(agent.presence()) == ["<b>"]

    def test_a_refused_roster_is_an_error_and_the_agent_lives(self, cortex: FakeCortex, agent: Agent) -> None:
        cortex.refuse_join = "not for you"
        with pytest.raises(synapse.JoinError, match="cortex:presence was refused: not for you"):
            agent.presence()
        assert agent.ask("hi").ok

    def test_reconnects_by_itself(self, cortex: FakeCortex, agent: Agent) -> None:
        cortex.cut()
        cortex.wait_for_event("phx_join", 2)
        assert agent.ask("hi").ok

    def test_what_it_is_asked_while_reconnecting_waits(self, cortex: FakeCortex, agent: Agent) -> None:
        cortex.cut()
        cortex.wait_for(lambda: len(cortex.headers) == 2)
        assert agent.ask("hi").ok

    def test_a_query_outlives_the_connection(self, cortex: FakeCortex) -> None:
        """Its stream goes to every connection of the agent, the next one included."""
        with hurried(cortex) as agent:
            query = agent.query("drop")
            join_ref = cortex.wait_for_event("phx_join", 2)[0]
            ending = {"ref": query.ref, "status": "success", "data": "late", "latency_ms": 1}
            cortex.say(join_ref, None, "cortex:ada", "result", ending)
            assert query.result.data == "late"

    def test_an_ending_that_was_missed_is_an_error_in_the_end(self, cortex: FakeCortex) -> None:
        with hurried(cortex, patience=0.05, grace=0.05) as agent:
            query = agent.query("drop")
            with pytest.raises(synapse.QueryLost, match="was lost: the connection dropped"):
                query.result  # noqa: B018

    @pytest.mark.parametrize("face", ["sync", "async"])
    def test_a_timeout_bounds_the_whole_call_though_the_server_has_gone(self, cortex: FakeCortex, face: str) -> None:
        def ask() -> None:
            with synapse.connect(cortex.url) as agent:
                cortex.refuse_handshake = HTTPStatus.SERVICE_UNAVAILABLE
                agent.ask("drop", timeout=0.2)

        async def ask_async() -> None:
            async with await synapse.aconnect(cortex.url) as agent:
                cortex.refuse_handshake = HTTPStatus.SERVICE_UNAVAILABLE
                await agent.ask("drop", timeout=0.2)

        with pytest.raises((synapse.QueryLost, synapse.ReplyTimeout), match=r"within (its timeout of )?0\.2 s"):
            ask() if face == "sync" else asyncio.run(ask_async())

    def test_a_query_without_a_reply_is_an_error_in_the_end(self, cortex: FakeCortex) -> None:
        with hurried(cortex, reply=0.05) as agent, pytest.raises(synapse.ReplyTimeout, match=r"within 0\.05 s"):
            agent.ask("silent")

    def test_survives_the_servers_nonsense(
        self, cortex: FakeCortex, agent: Agent, caplog: pytest.LogCaptureFixture
    ) -> None:
        cortex.say(None, None, "cortex:ada", "thought", {"no": "thought"})
        assert agent.ask("hi").ok
        assert "ignored thought on cortex:ada" in caplog.text

    def test_a_connection_that_cannot_be_understood_is_replaced(self, cortex: FakeCortex, agent: Agent) -> None:
        cortex.say("too short")
        cortex.wait_for_event("phx_join", 2)
        assert cortex.wait_for(lambda: cortex.closes) == [1002]
        assert agent.ask("hi").ok

    def test_a_heartbeat_keeps_the_connection(self, cortex: FakeCortex) -> None:
        with hurried(cortex, heartbeat=0.02):
            assert cortex.wait_for_event("heartbeat")[2] == "phoenix"
            # The fake does not answer heartbeats: the connection counts as dead and is replaced.
            cortex.wait_for_event("phx_join", 2)


class TestAsync:
    def test_streams_and_has_its_result(self, cortex: FakeCortex) -> None:
        async def main() -> None:
            async with await synapse.aconnect(cortex.url, agent="ada") as agent:
                query = agent.query("to be or not")
                assert [thought.content async for thought in query] == ["to", "be", "or", "not"]
                assert (await query.result()).data == {"echo": "to be or not"}
                assert (await agent.ask("hi")).ok
                assert await agent.ping() > 0
                assert list(await agent.presence()) == ["<b>", "ada"]
                await agent.close()

        asyncio.run(main())

    def test_many_await_in_one_loop(self, cortex: FakeCortex) -> None:
        async def main() -> None:
            async with await synapse.aconnect(cortex.url) as agent:
                results = await asyncio.gather(*[agent.ask(f"a {number}") for number in range(100)])
                assert [result.data["echo"] for result in results] == [f"a {number}" for number in range(100)]

        asyncio.run(main())

    def test_a_refused_one_raises(self, cortex: FakeCortex) -> None:
        async def main() -> None:
            async with await synapse.aconnect(cortex.url) as agent:
                with pytest.raises(synapse.QueryRefused):
                    async for _ in agent.query("refuse"):
                        pass

        asyncio.run(main())

    def test_cancelling_the_wait_interrupts_the_query(self, cortex: FakeCortex) -> None:
        async def main() -> str:
            async with await synapse.aconnect(cortex.url) as agent:
                query = agent.query("wait")
                async for _ in query:
                    break
                task = asyncio.create_task(query.result())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await query.result()).status == "interrupted"
                return query.ref

        ref = asyncio.run(main())
        assert cortex.wait_for_event("interrupt")[4] == {"ref": ref, "reason": "user requested"}

    def test_left_early_in_a_with_statement_is_interrupted(self, cortex: FakeCortex) -> None:
        async def main() -> None:
            async with await synapse.aconnect(cortex.url) as agent, agent.query("wait") as query:
                async for _ in query:
                    break
            with pytest.raises(synapse.SynapseError):
                await query.result()

        asyncio.run(main())
        cortex.wait_for_event("interrupt")

    def test_the_loop_ticks_only_while_something_is_awaited(self, cortex: FakeCortex) -> None:
        """A notebook's stop button works in an awaiting cell because the loop wakes up now and then."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with await synapse.aconnect(cortex.url) as agent:
                waiting = asyncio.create_task(agent.query("wait").result())
                await asyncio.sleep(0)  # it begins; the next answer may be there before anyone has to wait for it
                async for _ in agent.query("hello"):
                    pass
                assert synapse.client.ticker._tickers[loop].waiting == 1
                waiting.cancel()
                await asyncio.wait({waiting})
                assert synapse.client.ticker._tickers[loop].waiting == 0
                assert synapse.client.ticker._tickers[loop]._handle is None

        asyncio.run(main())

    def test_a_loop_that_ended_is_nobody_to_wake(self, cortex: FakeCortex) -> None:
        """The query's news goes on after the loop that awaited it is closed."""

        async def begin() -> synapse.AsyncAgent:
            agent = await synapse.aconnect(cortex.url, agent="ada")
            asyncio.create_task(agent.query("wait").result())  # noqa: RUF006
            await asyncio.sleep(0)
            return agent

        async def end(agent: synapse.AsyncAgent) -> None:
            assert (await agent.ask("hi")).ok
            await agent.close()

        agent = asyncio.run(begin())
        asyncio.run(end(agent))


class TestReprs:
    def test_everything_has_one_in_text_and_html_and_none_shows_a_secret(self, agent: Agent) -> None:
        query = agent.query("a <script> b")
        result, roster = query.result, agent.presence()
        for each in (agent, query, result, query.thoughts[0], roster):
            html = each._repr_html_()
            for text in (repr(each), html):
                assert "s3cret" not in text
                assert "t0ken" not in text
            assert "<script>" not in html
            assert html.count("<div") == html.count("</div>")
            assert "var(--jp-" in html

    def test_say_what_matters(self, agent: Agent) -> None:
        query = agent.query("a b")
        assert repr(query.result) == "Result(success in 12.5 ms, data={'echo': 'a b'})"
        assert repr(query) == "<Query 'a b' success, 2 thoughts>"
        assert repr(query.thoughts[0]) == "Thought(reasoning: 'a')"
        assert repr(agent) == f"<Agent 'ada' joined at {agent.url}>"
        assert repr(agent.presence()) == "Roster(2 agents: <b>, ada)"
        assert "2023-11-14 22:13:20" in agent.presence()._repr_html_()

    def test_long_values_are_cut(self) -> None:
        long = Thought("x" * 10_000, "", "q", 0.0, {"content": "x" * 10_000})
        assert len(long._repr_html_()) < 3000

    def test_values_do_not_change(self) -> None:
        thought = Thought("x", "", "q", 0.0, {})
        with pytest.raises(AttributeError):
            thought.content = "y"  # type: ignore[misc]
        assert msgspec.structs.asdict(thought)["content"] == "x"


def test_importing_synapse_is_light() -> None:
    code = (
        "import sys, synapse; "
        "heavy = {'jupyter_core', 'jupyter_server', 'tornado', 'pandas', 'matplotlib', 'simpy', 'websockets'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); assert 'connect' in dir(synapse)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'synapse' has no attribute 'conect'"):
        synapse.conect  # type: ignore[attr-defined]  # noqa: B018


def test_a_process_ends_although_an_agent_is_still_connected(cortex: FakeCortex) -> None:
    """At exit it leaves the cortex politely."""
    code = f"import synapse; agent = synapse.connect({cortex.url!r}); assert agent.ask('hi').ok"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)
    cortex.wait_for_event("phx_leave")
    assert cortex.wait_for(lambda: cortex.closes) == [1000]
