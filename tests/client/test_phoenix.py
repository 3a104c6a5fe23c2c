"""The client against a real Phoenix, as far as its recorded words go: a server that knows nothing of our extras.

It has no ``resume`` in its answer to a join, no ``seq`` in its thoughts, no roster, and ends a channel by a crash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import synapse
from synapse.client import AsyncAgent
from synapse.client.connection import Connection
from synapse.client.discovery import Target, normalise
from synapse.client.events import Accepted, Ended, PresenceChanged, Thinking
from synapse.client.io import io_thread
from synapse.client.opening import Opened
from synapse.client.rules import RestRules
from synapse.client.session import Session
from synapse.client.settings import Backoff, Settings
from synapse.protocol import Query
from tests.support.recorded import RecordedPhoenix, Recording, recorded_phoenix

SOON = Backoff(base=0.01, cap=0.01)


def play(act: Callable[[AsyncAgent], Awaitable[None]], phoenix: RecordedPhoenix, **settings: Any) -> None:
    """Act as an agent that joined with the recorded key, and leave."""

    async def connect() -> Opened:
        target = Target(normalise(phoenix.url).url, api_key="test-key")
        connection = Connection(io_thread(), target, "ada", Settings(reconnect=SOON, rejoin=SOON, **settings))
        await connection.open(10)
        return Opened(connection, RestRules(target))

    async def scenario() -> None:
        opened = await asyncio.wrap_future(io_thread().submit(connect()))
        async with AsyncAgent(opened, io_thread(), None) as agent:
            await act(agent)

    asyncio.run(scenario())


async def push(agent: AsyncAgent, event: str, payload: Any) -> Any:
    """Send an event of a channel that is no cortex's."""
    response, _ = await asyncio.wrap_future(io_thread().submit(agent._connection.push(event, payload)))
    return response


def test_a_whole_session() -> None:
    async def act(agent: AsyncAgent) -> None:
        query = agent.query("Hello")
        assert [thought.content async for thought in query] == ["step 1", "step 2", "step 3"]
        assert (await query.result()).data == {"echo": "Hello"}
        endless = agent.query("thoughts=50 delay_ms=60000")
        while phoenix.heard[-1][4].get("q") != endless.q:
            await asyncio.sleep(0.01)  # one that has not left is not worth an interrupt
        endless.interrupt("cancelled")
        stopped = await endless.result()
        assert (stopped.status, stopped.reason) == ("interrupted", "cancelled")
        assert await agent.ping() >= 0

    with recorded_phoenix(Recording("v2_session")) as phoenix:
        play(act, phoenix)
    assert [frame[3] for frame in phoenix.heard] == ["phx_join", "query", "query", "interrupt", "ping", "phx_leave"]


@pytest.mark.parametrize(("key", "reason"), [(None, "api_key required"), ("wrong", "unauthorized")])
def test_a_refused_join(key: str | None, reason: str) -> None:
    async def scenario() -> None:
        with pytest.raises(synapse.JoinError) as caught:
            await synapse.aconnect(phoenix.url, agent="ada", api_key=key)
        assert caught.value.reason == reason

    with recorded_phoenix(Recording("v2_refusals")) as phoenix:
        asyncio.run(scenario())


def test_a_server_without_a_roster_says_so_and_the_agent_lives() -> None:
    """Its "unmatched topic" has no join_ref."""
    roster = {"room:lobby": "cortex:presence", "cortex:golden-r": "cortex:elsewhere"}

    class Both(Recording):
        """A session, with a topic that no one serves beside it."""

        def answer(self, frame: list[Any]) -> tuple[list[list[Any]], int | None]:
            other = frame[2] == "cortex:presence" and frame[3] == "phx_join"
            return Recording("v2_refusals", topics=roster).answer(frame) if other else super().answer(frame)

    async def act(agent: AsyncAgent) -> None:
        with pytest.raises(synapse.JoinError, match="unmatched topic"):
            await agent.presence()
        assert (await agent.ask("Hello")).status == "success"

    with recorded_phoenix(Both("v2_session")) as phoenix:
        play(act, phoenix)


def test_what_meets_no_channel_is_an_error_of_that_message() -> None:
    async def act(agent: AsyncAgent) -> None:
        assert await agent.ping() >= 0
        with pytest.raises(synapse.SynapseError, match="unmatched topic"):
            await agent.ping()  # the recorded client had left by then
        assert agent.status == "joined"

    with recorded_phoenix(Recording("v2_session")) as phoenix:
        play(act, phoenix)


