"""A Jupyter Server with Synapse in it, as a process of its own that does not outlive the demo."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

STARTUP = 60.0  # s until it must listen
SHUTDOWN = 15.0  # s until it is killed
MOURNING = 0.5  # s from a failure of whoever needs it to the news that it has died, and then to its last words
_LISTENS = re.compile(r"agents connect to (wss?://\S+)")
_OURS = ("SYNAPSE_", "JUPYTER_", "JPY_")  # settings of the user's own servers are not for this one


class ServerFailed(Exception):
    """The server did not start, or ended too soon. The message ends with the last lines of its log."""


class Server:
    """``async with Server(slots=12) as server``: running inside, stopped and without a trace outside.

    It sees no configuration of this machine, writes into a folder of its own, and lets in nobody who does not
    know its random key or token. Neither is on its command line, where other users could read them.

    Parameters
    ----------
    slots
        How many queries it answers at once.
    options
        More options for its command line; they win over ours.

    Attributes
    ----------
    url : str
        Where agents connect.
    api_key, token
        What opens the door: for an agent, and for a Jupyter user.
    """

    url: str
    _reading: asyncio.Task[None]

    def __init__(self, slots: int, options: tuple[str, ...] = ()) -> None:
        self.api_key = secrets.token_urlsafe(24)
        self.token = secrets.token_urlsafe(24)
        self._slots = slots
        self._options = options
        self._log: deque[str] = deque(maxlen=20)
        self._listens = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def trace(self) -> Path:
        """The folder of its record of all queries. It is whole once `stop` has returned."""
        return self._home / "trace"

    async def __aenter__(self) -> Server:
        """Start it.

        Raises
        ------
        ServerFailed
            If it ends instead of listening, or takes too long.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="synapse-demo-", ignore_cleanup_errors=True)
        self._home = Path(self._folder.name)
        try:
            process = self._process = await self._start()
            self._reading = asyncio.ensure_future(self._read(process))
            await self.beside(self._until_it_listens())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self._folder.cleanup()

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work while the server runs.

        Raises
        ------
        ServerFailed
            If the server ends first; the work is cancelled.
        """
        assert self._process is not None
        task, ended = asyncio.ensure_future(work), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and task.exception() is not None:
                await asyncio.wait({ended}, timeout=MOURNING)
            if not ended.done():
                return task.result()
            await asyncio.wait({self._reading}, timeout=MOURNING)  # no longer: a child of it may keep the pipe open
            raise ServerFailed(f"the server ended with exit code {ended.result()}{self._tail()}")
        finally:
            for future in (task, ended):
                future.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)

    async def stop(self) -> int | None:
        """Stop it as a service manager would, and wait. May be called again.

        Returns
        -------
        int or None
            Its exit code, 0 if all went well; None if it never started.
        """
        process = self._process
        if process is None:
            return None
        try:
            # Before it listens there is nothing to end in good order, and it would take its time.
            _signal(process, signal.SIGTERM if self._listens.is_set() else signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), SHUTDOWN)
        finally:
            _signal(process, signal.SIGKILL)
        return await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        config = self._home / "config.json"
        config.write_text(json.dumps(self._config()))
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from synapse.server.app import main; main()", f"--config={config}", *self._options,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,  # bytes in a line
            start_new_session=True,  # the terminal's Ctrl-C is for us; we stop it then
        )  # fmt: skip

    def _config(self) -> dict[str, Any]:
        return {
            "SynapseApp": {
                "record": str(self.trace),
                "policies": {"concurrency": {"kind": "fixed", "limit": self._slots}},
            },
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": 0,
                "allow_root": True,  # containers; nobody else has the key
                "open_browser": False,
                "root_dir": str(self._home),
                "shutdown_no_activity_timeout": 60,  # s; for the case that we are killed
            },
        }

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        home = self._home
        return kept | {
            "SYNAPSE_API_KEY": self.api_key,
            "JUPYTER_TOKEN": self.token,
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "IPYTHONDIR": str(home / "ipython"),
            "TMPDIR": str(home),
            "PYTHONUNBUFFERED": "1",
        }

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Read its log to the end: a full pipe would stop it."""
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            self._log.append(text)
            if found := _LISTENS.search(text):
                self.url = found[1]
                self._listens.set()

    async def _until_it_listens(self) -> None:
        try:
            async with asyncio.timeout(STARTUP):
                await self._listens.wait()
        except TimeoutError:
            raise ServerFailed(f"the server does not listen after {STARTUP:g} s{self._tail()}") from None

    def _tail(self) -> str:
        return ". The end of its log:\n" + "\n".join(f"  {line}" for line in self._log) if self._log else ""


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
