"""Supabase's Python client. It prefixes topics with ``realtime:`` and sends object frames that carry a join_ref,
and heartbeats without a ref; it drops events that it does not know. Plays the scenario named by its argument.
"""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.types import RealtimeAcknowledgementStatus

ENDPOINT, KEY = os.environ["CORTEX_ENDPOINT"], os.environ["CORTEX_KEY"]
SUBSCRIBED, CLOSED, ERROR = (
    RealtimeSubscribeStates.SUBSCRIBED,
    RealtimeSubscribeStates.CLOSED,
    RealtimeSubscribeStates.CHANNEL_ERROR,
)

Play = Callable[[], Awaitable[None]]
SCENARIOS: dict[str, Play] = {}


def scenario(name: str) -> Callable[[Play], Play]:
    """Name a scenario."""
    return lambda play: SCENARIOS.setdefault(name, play)


class Inbox:
    """What has happened, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, *items: Any) -> None:
        self._queue.put_nowait(items if len(items) > 1 else items[0])

    async def next(self) -> Any:
        return await asyncio.wait_for(self._queue.get(), 10)

    async def until(self, wanted: Callable[[], bool]) -> None:
        while not wanted():
            await self.next()


class Frames(logging.Handler):
    """Every frame that a client receives, also those that it drops: it logs them."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox()
        logger = logging.getLogger("realtime._async.client")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        kind, _, text = record.getMessage().partition(": ")
        if kind == "receive":
            self.inbox.put(json.loads(ast.literal_eval(text)))

    async def event(self, name: str) -> dict[str, Any]:
        """The next frame of an event."""
        while (frame := await self.inbox.next())["event"] != name:
            pass
        return frame


def config(key: str = "", *, own: bool = False) -> Any:
    return {
        "config": {
            "broadcast": {"ack": False, "self": own},
            "presence": {"key": key, "enabled": True},
            "private": False,
        }
    }


async def subscribe(channel: AsyncRealtimeChannel) -> Inbox:
    """Subscribe; the inbox has the states that follow, with the reason of an error."""
    states = Inbox()
    await channel.subscribe(lambda state, error: states.put(state, json.loads(str(error)) if error else None))
    return states


async def room(topic: str, params: Any = None) -> tuple[AsyncRealtimeChannel, Inbox]:
    """A subscribed channel of a client of its own."""
    channel = AsyncRealtimeClient(ENDPOINT).channel(topic, params or config())
    states = await subscribe(channel)
    assert await states.next() == (SUBSCRIBED, None)
    return channel, states


def agent(name: str, **payload: Any) -> AsyncRealtimeChannel:
    """A channel of the cortex, built directly as its topic has no prefix."""
    client = AsyncRealtimeClient(ENDPOINT)
    channel = AsyncRealtimeChannel(client, f"cortex:{name}", {**config(), **payload})
    client.channels[channel.topic] = channel
    return channel


async def reply(channel: AsyncRealtimeChannel, event: str, payload: dict[str, Any]) -> tuple[str, Any]:
    """Push, and return the status and the response of the reply."""
    replies = Inbox()
    push = await channel.push(event, payload)
    push.receive(RealtimeAcknowledgementStatus.Ok, lambda response: replies.put("ok", response))
    push.receive(RealtimeAcknowledgementStatus.Error, lambda response: replies.put("error", response))
    return await replies.next()


@scenario("a room is subscribed to")
async def _() -> None:
    await room("lobby")


@scenario("a room that refuses is a channel error with its reason")
async def _() -> None:
    states = await subscribe(AsyncRealtimeClient(ENDPOINT).channel("closed", config()))
    assert await states.next() == (ERROR, {"reason": "closed"})


