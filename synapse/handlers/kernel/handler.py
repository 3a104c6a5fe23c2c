"""The ``kernel`` handler: one Jupyter kernel per agent, within a bound, and what becomes of the code's output.

Options
-------
See `KernelHandler`. Output becomes thoughts as `synapse.handlers.kernel.output` lists; in a Python kernel the
code may also call ``think("…")`` itself, which is sent at once, where a bare ``print`` may wait up to 0.1 s
(``print(…, flush=True)`` does not).

The kernel runs as the server's user. It is a place to work in, not a sandbox: who may reach this handler is the
server's decision. Keys are kept out of its environment (`WITHHELD`), so that they do not end up in outputs and
traces by accident; code that looks for them elsewhere is not stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

import zmq.asyncio

from synapse.handlers.context import Query, Think
from synapse.handlers.errors import HandlerError
from synapse.handlers.kernel.output import reason_of
from synapse.handlers.kernel.process import Kernel, KernelDied

log = logging.getLogger("synapse.handlers")

WITHHELD = (
    "SYNAPSE_API_KEY*",
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_COOKIE_SECRET",
    "JPY_API_TOKEN",
    "CONFIGPROXY_AUTH_TOKEN",
    "JPY_SESSION_NAME",
)
"""Environment variables that the kernels do not inherit: the server's keys, and the name of a notebook that is
not theirs. `SYNAPSE_URL` is inherited."""

BACKLOG = 20_000
"""How many messages of a kernel may wait to be read, in a flood of output. What comes beyond that is lost; with
ZeroMQ's own 1 000 a busy server would lose results."""