def test_a_channel_that_crashed_is_joined_again_and_its_query_is_lost_in_the_end() -> None:
    """By a crash, then by a cut: the answers to the joins say nothing of resuming, and the ending never comes."""

    async def act(agent: AsyncAgent) -> None:
        assert (await agent.ask("thoughts=2")).data == {"echo": "thoughts=2"}
        query = agent.query("thoughts=9 delay_ms=400", timeout=0.2)
        async for thought in query:
            assert thought.content == "step 1"
            break
        with pytest.raises(synapse.Disconnected):
            await push(agent, "bogus", {})
        with pytest.raises(synapse.QueryLost):
            await query.result()
        while agent.status != "joined" or sum(frame[3] == "phx_join" for frame in phoenix.heard) < 3:
            await asyncio.sleep(0.01)  # for the recorded server to have cut the connection, too

    recordings = [Recording("client_phoenix_js_session", conn) for conn in ("c1", "c2")]
    with recorded_phoenix(*recordings) as phoenix:
        play(act, phoenix, grace=0.3)
    joins = [frame[4] for frame in phoenix.heard if frame[3] == "phx_join"]
    ref = next(frame[4]["ref"] for frame in phoenix.heard if frame[3] == "query" and frame[4]["q"].startswith("tho"))
    assert joins[0] == {"api_key": "test-key", "resume": {}}
    assert all(ref not in join["resume"] for join in joins), "that one had ended"
    assert [len(join["resume"]) for join in joins[:2]] == [0, 1]


def test_a_channel_that_the_server_closed_is_over() -> None:
    async def act(agent: AsyncAgent) -> None:
        with pytest.raises(synapse.AgentClosed):
            await push(agent, "test:stop", {})
        with pytest.raises(synapse.AgentClosed, match="the server closed"):
            await agent.ping()

    with recorded_phoenix(Recording("v2_broadcast_and_stops")) as phoenix:
        play(act, phoenix)


def test_broadcasts_pushes_and_replies_of_its_own_channels() -> None:
    async def act(agent: AsyncAgent) -> None:
        assert await push(agent, "test:shout", {"n": 1}) == {}
        assert await push(agent, "test:meta", {"status": "busy"}) == {}
        with pytest.raises(synapse.Disconnected):
            await push(agent, "test:stop_abnormal", {})
        with pytest.raises(synapse.Disconnected):
            await push(agent, "test:crash", {})

    with recorded_phoenix(Recording("v2_broadcast_and_stops")) as phoenix:
        play(act, phoenix)


class Line:
    """A session that talks to a recording, without a network."""

    def __init__(self, recording: Recording) -> None:
        self.session = Session("ada", random=lambda: 0.5, api_key="test-key")
        self._recording = recording
        self.session.open(0)
        self.session.connected(0)

    def talk(self) -> None:
        """Say all that is to be said, and hear the answers."""
        while said := self.session.data_to_send():
            for message in said:
                frames, _ = self._recording.answer(json.loads(message.data))
                for frame in frames:
                    self.session.received(json.dumps(frame).encode(), False, 0)

    @property
    def metas(self) -> list[str]:
        roster = self.session.roster("cortex:ada")
        assert roster is not None
        return [meta["status"] for meta in roster.get("ada", [])]


def test_presence_is_what_the_recorded_state_and_diffs_add_up_to() -> None:
    """Another connection of the agent comes, leaves, comes back and drops, all of it between the join and the ping."""
    line = Line(Recording("v2_presence_two_connections"))
    line.talk()
    assert line.metas == ["active"]
    changes = [event for event in line.session.events() if isinstance(event, PresenceChanged)]
    assert len(changes) == 5, "its own state, and four changes"


def test_an_updated_meta_replaces_the_old_one() -> None:
    line = Line(Recording("v2_broadcast_and_stops"))
    line.talk()
    assert line.metas == ["active"]
    line.session.push("test:meta", {"status": "busy"}, 0)
    line.talk()
    assert line.metas == ["busy"]


def test_the_agents_other_connection_may_interrupt_its_query() -> None:
    line = Line(Recording("v2_stream_to_both_connections"))
    line.talk()
    line.session.query(Query("thoughts=2", "mine"), 0)
    line.talk()
    assert [type(event) for event in line.session.events()][-4:] == [Accepted, Thinking, Thinking, Ended]
    line.session.query(Query("thoughts=50 delay_ms=60000", "long"), 0)
    line.talk()
    (ended,) = [event for event in line.session.events() if isinstance(event, Ended)]
    assert (ended.result.status, ended.result.reason) == ("interrupted", "user requested")
    assert line.session.live == 0
