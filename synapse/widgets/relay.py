"""Carries what an observer hears to pages that cannot reach the cortex themselves: binary comm messages, in batches.

A server lets about a thousand kernel messages a second through to a page, so a frame each would be lost in part.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from synapse.client.errors import SynapseError
from synapse.client.io import IOThread, io_thread
from synapse.client.observer import Observer
from synapse.widgets.source import Source

log = logging.getLogger(__name__)

BATCH = 1 / 30  # s
SILENCE = 16.0  # s without a sign of life after which a page is thought to be gone

Send = Callable[..., None]


class Relay:
    """One widget's comm, as long as a page listens.

    Parameters
    ----------
    source
        The cortex.
    send
        The widget's ``send(content, buffers)``.
    """

    def __init__(self, source: Source, send: Send) -> None:
        self._source = source
        self._send = send
        self._io: IOThread | None = None
        self._observer: Observer | None = None
        self._opening: asyncio.Task[None] | None = None
        self._frames: list[bytes] = []
        self._flush_due = False
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def receive(self, content: Any) -> None:
        """Take a message of the page's, in any thread."""
        kind = content.get("kind") if isinstance(content, dict) else None
        self._io = io = io_thread()
        if kind == "hello":
            io.soon(self._hello)
        elif kind == "alive":
            io.soon(self._alive)
        elif kind == "bye":
            io.soon(self._leave)
        elif kind == "push":
            io.soon(lambda: self._task(self._push(content)))

    def close(self) -> None:
        """The widget is gone."""
        if self._io is not None:
            self._io.soon(self._leave)

    # In the IO thread

    def _hello(self) -> None:
        self._alive()
        if self._observer is not None:
            self._task(self._show(self._observer))
        elif self._opening is None:
            self._opening = self._task(self._open())

    def _alive(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(SILENCE, self._check)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._heard + SILENCE - loop.time()
        self._watch = loop.call_later(left, self._check) if left > 0 else None
        if self._watch is None:
            self._leave()

    async def _open(self) -> None:
        assert self._io is not None
        try:
            self._observer = await self._source.observe(self._io, self._frame, self._status)
        except SynapseError as error:
            self._status("refused", str(error))
        finally:
            self._opening = None

    async def _show(self, observer: Observer) -> None:
        """A page that comes later gets what the first one got: who is here, and how everything is."""
        self._status("live", "")
        self._frame(observer.roster)
        await observer.ask("snapshot", {})

    async def _push(self, content: dict[str, Any]) -> None:
        reply = {"status": "lost", "response": {}}
        if self._observer is not None:
            answer = await self._observer.ask(content["event"], content["payload"])
            if answer.status in ("ok", "error"):
                reply = {"status": answer.status, "response": answer.response}
        self._send({"kind": "reply", "id": content["id"], "reply": reply})

    def _leave(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._opening is not None:
            self._opening.cancel()
        observer, self._observer = self._observer, None
        if observer is not None:
            self._task(observer.close())

    def _status(self, status: str, why: str) -> None:
        self._send({"kind": "status", "status": status, "why": why})

    def _frame(self, data: bytes) -> None:
        self._frames.append(data)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(BATCH, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        frames, self._frames = self._frames, []
        self._send({"kind": "frames"}, [b"[" + b",".join(frames) + b"]"])

    def _task(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_note_failure)
        return task


def _note_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        log.error("a relay failed", exc_info=failure)
