"""One Jupyter kernel: its process, its two sockets, and how code is run and interrupted in it.

It runs one execution at a time and knows no agent and no query. Messages come over Unix sockets in a private
directory, never over TCP, so that no one else on the machine can speak to the kernel.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from synapse.handlers.errors import HandlerError
from synapse.handlers.kernel.execution import Execution
from synapse.handlers.kernel.output import Message, plain

log = logging.getLogger("synapse.handlers")

PULSE = 0.1
"""How often a kernel that is silent is looked at, in s: the longest time until its death is noticed."""

STRAGGLERS = 2.0
"""How long to wait, in s, for the second of reply and idle when the first has come. Either can get lost: an
interrupt in an unlucky moment takes the reply with it, a flood of output the idle status."""

SMALL = 16_384
"""Messages up to this many bytes are always read, so that a status is never taken for too much output."""

_STARTUP = Path(__file__).with_name("startup.py")


Route = Callable[[str, str, Message | None, int], None]
"""Takes a message: type, parent's id, content, size."""


class KernelDied(HandlerError):
    """The kernel's process has ended while it was needed."""


class Kernel:
    """A kernel process.

    Parameters
    ----------
    path
        Prefix of this kernel's own files in a private directory: its connection file, its sockets, its log.
    kernel_name
        Which kernelspec.
    context
        The ZeroMQ context for its sockets.
    env, cwd
        Environment and working directory of the process.
    max_thought, max_output
        Bounds for each execution, see `Execution`.
    interrupt_grace
        How long code may resist being interrupted before the process is killed, in s.
    """

    def __init__(
        self,
        path: Path,
        kernel_name: str,
        context: zmq.asyncio.Context,
        *,
        env: dict[str, str],
        cwd: str | None,
        max_thought: int,
        max_output: int,
        interrupt_grace: float,
    ) -> None:
        self._log_file = path.with_suffix(".log")
        self._launch = {"env": env, "cwd": cwd, "stdout": subprocess.DEVNULL}
        self._bounds = max_thought, max_output
        self._grace = interrupt_grace
        self._manager = AsyncKernelManager(
            kernel_name=kernel_name,
            transport="ipc",
            ip=str(path),
            connection_file=str(path.with_suffix(".json")),
            context=context,
            shutdown_wait_time=2.0,
        )
        self._session = self._manager.session
        self._sockets: list[Any] = []
        self._readers: list[asyncio.Task[None]] = []
        self._settling: asyncio.Task[None] | None = None
        self._execution: Execution | None = None
        self._heard = False
        self._group: int | None = None
        self.executed = 0  # how many pieces of code it has run: 1 means that all names are new
        self._spent = False  # about to end, or not to be trusted with other code

    def __repr__(self) -> str:
        return f"<Kernel {self._manager.kernel_name} pid={self.pid}, {self.executed} executed>"

    @property
    def pid(self) -> int | None:
        """The process, None before it was started."""
        return getattr(self._manager.provisioner, "pid", None)

    async def start(self, timeout: float) -> None:
        """Start the process and wait until it answers. Whoever starts a kernel must `close` it, come what may.

        Raises
        ------
        HandlerError
            If there is no such kernel, or it does not answer within `timeout` s.
        """
        try:
            language = self._manager.kernel_spec.language if self._manager.kernel_spec else ""
        except NoSuchKernel:
            raise HandlerError(f"there is no Jupyter kernel {self._manager.kernel_name!r}") from None
        try:
            async with asyncio.timeout(timeout):
                await self._start_process()
                self._connect()
                await self._until_it_answers()
                if language == "python":
                    await self._run_startup()
        except TimeoutError:
            raise HandlerError(f"the kernel did not start within {timeout:g} s") from None

    async def execute(self, code: str) -> Execution:
        """Send code. The execution fills while `watch` is awaited; leave it by `release`.

        Waits until what was interrupted before is really over.
        """
        if self._settling is not None:
            await asyncio.shield(self._settling)
        self.executed += 1
        return self._request(code)

    async def watch(self, execution: Execution) -> None:
        """Return when there is something new, or the execution is done.

        Raises
        ------
        KernelDied
            If the process has ended.
        """
        stragglers = STRAGGLERS
        while not execution.done and not await execution.changed(PULSE):
            if (code := await self._exit_code()) is not None:
                # What it said last may still be in the sockets.
                if not await execution.changed(PULSE):
                    raise KernelDied(
                        f"the kernel died ({_how(code)}), its state with it; the next query gets a new one"
                    )
                return
            if execution.idle or execution.reply is not None:
                stragglers -= PULSE
                if stragglers <= 0:
                    self._give_up_stragglers(execution)

    def release(self, execution: Execution) -> None:
        """Leave an execution. One that is not done is interrupted, and `execute` waits for that."""
        if not execution.done:
            execution.abandon()
            self._settling = asyncio.ensure_future(self._settle(execution))

    async def alive(self) -> bool:
        """Whether it can run code. Waits for an interrupt to end, as it may end in a kill."""
        if self._settling is not None:
            await asyncio.shield(self._settling)
        return not self._spent and await self._exit_code() is None

    async def close(self) -> None:
        """End the process, kindly if it listens, and remove its sockets and files."""
        tasks = [*self._readers, *([self._settling] if self._settling is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for socket in self._sockets:
            socket.close(linger=0)
        try:
            if self._manager.has_kernel:
                await self._manager.shutdown_kernel(now=False)
            else:
                await self._manager.cleanup_resources()
        finally:
            self._kill_group()
            self._log_file.unlink(missing_ok=True)

    async def _start_process(self) -> None:
        with self._log_file.open("wb") as stderr:
            await self._manager.start_kernel(**self._launch, stderr=stderr)
        self._group = getattr(self._manager.provisioner, "pgid", None)

    def _connect(self) -> None:
        iopub: Any = self._manager.connect_iopub()
        shell: Any = self._manager.connect_shell(identity=self._session.bsession)
        self._sockets = [shell, iopub]
        self._readers = [
            asyncio.ensure_future(self._read(shell, self._on_shell, lambda: self._bounds[1])),
            asyncio.ensure_future(self._read(iopub, self._on_iopub, self._room)),
        ]

    async def _until_it_answers(self) -> None:
        # Repeated, because an answer on iopub is missed until our subscription has reached the kernel.
        probe = Execution(*self._bounds)
        while not (self._heard and probe.reply is not None):
            self._send(probe, "kernel_info_request", {})
            await probe.changed(PULSE)
            if (code := await self._exit_code()) is not None:
                raise KernelDied(f"the kernel died while it started ({_how(code)})")

    async def _run_startup(self) -> None:
        source = f"exec({_STARTUP.read_text()!r}, {{}})"
        execution = self._request(source, silent=True)
        while not execution.done:
            await self.watch(execution)
        if execution.reply is None or execution.reply.get("status") != "ok":
            log.warning("the kernel's start-up code failed: %r", execution.reply)

    def _request(self, code: str, silent: bool = False) -> Execution:
        execution = Execution(*self._bounds)
        # Not stop_on_error: ipykernel would answer what comes right after an error with "aborted".
        content = {"code": code, "silent": silent, "store_history": False, "user_expressions": {}}
        self._send(execution, "execute_request", content | {"allow_stdin": False, "stop_on_error": False})
        return execution

    def _send(self, execution: Execution, kind: str, content: Message) -> None:
        message = self._session.msg(kind, content)
        execution.msg_id = message["header"]["msg_id"]
        self._execution = execution
        # Sent at once; not awaited, so that no cancellation can come between code and the one who looks after it.
        self._sockets[0].send_multipart(self._session.serialize(message))

    async def _settle(self, execution: Execution) -> None:
        try:
            await self._bring_to_rest(execution)
        except Exception:
            log.exception("%r cannot be interrupted", self)
            self._spent = True

    async def _bring_to_rest(self, execution: Execution) -> None:
        """Interrupt until the kernel is idle again; kill it if it will not be."""
        waited = 0.0
        while not execution.started and not execution.idle and waited < self._grace:
            # Earlier, the signal would be ignored, or hit ipykernel itself.
            waited += 0 if await execution.changed(PULSE) else PULSE
            if await self._exit_code() is not None:
                return
        for _ in range(3):
            if execution.idle or await self._exit_code() is not None:
                return
            await self._manager.interrupt_kernel()
            if await self._becomes_idle(execution, self._grace / 3):
                return
        log.warning("%r does not heed interrupts: killing it", self)
        self._spent = True
        await self._manager.signal_kernel(signal.SIGKILL)

    async def _becomes_idle(self, execution: Execution, timeout: float) -> bool:
        while not execution.idle and timeout > 0:
            timeout -= 0 if await execution.changed(PULSE) else PULSE
            if await self._exit_code() is not None:
                return True
        return execution.idle

    def _give_up_stragglers(self, execution: Execution) -> None:
        log.warning("%r: reply or idle status of an execution got lost", self)
        execution.idle = True
        if execution.reply is None:
            execution.on_reply({"status": "error", "ename": "KernelError", "evalue": "the kernel sent no reply"})

    def _room(self) -> int:
        return self._execution.room if self._execution is not None else 0

    async def _read(self, socket: Any, route: Route, room: Callable[[], int]) -> None:
        while True:
            frames = await socket.recv_multipart()
            try:
                route(*self._decode(frames, max(SMALL, room())))
            except Exception:
                log.exception("%r: a message of the kernel cannot be read", self)
            # A receive that finds a message does not yield, so a flood would hold up everyone else.
            await asyncio.sleep(0)

    def _decode(self, frames: list[bytes], most: int) -> tuple[str, str, Message | None, int]:
        """Type, parent's id, content, size [bytes]. No content when it is more than anyone wants to read."""
        _, parts = self._session.feed_identities(frames)
        size = sum(map(len, parts))
        if size > most:
            return json.loads(parts[1])["msg_type"], json.loads(parts[2]).get("msg_id", ""), None, size
        message = self._session.deserialize(parts)
        return message["header"]["msg_type"], message["parent_header"].get("msg_id", ""), message["content"], size

    def _on_shell(self, _kind: str, parent: str, content: Message | None, size: int) -> None:
        execution = self._execution
        if execution is None or parent != execution.msg_id:
            return
        if content is None:
            evalue = f"the kernel's reply was too long to be read ({size} bytes)"
            content = {"status": "error", "ename": "KernelError", "evalue": evalue}
        if any(isinstance(item, dict) and item.get("source") == "ask_exit" for item in content.get("payload") or ()):
            self._spent = True
        execution.on_reply(content)

    def _on_iopub(self, kind: str, parent: str, content: Message | None, size: int) -> None:
        self._heard = True
        execution = self._execution
        if execution is None or parent != execution.msg_id:
            return  # late words of an earlier execution's threads
        if content is None:
            execution.leave_out()
        else:
            execution.on_iopub(kind, content, size)

    async def _exit_code(self) -> int | None:
        """How the process ended, None while it runs."""
        provisioner = self._manager.provisioner
        code = await provisioner.poll() if provisioner is not None else 0
        if code is not None and self._group is not None:
            words = plain(self._log_file.read_text("utf-8", "replace")[-2000:]) if self._log_file.exists() else ""
            log.warning("%r has died (%s) %s", self, _how(code), words)
            self._kill_group()
        return code

    def _kill_group(self) -> None:
        """Kill what the kernel has left behind: its process group is its own."""
        group, self._group = self._group, None
        if group is not None and group != os.getpgrp():
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                log.debug("%r left no process behind", self)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
