"""The demo as its user meets it: a process that starts a server, shows agents at work, and tells the truth."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from synapse.telemetry import read_trace, summary
from tests.cli.command import Command, Outcome, synapse

SMALL = ("--agents", "4", "--queries", "12")
LISTENS = "listens at ws://127.0.0.1:"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def outcome(home: Path) -> Outcome:
    """A small demo, with a kernel and a screenshot, that is over."""
    return synapse("demo", *SMALL, "--out", "saved/here", "--screenshot", "demo.svg", home=home)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Command]:
    """A demo whose server listens."""
    command = Command("demo", *SMALL, "--no-kernel", home=tmp_path)
    try:
        command.read_until(LISTENS)
        yield command
    finally:
        command.process.kill()
        command.process.communicate()


class TestAGoodRun:
    def test_it_succeeds_and_says_why(self, outcome: Outcome) -> None:
        assert outcome.code == 0, outcome.output
        assert "Each of the 15 queries had exactly the ending that it should have." in outcome.output

    def test_it_prints_the_endings_and_latencies(self, outcome: Outcome) -> None:
        rows = [line.split() for line in outcome.output.splitlines()]
        assert [*rows[[row[:1] for row in rows].index(["success"])]][:3] == ["success", "12", "12"]
        for status in ("error", "timeout", "interrupted"):
            assert any(row[:3] == [status, "1", "1"] for row in rows)
        for words in ("p50", "p99", "first thought", "result", "interrupt", "queries/s", " ms"):
            assert words in outcome.output

    def test_without_a_terminal_it_prints_plain_lines(self, outcome: Outcome) -> None:
        assert "\x1b" not in outcome.output
        assert "15/15 queries have ended" in outcome.output
        assert "to be interrupted: interrupted (seen enough" in outcome.output
        assert "kernel: sum(primes): success" in outcome.output
        assert "last thought: 440" in outcome.output

    def test_it_names_the_trace_and_the_plot_that_it_leaves(self, outcome: Outcome, home: Path) -> None:
        for name in ("queries.parquet", "queries.png"):
            assert str(Path("saved/here") / name) in outcome.output
        assert sorted(path.name for path in (home / "saved/here").iterdir()) == ["queries.parquet", "queries.png"]

    def test_the_trace_has_a_row_for_each_query(self, outcome: Outcome, home: Path) -> None:
        frame = read_trace(home / "saved/here/queries.parquet")
        assert summary(frame).statuses == {"success": 12, "error": 1, "timeout": 1, "interrupted": 1}
        assert not frame.duplicated(["agent", "ref"]).any()
        assert set(frame["agent"]) == {"ada", "alan", "barbara", "claude"}

    def test_the_plot_is_a_picture(self, outcome: Outcome, home: Path) -> None:
        assert (home / "saved/here/queries.png").read_bytes().startswith(b"\x89PNG\r\n")

    def test_the_screenshot_shows_the_interruption(self, outcome: Outcome, home: Path) -> None:
        picture = (home / "demo.svg").read_text()
        assert picture.startswith("<svg")
        assert "interrupted:&#160;seen&#160;enough" in picture

    def test_nothing_else_is_left(self, outcome: Outcome, home: Path) -> None:
        assert outcome.forgotten == []
        assert sorted(path.name for path in home.iterdir()) == ["demo.svg", "saved", "tmp"]


class TestABadRun:
    def test_a_server_that_does_not_start(self, tmp_path: Path) -> None:
        """The exit code says so, the end of the server's log says why."""
        code, output, forgotten = synapse("demo", *SMALL, "--", "--SynapseApp.idle_timeout=-1", home=tmp_path)
        assert code == 1, output
        assert "The demo failed: the server ended with exit code 1" in output
        assert "idle_timeout" in output
        assert forgotten == []

    def test_queries_without_the_ending_that_they_should_have(self, tmp_path: Path) -> None:
        """A server with no kernel handler refuses the kernel's queries. The others are saved all the same."""
        echo_only = "--SynapseApp.handlers={'*': ['echo']}"
        code, output, forgotten = synapse("demo", "--agents", "2", "--queries", "4", "--", echo_only, home=tmp_path)
        assert code == 1, output
        assert "3 things are not as they should be" in output
        assert "(kernel: sum(primes)): ended as refused" in output
        assert len(read_trace(tmp_path / "demo-output/queries.parquet")) == 4
        assert forgotten == []

    def test_a_server_that_dies_meanwhile(self, running: Command) -> None:
        (server,) = psutil.Process(running.process.pid).children()
        server.kill()
        code, output, forgotten = running.wait()
        assert code == 1, output
        assert "The demo failed: the server ended with exit code -9" in output
        assert forgotten == []

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        code, output, _ = synapse("demo", "--out", "file/folder", home=tmp_path)
        assert code == 1, output
        assert "file/folder" in output
        assert "Traceback" not in output


class TestStopping:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_the_server_too(self, running: Command, number: signal.Signals, code: int) -> None:
        family = psutil.Process(running.process.pid).children(recursive=True)
        assert family
        running.process.send_signal(number)
        outcome = running.wait()
        assert outcome.code == code
        assert "nothing was saved" in outcome.output
        assert "Traceback" not in outcome.output
        assert outcome.forgotten == []
        assert not any(process.is_running() for process in family)
