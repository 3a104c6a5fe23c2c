"""A small fake cortex: real WebSockets, scripted behaviour, and waiting for events instead of sleeping."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PATIENCE = 20.0  # seconds before a test that waits for an event fails


class FakeCortex:
    """Answers as a cortex does, keeps what it received, and can be told to misbehave.

    A query's text is its script: words are streamed as thoughts; ``wait`` stays unanswered until it is
    interrupted; ``drop`` cuts the connection; ``refuse`` is refused, ``busy`` up to its third attempt; ``silent`` gets
    no reply.
    """

    def __init__(self) -> None:
        self.frames: list[list[Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refuse_join: str | None = None
        self.refuse_handshake: HTTPStatus | None = None
        self.ignore_joins = False
        self.crash_next_join = False
        self.closes: list[int | None] = []
        self._changed = threading.Condition()
        self._connections: set[ServerConnection] = set()
        self._thread = threading.Thread(target=self._run, name="fake cortex")
        self._started = threading.Event()
        self._thread.start()
        assert self._started.wait(PATIENCE)

    # for tests, in their own thread

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/cortex"

    def wait_for(self, what: Callable[[], Any]) -> Any:
        """Wait until ``what()`` is true of what was received, and return it."""
        with self._changed:
            assert self._changed.wait_for(what, PATIENCE), "the fake cortex waited in vain"
            return what()

    def wait_for_event(self, event: str, times: int = 1) -> list[Any]:
        """Wait for the n-th frame of an event and return it."""

        def found() -> Any:
            frames = [frame for frame in self.frames if frame[3] == event]
            return frames[times - 1] if len(frames) >= times else None

        frame: list[Any] = self.wait_for(found)
        return frame

    def cut(self) -> None:
        """Cut every connection without a close frame."""

        def abort() -> None:
            for connection in self._connections:
                connection.transport.abort()

        self._call(abort)

    def say(self, *frame: Any) -> None:
        """Send a frame to everybody."""

        async def send() -> None:
            for connection in self._connections:
                await connection.send(json.dumps(frame))

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(PATIENCE)

    def stop(self) -> None:
        self._call(self._loop.stop)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    # the server's thread

    def _call(self, callback: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(self._start())
        self.port: int = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(server.wait_closed())
        self._loop.close()

    async def _start(self) -> Server:
        return await serve(self._serve, "127.0.0.1", 0, process_request=self._handshake, compression=None)

    async def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        with self._changed:
            self.headers.append(
                {**{name.lower(): value for name, value in request.headers.raw_items()}, "path": request.path}
            )
            self._changed.notify_all()
        return None if self.refuse_handshake is None else connection.respond(self.refuse_handshake, "no\n")

    async def _serve(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            async for text in connection:
                frame = json.loads(text)
                with self._changed:
                    self.frames.append(frame)
                    self._changed.notify_all()
                await self._answer(connection, *frame)
        except ConnectionClosed:
            return  # who leaves does not wait for the answer
        finally:
            self._connections.discard(connection)
            with self._changed:
                self.closes.append(connection.close_code)
                self._changed.notify_all()

    async def _answer(
        self, connection: ServerConnection, join_ref: str, ref: str, topic: str, event: str, payload: Any
    ) -> None:
        async def send(*frame: Any) -> None:
            await connection.send(json.dumps(frame))

        async def reply(status: str, response: Any) -> None:
            await send(join_ref, ref, topic, "phx_reply", {"status": status, "response": response})

        if event == "phx_join":
            if self.ignore_joins:
                return
            if self.refuse_join:
                await reply("error", {"reason": self.refuse_join})
                return
            await reply("ok", {"agent_id": topic.partition(":")[2]})
            meta = {"phx_ref": "F1", "online_at": 1_700_000_000, "status": "active"}
            here = {"ada": {"metas": [meta]}, "<b>": {"metas": [meta, meta]}} if topic == "cortex:presence" else {}
            await send(join_ref, None, topic, "presence_state", here)
        elif event == "ping":
            await send(join_ref, None, topic, "pong", {"timestamp": 1})
            await reply("ok", {"pong": 1})
        elif event == "query":
            await self._query(connection, send, reply, join_ref, topic, payload)
        elif event == "interrupt":
            await reply("ok", {})
            await send(join_ref, None, topic, "interrupted", payload)
        elif event == "phx_leave":
            await reply("ok", {})
            await send(join_ref, join_ref, topic, "phx_close", {})

    async def _query(
        self, connection: ServerConnection, send: Any, reply: Any, join_ref: str, topic: str, payload: Any
    ) -> None:
        q, ref = payload["q"], payload["ref"]
        if q == "silent":
            return
        if q == "refuse":
            await reply("error", {"reason": "overloaded", "policy": "Admission", "retry_after_ms": 1500})
            return
        if q == "busy" and payload["attempt"] < 3:
            await reply("error", {"reason": "rate_limited", "policy": "token-bucket", "retry_after_ms": 1})
            return
        await reply("ok", {"ref": ref, "status": "processing"})
        for word in q.split():
            thought = {"type": "reasoning", "content": word}
            await send(
                join_ref, None, topic, "thought", {"thought": thought, "ref": ref, "timestamp": 1_700_000_000_000}
            )
        if q.startswith("drop"):
            connection.transport.abort()
        elif not q.startswith("wait"):
            result = {"ref": ref, "status": "success", "data": {"echo": q}, "latency_ms": 12.5}
            await send(join_ref, None, topic, "result", result)