class KernelHandler:
    """Runs each query's `q` as code in a kernel of its agent's own.

    The names that one query defines are there in the agent's next. The queries of one agent run one after
    another. The result's data is ``{"status": "ok", "execution_count": n, "result": text or None}``: `result`
    is the text form of the last expression's value, and `execution_count` counts the pieces of code that this
    kernel has run, so that 1 says that it is a new one, without the names of earlier queries. Code that raises
    is a result of status ``error``, its reason the exception on one line.

    An interrupt or a timeout interrupts the code; the kernel lives on.

    Parameters
    ----------
    kernel_name
        Which installed Jupyter kernel.
    max_kernels
        How many may run at once. At the bound, the one that was idle longest is ended for a new agent; when
        all have queries, the query ends with an error that says so.
    startup_timeout
        How long a kernel may take to start, in s.
    idle_timeout
        End a kernel that has had no query for so long, in s. None keeps it.
    interrupt_grace
        How long code may resist being interrupted before its kernel is killed, in s.
    max_thought
        The longest text or MIME entry in a thought, in characters. Longer texts are cut.
    max_output
        How much output a query may have in all, in bytes; the rest is left out, and said to be.
    cwd
        The kernels' working directory; the server's when None.
    withhold
        Names, or patterns such as ``"*_TOKEN"``, of environment variables not to inherit, besides `WITHHELD`.
    """

    def __init__(
        self,
        *,
        kernel_name: str = "python3",
        max_kernels: int = 8,
        startup_timeout: float = 30.0,
        idle_timeout: float | None = None,
        interrupt_grace: float = 5.0,
        max_thought: int = 262_144,
        max_output: int = 8_388_608,
        cwd: str | os.PathLike[str] | None = None,
        withhold: Iterable[str] = (),
    ) -> None:
        bounds = {"max_kernels": max_kernels, "max_thought": max_thought, "max_output": max_output}
        times = {"startup_timeout": startup_timeout, "interrupt_grace": interrupt_grace, "idle_timeout": idle_timeout}
        for name, value in (bounds | times).items():
            if value is not None and not value > 0:
                raise ValueError(f"{name}: must be more than 0, not {value}")
        self.kernel_name = kernel_name
        self.max_kernels = max_kernels
        self._startup_timeout = startup_timeout
        self._idle_timeout = idle_timeout
        self._limits: dict[str, Any] = {
            "max_thought": max_thought,
            "max_output": max_output,
            "interrupt_grace": interrupt_grace,
            "cwd": os.fspath(cwd) if cwd is not None else None,
        }
        self._withhold = (*WITHHELD, *withhold)
        self._seats: dict[str, _Seat] = {}  # by agent, the longest unused first
        self._closing: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._directory: Path | None = None
        self._context: zmq.asyncio.Context | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<KernelHandler {self.kernel_name} {len(self._seats)}/{self.max_kernels} kernels>"

    @property
    def pids(self) -> dict[str, int]:
        """The process of each agent's kernel."""
        kernels = ((agent, seat.kernel) for agent, seat in self._seats.items())
        return {agent: kernel.pid for agent, kernel in kernels if kernel is not None and kernel.pid is not None}

    async def __call__(self, query: Query, think: Think) -> dict[str, Any]:
        seat = self._take_seat(query.agent)
        seat.users += 1
        try:
            async with seat.lock:
                return await self._answer(query.q, think, await self._kernel(seat))
        except KernelDied:
            self._end(seat)
            raise
        finally:
            seat.users -= 1
            if not seat.users:
                self._set_idle_timer(seat)

    async def close(self) -> None:
        """End all kernels and remove their files."""
        self._closed = True
        for seat in list(self._seats.values()):
            self._leave_seat(seat)
        while self._closing:
            await asyncio.wait(list(self._closing))
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def _answer(self, code: str, think: Think, kernel: Kernel) -> dict[str, Any]:
        execution = await kernel.execute(code)
        try:
            while True:
                for thought in execution.take():
                    await think(**thought)
                if execution.done:
                    break
                await kernel.watch(execution)
        finally:
            kernel.release(execution)
        reply = execution.reply or {}
        if reply.get("status") != "ok":
            raise HandlerError(reason_of(reply))
        return {"status": "ok", "execution_count": kernel.executed, "result": execution.result}

    async def _kernel(self, seat: _Seat) -> Kernel:
        """The seat's kernel, started if need be. Only who holds the seat's lock may ask."""
        if seat.kernel is not None:
            if await seat.kernel.alive():
                return seat.kernel
            self._end(seat)
        if seat.opening is None:
            seat.opening = asyncio.ensure_future(self._open(seat))
        # Shielded: when this query is interrupted, the agent's next one finds the kernel started.
        return await asyncio.shield(seat.opening)

    async def _open(self, seat: _Seat) -> Kernel:
        try:
            while self._closing:  # so that the bound holds for processes, not just for seats
                await asyncio.wait(list(self._closing))
            kernel = self._make_kernel()
            try:
                await kernel.start(self._startup_timeout)
            except BaseException:
                self._close_later(kernel)
                raise
            seat.kernel = kernel
            return kernel
        finally:
            seat.opening = None

    def _make_kernel(self) -> Kernel:
        if self._context is None or self._directory is None:
            self._context = zmq.asyncio.Context()
            self._context.setsockopt(zmq.RCVHWM, BACKLOG)  # of the sockets to come
            self._directory = Path(tempfile.mkdtemp(prefix="synapse-"))  # only for us: mode 0700
        path = self._directory / str(next(self._numbers))
        return Kernel(path, self.kernel_name, self._context, env=self._environment(), **self._limits)

    def _environment(self) -> dict[str, str]:
        withheld = self._withhold
        return {name: value for name, value in os.environ.items() if not any(fnmatchcase(name, w) for w in withheld)}

    def _take_seat(self, agent: str) -> _Seat:
        if self._closed:
            raise HandlerError("the kernel handler is closed")
        seat = self._seats.pop(agent, None)
        if seat is None:
            self._make_room()
            seat = _Seat(agent)
        self._seats[agent] = seat  # at the end: the latest used
        if seat.timer is not None:
            seat.timer.cancel()
            seat.timer = None
        return seat

    def _make_room(self) -> None:
        if len(self._seats) < self.max_kernels:
            return
        for seat in self._seats.values():
            if not seat.users:
                self._leave_seat(seat)
                return
        raise HandlerError(f"all {self.max_kernels} kernels are busy (max_kernels)")

    def _set_idle_timer(self, seat: _Seat) -> None:
        if self._idle_timeout is not None and self._seats.get(seat.agent) is seat:
            seat.timer = asyncio.get_running_loop().call_later(self._idle_timeout, self._leave_seat, seat)

    def _leave_seat(self, seat: _Seat) -> None:
        del self._seats[seat.agent]
        if seat.timer is not None:
            seat.timer.cancel()
        if seat.opening is not None:
            seat.opening.cancel()  # which closes what it has started
            self._keep(seat.opening)
        self._end(seat)

    def _end(self, seat: _Seat) -> None:
        kernel, seat.kernel = seat.kernel, None
        if kernel is not None:
            self._close_later(kernel)

    def _close_later(self, kernel: Kernel) -> None:
        self._keep(asyncio.ensure_future(_close(kernel)))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Seat:
    """An agent's place under the bound: its kernel, or the promise of one."""

    __slots__ = ("agent", "kernel", "lock", "opening", "timer", "users")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.kernel: Kernel | None = None
        self.opening: asyncio.Task[Kernel] | None = None
        self.lock = asyncio.Lock()
        self.users = 0  # the agent's queries that run or wait here
        self.timer: asyncio.TimerHandle | None = None


async def _close(kernel: Kernel) -> None:
    try:
        await kernel.close()
    except Exception:
        log.exception("%r failed to close", kernel)
