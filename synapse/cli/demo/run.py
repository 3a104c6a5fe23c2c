"""From the start of the server to the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from time import perf_counter

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from synapse._version import __version__
from synapse.cli.demo.board import Board
from synapse.cli.demo.play import Cast
from synapse.cli.demo.screen import Screen, frame, screen_for
from synapse.cli.demo.script import names, script
from synapse.cli.demo.server import Server, ServerFailed
from synapse.cli.demo.verdict import problems
from synapse.client import SynapseError

FAILED = 1
FRAME = 1 / 12  # s between two pictures
SHOWN = 10  # problems
WIDTH, HEIGHT = 110, 24  # of a screenshot


class Plan(msgspec.Struct, frozen=True):
    """What to do.

    Parameters
    ----------
    agents, queries
        How many agents, and how many queries to the echo handler.
    kernel
        Whether to ask a Jupyter kernel, too.
    out
        The folder for the trace and its plot.
    screenshot
        A file for a picture (SVG) of the screen after the interruption, and of the summary; None for none.
    server_options
        More options for the server.
    """

    agents: int
    queries: int
    kernel: bool
    out: Path
    screenshot: Path | None = None
    server_options: tuple[str, ...] = ()


async def run(plan: Plan) -> int:
    """Do it.

    Returns
    -------
    int
        The exit code: 0 if every query had exactly the ending that it should have.
    """
    demo = Demo(plan)
    with _cancelled_by(signal.SIGTERM, signal.SIGHUP):
        try:
            return await demo.run()
        except (ServerFailed, SynapseError, OSError, ValueError) as error:
            demo.say(Text(f"The demo failed: {error}", "red"))
            return FAILED


class Demo:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._asks = script(plan.agents, plan.queries, plan.kernel)
        self._board = Board(names(plan.agents), self._asks)
        self._cast = Cast(self._board)
        self._console = Console(highlight=False)
        self._picture = _recording_console() if plan.screenshot else None
        self._pictured = False
        self._problems: list[str] = []

    async def run(self) -> int:
        """Do it; see `run` above."""
        plan = self._plan
        plan.out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
        # pandas and matplotlib take a while to load: meanwhile, and not while queries are timed.
        loading = asyncio.ensure_future(asyncio.to_thread(import_module, "synapse.cli.demo.report"))
        since = perf_counter()
        self.say("Starting a Jupyter Server …")
        async with Server(max(1, 4 * plan.agents // 5), plan.server_options) as server:
            await loading
            self.say(
                f"Jupyter Server {version('jupyter-server')} with Synapse {__version__} listens at {server.url}"
                f" ({perf_counter() - since:.1f} s)"
            )
            await server.beside(self._perform(server))
            await self._stop(server)
            self._judge(server.trace)
        return FAILED if self._problems else 0

    def say(self, what: RenderableType) -> None:
        """Print something, on every console there is."""
        for console in (self._console, self._picture):
            if console is not None:
                console.print(what, soft_wrap=isinstance(what, str | Text))

    async def _perform(self, server: Server) -> None:
        """Let the agents come, play and go, before everybody's eyes."""
        with screen_for(self._console, self._board) as screen:
            looking = asyncio.ensure_future(self._look(screen))
            try:
                await self._cast.enter(server)
                if missing := set(self._board.names) - self._board.here:
                    self._problems.append(f"the server's presence lacks {', '.join(sorted(missing))}")
                await self._cast.play(self._asks)
                self._take_picture()  # if the interruption was the last ending, nobody has looked since
            finally:
                looking.cancel()
                (ended,) = await asyncio.gather(looking, return_exceptions=True)
                if isinstance(ended, Exception):
                    self._problems.append(f"the screen failed: {ended!r}")
                await self._cast.leave()

    async def _look(self, screen: Screen) -> None:
        """Keep the screen fresh."""
        while True:
            with contextlib.suppress(SynapseError):  # whoever plays will hear of it, too
                await self._cast.look()
            screen.refresh()
            if self._board.endings["interrupted"]:
                self._take_picture()
            await asyncio.sleep(FRAME)

    def _take_picture(self) -> None:
        if self._picture is not None and not self._pictured:
            self._pictured = True
            self._picture.print(frame(self._board, HEIGHT))

    async def _stop(self, server: Server) -> None:
        if code := await server.stop():
            self._problems.append(f"the server ended with exit code {code}")

    def _judge(self, recorded: Path) -> None:
        from synapse.cli.demo import report

        saved = report.save(recorded, self._plan.out)
        self._problems += problems(self._asks, self._cast.heard, report.rows(saved.frame))
        self.say(report.table(self._asks, self._cast.heard, saved.frame))
        self.say(f"Saved the trace, {saved.trace}, and its plot, {saved.plot}")
        if self._problems:
            self.say(Text(f"✗ {len(self._problems)} things are not as they should be:", "bold red"))
            for problem in self._problems[:SHOWN]:
                self.say(Text(f"  {problem}", "red"))
        else:
            self.say(
                Text(f"✓ Each of the {len(self._asks)} queries had exactly the ending that it should have.", "green")
            )
        if self._picture is not None and self._plan.screenshot is not None:
            self._picture.save_svg(str(self._plan.screenshot), title="scripts/demo")


def _recording_console() -> Console:
    return Console(
        record=True, file=StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH, height=HEIGHT,
        highlight=False,
    )  # fmt: skip


@contextlib.contextmanager
def _cancelled_by(*signals: signal.Signals) -> Iterator[None]:
    """End like Ctrl-C does, with everything stopped, when one of these comes."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
