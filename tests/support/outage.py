"""What goes wrong between a client and its server: a network that cuts or swallows, a server that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from tests.support.server import LiveServer, live_server

PATIENCE = 20.0  # s; for what the proxy is asked to do
CHUNK = 65536


class Proxy:
    """A TCP proxy before a server, in a thread of its own.

    Parameters
    ----------
    url
        The server's.

    Attributes
    ----------
    url : str
        The server's, through the proxy.
    carried : int
        How many connections there were so far.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._flows: asyncio.Event
        self._stop: asyncio.Event
        self._port = 0
        self.carried = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE)
        self.url = self._target._replace(netloc=f"127.0.0.1:{self._port}").geturl()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    # For tests, in any thread

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        self._call(self._cut)

    def blackhole(self) -> None:
        """Carry nothing any more, ends of connections included; new ones are taken and carried nowhere."""
        self._call(self._flows.clear)

    def heal(self) -> None:
        """Carry again, and what was held up first, as TCP does."""
        self._call(self._flows.set)

    # In the thread

    def _call(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._flows, self._stop = asyncio.Event(), asyncio.Event()
        self._flows.set()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        self._flows.set()
        while self._carrying:
            self._cut()
            await asyncio.wait(self._carrying, timeout=0.1)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.carried += 1
        self._carrying.add(task := cast("asyncio.Task[None]", asyncio.current_task()))
        task.add_done_callback(self._carrying.discard)
        await self._flows.wait()
        try:
            up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:  # the server is down
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        finally:
            self._writers -= pair

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the cut that the test makes
            while data := await reader.read(CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        await self._flows.wait()
        writer.close()


class Reborn:
    """A server that rises again at its old address.

    Parameters
    ----------
    home
        A folder for all that it writes, life by life.
    options, settings
        As for `live_server`.

    Attributes
    ----------
    server : LiveServer
        The one that runs.
    lives : list of LiveServer
        All so far.
    """

    def __init__(self, home: Path, *options: str, **settings: Any) -> None:
        self._home = home
        self._options = options
        self._settings = settings
        self._life = contextlib.ExitStack()
        self.lives: list[LiveServer] = []

    def __enter__(self) -> Self:
        self._rise(port=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._life.__exit__(kind, error, trace)

    @property
    def server(self) -> LiveServer:
        return self.lives[-1]

    def fall(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has ended."""
        self.server.stop(sig)
        self._life.close()

    def restart(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End it, and start it again."""
        port = urlsplit(self.server.url).port
        assert port is not None
        self.fall(sig)
        self._rise(port)

    def _rise(self, port: int) -> None:
        home = self._home / f"life-{len(self.lives) + 1}"
        home.mkdir()
        self.lives.append(self._life.enter_context(live_server(home, *self._options, port=port, **self._settings)))
