"""The two ways to show a `Board`: a live picture on a terminal, lines anywhere else."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from synapse.cli.demo.board import Board, Line

MARKS = {
    "success": ("✓", "green"),
    "error": ("✗", "red"),
    "timeout": ("◷", "yellow"),
    "interrupted": ("■", "magenta"),
}
OTHER = ("!", "bold red")
COLOURS = ("cyan", "blue", "magenta")
AROUND = 4  # rows of a frame that are no agent's: two borders, the progress, the endings
ROSTER_WIDTH = 34
KEEP = 5  # rows for endings worth a second look


class Screen(Protocol):
    """Shows a board. Inside its ``with`` statement."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *exception: object) -> None: ...

    def refresh(self) -> None:
        """The board may have changed."""


class LiveScreen:
    """A picture that is drawn anew with every `refresh`."""

    def __init__(self, console: Console, board: Board) -> None:
        self._console = console
        self._board = board
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._frame)

    def __enter__(self) -> Screen:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.refresh()
        self._live.stop()

    def refresh(self) -> None:
        self._live.refresh()

    def _frame(self) -> RenderableType:
        return frame(self._board, self._console.height)


class PlainScreen:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console, board: Board) -> None:
        self._console = console
        self._board = board
        self._told = 0
        self._tenths = 0

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *exception: object) -> None:
        self.refresh()

    def refresh(self) -> None:
        board = self._board
        for line in board.news[self._told :]:
            self._tell(line)
        self._told = len(board.news)
        tenths = 10 * board.ended // board.total
        if tenths > self._tenths:
            self._tenths = tenths
            self._print(f"{board.ended}/{board.total} queries have ended, after {board.thoughts} thoughts")

    def _tell(self, line: Line) -> None:
        words = f" ({line.words})" if line.words else ""
        last = f", last thought: {line.thoughts[-1]}" if line.thoughts else ""
        self._print(f"{line.ask.agent}: {line.ask.title}: {line.status}{words}{last}")

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def screen_for(console: Console, board: Board) -> Screen:
    """A live one on a terminal that can move its cursor, a plain one otherwise."""
    live = console.is_terminal and not console.is_dumb_terminal
    return LiveScreen(console, board) if live else PlainScreen(console, board)


def frame(board: Board, height: int) -> RenderableType:
    """The whole picture, at most `height` rows high."""
    rows = max(1, min(len(board.names), height - AROUND))
    panels = Table.grid(expand=True)
    panels.add_column(width=ROSTER_WIDTH)
    panels.add_column(ratio=1)
    here = f"[bold]Presence[/]: {len(board.here)} of {len(board.names)} agents"
    thoughts = f"[bold]Thoughts[/]: {board.thoughts:,}"
    panels.add_row(
        Panel(_roster(board, rows), title=here, title_align="left", border_style="bright_black", height=rows + 2),
        Panel(_stream(board, rows), title=thoughts, title_align="left", border_style="bright_black", height=rows + 2),
    )
    return Group(panels, _progress(board), _endings(board))


def _roster(board: Board, rows: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=10, no_wrap=True, overflow="ellipsis")
    table.add_column(width=8, no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    fits = len(board.names) <= rows
    for name in board.names[: None if fits else rows - 1]:
        dot, state = _state(board, name)
        table.add_row(dot, Text(name, _colour(board, name)), state, f"{board.done[name]}/{board.todo[name]}")
    if not fits:
        table.add_row("", f"{len(board.names) - rows + 1} more", "", "")
    return table


def _state(board: Board, name: str) -> tuple[Text, Text]:
    if name not in board.here:
        return Text("○", "bright_black"), Text("away", "bright_black")
    line = board.current.get(name)
    if line is None:
        return Text("●", "green"), Text("here", "bright_black")
    if not line.thoughts:
        return Text("●", "yellow"), Text("waiting", "yellow")
    return Text("●", "bright_green"), Text("thinking", "bright_green")


def _stream(board: Board, rows: int) -> Table:
    """The queries that think, and in what room is left those that ended last, in the order of their asking."""
    thinking = [line for line in board.lines if line.status is None and line.thoughts]
    ended = [line for line in board.lines if line.status is not None and line not in board.news]
    shown = set([*ended, *thinking, *board.news[-KEEP:]][-rows:])
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=9, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=5, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=7, no_wrap=True, overflow="ellipsis")
    for line in board.lines:
        if line in shown:
            style = "" if line.status is None else "dim"
            name = Text(line.ask.agent, f"{style} {_colour(board, line.ask.agent)}")
            table.add_row(name, Text(line.ask.title, style), _thoughts(line))
    return table


def _thoughts(line: Line) -> Text:
    if line.status is None:
        latest = line.thoughts[-1] if line.thoughts else ""
        return Text("• " * min(len(line.thoughts) - 1, 7), "bright_black").append(latest, "default")
    mark, colour = MARKS.get(line.status, OTHER)
    status = "" if line.status == "success" else f"{line.status}: "
    return Text(f"{mark} {status}{line.words}", colour)


def _progress(board: Board) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    rate = board.ended / board.elapsed if board.elapsed else 0.0
    bar = ProgressBar(board.total, board.ended, complete_style="cyan", finished_style="green")
    table.add_row(bar, f"{board.ended}/{board.total} queries  {rate:.0f}/s  {board.elapsed:.1f} s")
    return table


def _endings(board: Board) -> Text:
    text = Text(" ")
    known = [status for status in MARKS if board.endings[status]]
    for status in known + sorted(set(board.endings) - set(MARKS)):
        mark, colour = MARKS.get(status, OTHER)
        text.append(f"{mark} {board.endings[status]} {status}   ", colour)
    return text


def _colour(board: Board, name: str) -> str:
    return COLOURS[board.number[name] % len(COLOURS)]
