"""What the demo shows while it runs: the whole picture, within the terminal, and lines where there is none."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from synapse.cli.demo.board import KEPT, Board
from synapse.cli.demo.screen import LiveScreen, PlainScreen, frame, screen_for
from synapse.cli.demo.script import Ask, names, script


def a_console(terminal: bool = False, width: int = 100) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=width, height=24, force_terminal=terminal, highlight=False), out


def a_board(agents: int, queries: int = 40) -> Board:
    """Everybody is here, every other query of the first half has ended, the others think."""
    asks = script(agents, queries, kernel=True)
    board = Board(names(agents), asks)
    board.present(board.names)
    for number, ask in enumerate(asks[: len(asks) // 2]):
        line = board.asked(ask)
        board.thought(line, f"thought {number}")
        if number % 2:
            board.end(line, ask.status, "12 ms")
    return board


def lines_of(board: Board, height: int, width: int = 100) -> list[str]:
    console, out = a_console(width=width)
    console.print(frame(board, height))
    return out.getvalue().rstrip("\n").split("\n")


class TestFrame:
    @pytest.mark.parametrize("height", [5, 10, 24, 60])
    @pytest.mark.parametrize("agents", [1, 20, 500])
    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_it_fits_into_the_terminal(self, agents: int, height: int, width: int) -> None:
        lines = lines_of(a_board(agents, queries=2 * agents + 10), height, width)
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines)

    def test_it_shows_who_is_here_and_what_they_do(self) -> None:
        board = a_board(3, 12)
        board.present(["ada", "alan"])
        text = "\n".join(lines_of(board, 24))
        assert "Presence: 2 of 3 agents" in text
        assert "thinking" in text
        assert "away" in text

    def test_agents_that_do_not_fit_are_counted(self) -> None:
        assert any("41 more" in line for line in lines_of(a_board(60, 120), 24))

    def test_it_shows_the_latest_thought_of_a_running_query(self) -> None:
        board = Board(["ada"], [Ask("ada", "q", "why")])
        line = board.asked(Ask("ada", "q", "why"))
        board.thought(line, "first things first")
        board.thought(line, "and then")
        text = "\n".join(lines_of(board, 24))
        assert "• and then" in text
        assert "first things" not in text

    def test_an_interruption_stays_in_sight_while_others_come_and_go(self) -> None:
        asks = script(5, 100, kernel=False)
        board = Board(names(5), asks)
        for ask in asks:
            board.end(board.asked(ask), ask.status, "seen enough" if ask.status == "interrupted" else "")
        assert any("■ interrupted: seen enough" in line for line in lines_of(board, 12))

    def test_it_counts_endings(self) -> None:
        board = Board(["ada"], [Ask("ada", "q", "why")] * 3)
        for status in ("success", "lost", "success"):
            board.end(board.asked(Ask("ada", "q", "why")), status, "")
        text = "\n".join(lines_of(board, 24))
        assert "✓ 2 success   ! 1 lost" in text
        assert "3/3 queries" in text


class TestBoard:
    def test_it_does_not_grow_with_the_number_of_queries(self) -> None:
        asks = [Ask("ada", "q", "why")] * 3000
        board = Board(["ada"], asks)
        for ask in asks:
            board.end(board.asked(ask), "error", "")
        assert board.ended == 3000
        assert len(board.lines) <= 2 * KEPT + 1
        assert len(board.news) <= KEPT

    def test_a_running_query_is_never_forgotten(self) -> None:
        board = Board(["ada", "alan"], [Ask("ada", "q", "why")] * 1000)
        running = board.asked(Ask("alan", "q", "slow"))
        for _ in range(1000):
            board.end(board.asked(Ask("ada", "q", "why")), "success", "")
        assert running in board.lines

    def test_its_clock_stops_with_the_last_ending(self) -> None:
        board = Board(["ada"], [Ask("ada", "q", "why")])
        assert board.elapsed == 0
        board.end(board.asked(Ask("ada", "q", "why")), "success", "")
        assert board.elapsed == board.elapsed > 0


class TestScreens:
    def test_a_terminal_gets_a_picture_and_a_pipe_gets_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        board = a_board(2)
        assert isinstance(screen_for(a_console(terminal=True)[0], board), LiveScreen)
        assert isinstance(screen_for(a_console(terminal=False)[0], board), PlainScreen)

    def test_a_terminal_that_cannot_move_its_cursor_gets_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(screen_for(a_console(terminal=True)[0], a_board(2)), PlainScreen)

    def test_the_picture_moves_with_the_board(self) -> None:
        console, out = a_console(terminal=True)
        board = a_board(2)
        with LiveScreen(console, board) as screen:
            board.thought(board.asked(Ask("ada", "q", "something new")), "a new thought")
            screen.refresh()
            assert "a new thought" in out.getvalue()

    def test_lines_tell_of_each_tenth_and_of_each_ending_worth_a_word_once(self) -> None:
        console, out = a_console()
        asks = script(2, 100, kernel=False)
        board = Board(names(2), asks)
        with PlainScreen(console, board) as screen:
            for ask in asks:
                board.end(board.asked(ask), ask.status, "")
                screen.refresh()
        lines = out.getvalue().splitlines()
        assert len([line for line in lines if "queries have ended" in line]) == 10
        assert len(lines) == 10 + 3
        assert lines[-1] == "100/100 queries have ended, after 0 thoughts"
