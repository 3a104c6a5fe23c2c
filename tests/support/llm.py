"""A local server of OpenAI's chat API that does as the question says: streams, refuses, hangs, breaks.

The last message is a script of optional parts::

    words=5 delay_ms=10     five words, with a pause before each
    think=2                 two words of thinking aloud before
    status=429              refuse with a status; `code=…` says why, `retry_after=…` and `retry_after_ms=…` when
    hang=0                  send nothing for ever; hang=2: after two words
    cut=2                   cut the connection after two words; stop=2: end the answer as if that were all
    fail=2                  an error within the stream; garbage=2: something that is no JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

PATIENCE = 30.0


class LocalModel:
    """``with LocalModel() as llm: … llm.url …``: in a thread of its own, whatever the test's loop is doing.

    Attributes
    ----------
    requests : list
        The bodies that came.
    keys : list of str
        The keys that came with them.
    asked, closed : threading.Event
        Set when a request has come; when a client has closed a stream before its end.
    """

    url: str

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.asked, self.closed, self._ready = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="local model")

    def __enter__(self) -> LocalModel:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        sockets = bind_sockets(0, "127.0.0.1")
        routes = [("/v1/chat/completions", _Completions, {"llm": self})]
        http = HTTPServer(Application(routes, log_function=_mute))
        http.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._over.wait()
        http.stop()
        await http.close_all_connections()


class _Completions(RequestHandler):
    def initialize(self, llm: LocalModel) -> None:
        self._llm = llm
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self._llm.closed.set()
        self._gone.set()

    async def post(self) -> None:
        request = json.loads(self.request.body)
        self._llm.requests.append(request)
        self._llm.keys.append(self.request.headers["Authorization"].removeprefix("Bearer "))
        q = request["messages"][-1]["content"]
        script = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)\b", q)}
        if "status" in script:
            self._refuse(script, re.search(r"code=(\S+)", q))
            return
        self._llm.asked.set()
        with contextlib.suppress(StreamClosedError):  # who has closed the stream does not want the rest
            await self._stream(script, bool(request.get("stream_options")))

    def _refuse(self, script: dict[str, int], code: re.Match[str] | None) -> None:
        self.set_status(script["status"])
        for name, header in (("retry_after", "Retry-After"), ("retry_after_ms", "Retry-After-Ms")):
            if name in script:
                self.set_header(header, str(script[name]))
        self.finish({"error": {"message": "a secret of sk-12345", "code": code and code[1]}})

    async def _stream(self, script: dict[str, int], usage: bool) -> None:
        self.set_header("Content-Type", "text/event-stream")
        if script.get("hang") == 0:
            await self._gone.wait()
            return
        for number in range(script.get("think", 0)):
            await self._chunk({"reasoning_content": f"hm{number} "})
        for number in range(script.get("words", 3)):
            if delay := script.get("delay_ms"):
                await asyncio.sleep(delay / 1000)
            await self._chunk({"content": f"word{number} "})
            if await self._mischief(script, number + 1):
                return
        await self._chunk({}, "stop")
        if usage:
            tokens = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            await self._event({"model": "parrot-1", "choices": [], "usage": tokens})
        self.write("data: [DONE]\n\n")

    async def _mischief(self, script: dict[str, int], words: int) -> bool:
        if script.get("hang") == words:
            await self._gone.wait()
        elif script.get("cut") == words:
            self.request.connection.stream.close()  # type: ignore[union-attr]
        elif script.get("fail") == words:
            await self._event({"error": {"message": "a secret", "code": "server_error"}})
        elif script.get("garbage") == words:
            self.write("data: {no json\n\n")
        elif script.get("stop") != words:
            return False
        return True

    async def _chunk(self, delta: dict[str, str], finish: str | None = None) -> None:
        await self._event({"model": "parrot-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    async def _event(self, event: dict[str, Any]) -> None:
        self.write(f"data: {json.dumps(event)}\n\n")
        await self.flush()


def _mute(_: RequestHandler) -> None:
    """Tests look at what came, not at a log."""