@scenario("a broadcast reaches the others, and its sender only if it asks for that")
async def _() -> None:
    quiet, loud = (await room("py-chat"))[0], (await room("py-chat", config(own=True)))[0]
    heard = {channel: Inbox() for channel in (quiet, loud)}
    for channel, inbox in heard.items():
        channel.on_broadcast("said", lambda message, inbox=inbox: inbox.put(message["payload"]))
    await quiet.send_broadcast("said", {"n": 1})
    assert await heard[loud].next() == {"n": 1}
    await loud.send_broadcast("said", {"n": 2})
    assert await heard[loud].next() == {"n": 2}
    assert await heard[quiet].next() == {"n": 2}


@scenario("tracked presences are seen by all, and go with their clients")
async def _() -> None:
    watching, _ = await room("py-crowd", config("watcher"))
    synced = Inbox()
    watching.on_presence_sync(lambda: synced.put("sync"))

    def present() -> dict[str, list[str]]:
        return {key: [meta["mood"] for meta in metas] for key, metas in watching.presence_state().items()}

    guest, _ = await room("py-crowd", config("guest"))
    await guest.track({"mood": "eager"})
    await synced.until(lambda: present() == {"guest": ["eager"]})
    await guest.track({"mood": "tired"})
    await synced.until(lambda: present() == {"guest": ["tired"]})
    await watching.track({"mood": "calm"})
    await synced.until(lambda: present() == {"guest": ["tired"], "watcher": ["calm"]})
    await guest.socket.close()
    await synced.until(lambda: present() == {"watcher": ["calm"]})


@scenario("a heartbeat without a ref is answered without a ref")
async def _() -> None:
    frames = Frames()
    await AsyncRealtimeClient(ENDPOINT).connect()
    frame = await frames.event("phx_reply")
    expected = {"topic": "phoenix", "event": "phx_reply", "payload": {"status": "ok", "response": {}}, "ref": None}
    assert frame == expected, frame


@scenario("unsubscribing is acknowledged and closes the channel")
async def _() -> None:
    channel, states = await room("lobby")
    await channel.unsubscribe()
    assert await states.next() == (CLOSED, None)


@scenario("a client that is disconnected comes back and subscribes again")
async def _() -> None:
    client = AsyncRealtimeClient(ENDPOINT)
    channel = client.channel("lobby", config())
    states = Inbox()
    await channel.subscribe(lambda state, _: states.put(state))
    assert await states.next() == SUBSCRIBED
    await channel.push("test:disconnect", {})
    assert await states.next() == ERROR
    assert await states.next() == SUBSCRIBED


@scenario("a channel that crashes is an error, and is subscribed to again")
async def _() -> None:
    channel, states = await room("lobby")
    channel.rejoin_timer.timer_calc = lambda tries: 0.01
    await channel.push("test:crash", {})
    assert await states.next() == (ERROR, {"reason": "channel_crash"})
    assert await states.next() == (SUBSCRIBED, None)


@scenario("an unknown event is refused by name, and the channel lives on")
async def _() -> None:
    channel, _ = await room("lobby")
    assert await reply(channel, "bogus", {}) == ("error", {"reason": "unmatched event: bogus"})
    status, _response = await reply(channel, "presence", {"event": "untrack", "payload": {}})
    assert status == "ok"


@scenario("a cortex answers its queries")
async def _() -> None:
    frames = Frames()
    channel = agent("pypi", api_key=KEY)
    states = await subscribe(channel)
    assert await states.next() == (SUBSCRIBED, None)
    status, _response = await reply(channel, "query", {"q": "thoughts=1", "ref": "q1"})
    assert status == "ok"
    thought = await frames.event("thought")
    assert thought["payload"]["thought"] == {"type": "reasoning", "content": "step 1"}
    result = await frames.event("result")
    assert result["payload"]["data"] == {"echo": "thoughts=1"}
    assert (result["ref"], result["topic"]) == (None, "cortex:pypi")
    assert "join_ref" not in result
    await channel.unsubscribe()
    assert await states.next() == (CLOSED, None)


@scenario("a cortex refuses a wrong key")
async def _() -> None:
    states = await subscribe(agent("pypi", api_key="wrong"))
    assert await states.next() == (ERROR, {"reason": "unauthorized"})


if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
