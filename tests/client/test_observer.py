"""An observer: a program that watches a cortex, through drops and refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from synapse.channels import Channel
from synapse.client import ConnectError, JoinError
from synapse.client.discovery import Target
from synapse.client.io import io_thread
from synapse.client.observer import Observer, look
from synapse.server.embedded import EmbeddedServer, start_embedded

TIMEOUT = 10.0


class Ear:
    """Hears frames, and waits for those it wants."""

    def __init__(self) -> None:
        self.frames: list[list[Any]] = []
        self.told: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def hear(self, data: bytes) -> None:
        self.frames.append(json.loads(data))
        self._changed.set()

    def tell(self, status: str, why: str) -> None:
        self.told.append((status, why))
        self._changed.set()

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not so():
                self._changed.clear()
                await self._changed.wait()

    def events(self) -> list[str]:
        return [frame[3] for frame in self.frames]


def over_there(story: Callable[[EmbeddedServer], Awaitable[None]]) -> None:
    """Run a story in the IO thread, with an embedded cortex."""

    async def run() -> None:
        server = await start_embedded()
        try:
            await story(server)
        finally:
            await server.stop()

    io_thread().call(run())


async def observe(server: EmbeddedServer, ear: Ear, key: str | None = None) -> Observer:
    target = Target(server.url, api_key=key or server.api_key)
    observer = Observer(io_thread(), target, ear.hear, ear.tell)
    await observer.open(TIMEOUT)
    return observer


def test_it_hears_the_snapshot_the_roster_and_what_happens() -> None:
    async def story(server: EmbeddedServer) -> None:
        ear = Ear()
        observer = await observe(server, ear)
        await ear.until(lambda: {"snapshot", "presence_state"} <= set(ear.events()))
        other = await observe(server, Ear())  # whose connection is news
        cortex = server.service.cortex
        cortex.presence.track("a", Channel(next(iter(cortex.sockets.values())), "cortex:a", "1", "1"), 5.0)
        await ear.until(lambda: {"presence_diff", "events"} <= set(ear.events()))
        assert "phx_reply" not in ear.events()
        assert b'"a"' in observer.roster
        await other.close()
        await observer.close()

    over_there(story)


def test_it_is_no_agent() -> None:
    async def story(server: EmbeddedServer) -> None:
        observer = await observe(server, Ear())
        assert server.service.cortex.connections.count() == 0
        assert server.service.cortex.monitor.observers == 1
        await observer.close()

    over_there(story)


def test_it_can_ask_for_the_messages_of_a_query() -> None:
    async def story(server: EmbeddedServer) -> None:
        observer = await observe(server, Ear())
        reply = await observer.ask("trace", {"agent": "a", "ref": "q1"})
        assert (reply.status, reply.response["messages"]) == ("ok", [])
        await observer.close()

    over_there(story)


def test_it_comes_back_after_a_drop_and_says_so_meanwhile() -> None:
    async def story(server: EmbeddedServer) -> None:
        ear = Ear()
        observer = await observe(server, ear)
        await ear.until(lambda: "snapshot" in ear.events())
        ear.frames.clear()
        for socket in [*server.service.cortex.sockets.values()]:
            socket.close(1012, "restart")
        await ear.until(lambda: "snapshot" in ear.events())
        assert [status for status, _ in ear.told] == ["live", "reconnecting", "live"]
        await observer.close()

    over_there(story)


def test_a_refusal_is_an_error_and_leaves_nothing_open() -> None:
    async def story(server: EmbeddedServer) -> None:
        with pytest.raises(JoinError, match="unauthorized"):
            await observe(server, Ear(), key="wrong")

    over_there(story)


def test_a_server_that_is_not_there_is_an_error() -> None:
    async def story(server: EmbeddedServer) -> None:
        await server.stop()
        with pytest.raises(ConnectError):
            await observe(server, Ear())

    over_there(story)


def test_one_look_is_a_snapshot() -> None:
    async def story(server: EmbeddedServer) -> None:
        async def open_(hear: Any, tell: Any) -> Observer:
            observer = Observer(io_thread(), Target(server.url, api_key=server.api_key), hear, tell)
            await observer.open(TIMEOUT)
            return observer

        seen = await look(open_)
        assert (seen["agents"], seen["node"]) == ([], "embedded")

    over_there(story)
