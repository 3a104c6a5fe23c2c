"""The recorder: what it hears is on disk soon, each row once, in files that are whole at every moment."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synapse.telemetry import Bus, Finished, Recorder, Rejected, Started, Thought, files, read_trace
from synapse.telemetry import recorder as recorder_module

Make = Callable[..., Finished]
NEVER = 3600.0  # s, a flush interval that no test lives to see


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def recorder(trace: Path) -> Iterator[Recorder]:
    with Recorder(trace, flush_interval=NEVER) as one:
        yield one


def record(recorder: Recorder, events: Iterable[object], each: bool = False) -> None:
    """Record events and write them, in one file or each in a file of its own."""
    for event in events:
        recorder(event)
        if each:
            recorder.flush()
    recorder.flush()


def refs(path: Path) -> list[str]:
    return list(read_trace(path)["ref"])


class TestListening:
    def test_it_records_endings_and_rejections_and_nothing_else(self, recorder: Recorder, finished: Make) -> None:
        bus = Bus()
        bus.listen(recorder)
        bus.emit(Started(1.0, "n1", "ada", "q1", 0.5))
        bus.emit(Thought(1.5, "n1", "ada", "q1", 1))
        bus.emit(finished("q1"))
        bus.emit(Rejected(3.0, "n1", "ada", "q2", 5, 1, "overloaded", "queue", None))
        recorder.flush()
        frame = read_trace(recorder.path)
        assert list(frame["ref"]) == ["q1", "q2"]
        assert list(frame["status"]) == ["success", "rejected"]
        assert list(frame["reason"].isna()) == [True, False]

    def test_nothing_is_written_by_the_thread_that_emits(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writers = []
        write = files.write
        monkeypatch.setattr(files, "write", lambda *to: (writers.append(threading.current_thread()), write(*to)))
        record(recorder, [finished("q1")])
        assert [thread.name for thread in writers] == ["synapse-recorder"]

    def test_it_writes_without_being_asked(self, trace: Path, finished: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        written = threading.Event()
        write = files.write
        with Recorder(trace, flush_interval=0.01) as recorder:
            monkeypatch.setattr(files, "write", lambda *to: (write(*to), written.set()))
            recorder(finished("q1"))
            assert written.wait(timeout=30)
            assert refs(trace) == ["q1"]

    def test_times_get_the_epoch(self, trace: Path, finished: Make) -> None:
        with Recorder(trace, epoch=1.7e9, flush_interval=NEVER) as recorder:
            recorder(finished(submitted=1.0, at=2.0))
        frame = read_trace(trace)
        assert (frame["submitted"][0], frame["finished"][0]) == (1.7e9 + 1, 1.7e9 + 2)
        assert frame["latency"][0] == 1.0
        assert float(pq.read_schema(recorder.files[0]).metadata[b"synapse.epoch"]) == 1.7e9

    def test_its_repr_tells_how_it_stands(self, recorder: Recorder, finished: Make) -> None:
        record(recorder, [finished("q1"), finished("q2")])
        recorder(finished("q3"))
        assert repr(recorder) == f"<Recorder '{recorder.path}' open: 2 rows written, 1 waiting, 0 dropped>"

    @pytest.mark.parametrize("wrong", [{"flush_interval": 0.0}, {"limit": 0}])
    def test_an_argument_that_makes_no_sense_is_named(self, trace: Path, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Recorder(trace, **wrong)  # type: ignore[arg-type]
        assert not trace.exists()


class TestFiles:
    def test_an_empty_trace_is_a_trace(self, recorder: Recorder) -> None:
        assert read_trace(recorder.path).empty
        recorder.close()
        assert read_trace(recorder.path).empty
        assert len(os.listdir(recorder.path)) == 1

    def test_closing_leaves_one_file(self, recorder: Recorder, finished: Make) -> None:
        record(recorder, map(finished, range(10)), each=True)
        assert len(recorder.files) == 10
        recorder(finished(10))
        recorder.close()
        (only,) = recorder.path.iterdir()
        assert recorder.files == [only]
        assert refs(only) == refs(recorder.path) == [str(ref) for ref in range(11)]

    def test_many_files_are_joined_and_each_row_stays_once(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorder, "_join_at", 4)
        monkeypatch.setattr(recorder_module, "JOIN_AT", 4)
        join, joined = files.join, []
        monkeypatch.setattr(files, "join", lambda *parts: (join(*parts), joined.append(parts)))
        for ref in range(30):
            record(recorder, [finished(ref)])
            assert refs(recorder.path) == [str(one) for one in range(ref + 1)]
            assert len(recorder.files) <= 5
        recorder.close()
        assert len(joined) == 30 // 4 + 1  # each fourth time, and at the end

    def test_a_full_file_is_joined_no_more(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that a trace of any length costs the same a row."""
        monkeypatch.setattr(files, "FULL", 4)
        record(recorder, map(finished, range(10)), each=True)
        recorder.close()
        assert [pq.read_metadata(path).num_rows for path in recorder.files] == [4, 4, 2]
        assert refs(recorder.path) == [str(ref) for ref in range(10)]

    def test_many_rows_at_once_are_several_files(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorder_module, "BATCH", 4)
        record(recorder, map(finished, range(10)))
        assert [pq.read_metadata(path).num_rows for path in recorder.files] == [4, 4, 2]
        assert refs(recorder.path) == [str(ref) for ref in range(10)]

    def test_a_join_that_is_killed_before_it_has_deleted_anything_doubles_no_row(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(recorder, map(finished, range(5)), each=True)
        with monkeypatch.context() as patch:
            patch.setattr(files, "scan", killed_after(files.scan, calls=1))
            with pytest.raises(Killed):
                files.join(recorder.path, recorder._session)
        assert len([*recorder.path.glob("*.parquet")]) == 7  # the empty, the five, and what joins them
        assert refs(recorder.path) == [str(ref) for ref in range(5)]
        recorder.close()
        assert len(os.listdir(recorder.path)) == 1
        assert refs(recorder.path) == [str(ref) for ref in range(5)]

    def test_a_write_that_is_killed_is_never_seen(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(recorder, [finished("q1")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed_after(os.replace, calls=0))
            patch.setattr(Path, "unlink", lambda *_, **__: None)  # the killed tidy nothing up
            with pytest.raises(Killed):
                files.write(pq.read_table(recorder.files[0]), files.part_path(recorder.path, recorder._session, 1, 2))
        (half,) = recorder.path.glob(".*.tmp")
        half.write_bytes(half.read_bytes()[:-10])
        assert refs(recorder.path) == ["q1"]

    def test_recorders_share_a_directory(self, trace: Path, finished: Make) -> None:
        """After a kill, the next run goes on beside what the last one left."""
        with Recorder(trace, flush_interval=NEVER) as one, Recorder(trace, flush_interval=NEVER) as other:
            record(one, [finished("a1"), finished("a2")], each=True)
            record(other, [finished("b1")])
            record(one, [finished("a3")])
        assert len(os.listdir(trace)) == 2
        assert sorted(refs(trace)) == ["a1", "a2", "a3", "b1"]


class TestTrouble:
    def test_a_directory_that_cannot_be_is_said_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file"):
            Recorder(tmp_path / "file")

    def test_rows_wait_until_they_can_be_written(
        self, recorder: Recorder, finished: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        away = recorder.path.with_name("away")
        recorder.path.rename(away)
        recorder(finished("q1"))
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                recorder.flush()
        recorder(finished("q2"))
        assert (recorder.written, recorder.waiting, recorder.dropped) == (0, 2, 0)
        assert "failing" in repr(recorder)
        away.rename(recorder.path)
        recorder.flush()
        assert refs(recorder.path) == ["q1", "q2"]
        assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]  # once, and its end
        assert str(recorder.path) in caplog.text

    def test_at_the_limit_the_newest_are_dropped_and_counted_and_the_log_says_so_once(
        self, trace: Path, finished: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Recorder(trace, flush_interval=NEVER, limit=3) as recorder:
            for ref in range(8):
                recorder(finished(ref))
            assert (recorder.waiting, recorder.dropped) == (3, 5)
            assert [record.message for record in caplog.records] == [
                f"the trace {trace} loses rows from now on: 3 rows wait to be written"
            ]
            recorder.flush()
            recorder(finished("later"))
        assert refs(trace) == ["0", "1", "2", "later"]
        assert caplog.records[-1].message == f"the trace {trace} lacks 5 rows"

    def test_an_outage_holds_no_more_than_the_limit_and_a_batch(
        self, trace: Path, finished: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorder_module, "BATCH", 2)
        with Recorder(trace, flush_interval=NEVER, limit=3) as recorder:
            away = trace.rename(trace.with_name("away"))
            for ref in range(20):
                recorder(finished(ref))
                with pytest.raises(FileNotFoundError):
                    recorder.flush()
            assert recorder.waiting + recorder.dropped == 20
            assert recorder.waiting == 4  # a batch of one, and the limit
            away.rename(trace)
        assert refs(trace) == ["0", "1", "2", "3"]

    def test_a_row_that_cannot_be_written_does_not_hold_up_the_others(
        self, recorder: Recorder, finished: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        record(recorder, [finished("q1"), finished("q2", agent="\ud800"), finished("q3", thoughts="3"), finished("q4")])
        assert refs(recorder.path) == ["q1", "q4"]
        assert (recorder.written, recorder.dropped) == (2, 2)
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
        assert "'q3'" in caplog.text

    def test_a_join_that_fails_leaves_the_trace_whole(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(recorder, "_join_at", 2)
        with monkeypatch.context() as patch:
            patch.setattr(files, "read", failing)
            record(recorder, map(finished, range(3)), each=True)
        assert refs(recorder.path) == ["0", "1", "2"]
        assert "cannot join the files" in caplog.text
        recorder.close()
        assert len(recorder.files) == 1

    def test_a_bug_in_writing_does_not_end_the_writer(
        self, recorder: Recorder, finished: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(files, "write", failing)
            recorder(finished("q1"))
            with pytest.raises(RuntimeError, match="a bug"):
                recorder.flush()
        assert "Traceback" in caplog.text
        recorder.flush()
        assert refs(recorder.path) == ["q1"]


class TestClosing:
    def test_again_is_no_harm(self, recorder: Recorder, finished: Make) -> None:
        recorder(finished("q1"))
        recorder.close()
        recorder.close()
        recorder.flush()
        assert refs(recorder.path) == ["q1"]
        assert "closed" in repr(recorder)

    def test_what_comes_after_is_counted_and_logged(
        self, recorder: Recorder, finished: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder.close()
        recorder(finished("q1"))
        assert (recorder.waiting, recorder.dropped) == (0, 1)
        assert "the recorder is closed" in caplog.text

    def test_rows_that_are_lost_for_good_raise(
        self, trace: Path, finished: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder = Recorder(trace, flush_interval=NEVER)
        trace.rename(trace.with_name("away"))
        recorder(finished("q1"))
        with pytest.raises(FileNotFoundError):
            recorder.close()
        assert recorder.dropped == 1
        assert f"the trace {trace} loses 1 rows" in caplog.text

    def test_a_program_that_ends_without_closing_loses_nothing(self, trace: Path) -> None:
        program = f"""
from synapse.telemetry import Recorder, Rejected
recorder = Recorder({str(trace)!r}, flush_interval={NEVER})
for ref in range(3):
    recorder(Rejected(1.0, "n1", "ada", str(ref), 5, 1, "overloaded", "queue", None))
"""
        done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert refs(trace) == ["0", "1", "2"]


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(function: Callable[..., object], calls: int) -> Callable[..., object]:
    left = iter(range(calls))

    def call(*arguments: object) -> object:
        if next(left, None) is None:
            raise Killed
        return function(*arguments)

    return call


def failing(*_: object) -> object:
    raise RuntimeError("a bug")
