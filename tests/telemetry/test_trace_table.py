"""Reading a trace, and the few numbers one asks for first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from synapse.telemetry import (
    COLUMNS,
    Finished,
    Latency,
    Rejected,
    Row,
    Summary,
    TraceError,
    files,
    read_trace,
    row,
    summary,
    to_frame,
)
from synapse.telemetry.schema import to_table
from synapse.telemetry.table import in_unit

Make = Callable[..., Finished]


@pytest.fixture
def rows(finished: Make) -> list[Row]:
    """Six queries in 10 s: two successes, one of each other status."""
    return [
        row(finished("a", submitted=0.0, started=0.5, first_thought=1.0, at=2.0)),
        row(finished("b", submitted=1.0, started=1.0, first_thought=1.5, at=5.0)),
        row(finished("c", submitted=2.0, started=3.0, first_thought=None, thoughts=0, at=3.0, status="error")),
        row(finished("d", submitted=4.0, started=None, first_thought=None, thoughts=0, at=10.0, status="timeout")),
        row(finished("e", submitted=5.0, started=5.0, first_thought=7.0, at=9.0, status="interrupted")),
        row(Rejected(6.0, "n1", "ada", "f", 5, 1, "overloaded", "queue", None)),
    ]


class TestReading:
    def test_latencies_are_counted_from_asking(self, rows: list[Row]) -> None:
        frame = to_frame(rows).set_index("ref")
        derived = frame[["latency", "wait", "first_thought_latency"]]
        assert tuple(derived.loc["a"]) == (2.0, 0.5, 1.0)
        assert derived.loc["d"].isna().tolist() == [False, True, True]
        assert derived.loc["f", "latency"] == 0.0

    def test_a_file_and_a_directory_read_alike(self, rows: list[Row], tmp_path: Path) -> None:
        files.write(to_table(rows[:4]), tmp_path / "morning.parquet")
        files.write(to_table(rows[4:], epoch=5.0), tmp_path / "noon.parquet")
        (tmp_path / "plot.png").write_bytes(b"no trace")
        pd.testing.assert_frame_equal(read_trace(tmp_path / "morning.parquet"), to_frame(rows[:4]))
        pd.testing.assert_frame_equal(read_trace(str(tmp_path)), to_frame(rows))

    def test_an_empty_frame_has_all_columns(self) -> None:
        derived = ["latency", "wait", "first_thought_latency"]
        assert list(to_frame([]).columns) == [column.name for column in COLUMNS] + derived

    def test_what_pandas_selected_and_saved_is_read(self, rows: list[Row], tmp_path: Path) -> None:
        frame = read_back = to_frame(rows)
        frame[frame["thoughts"] > 0].to_parquet(tmp_path / "mine.parquet")
        read_back = read_trace(tmp_path / "mine.parquet")
        assert list(read_back["ref"]) == ["a", "b", "e"]

    @pytest.mark.parametrize("path", ["nowhere", "nowhere.parquet", ""])
    def test_no_trace_is_said(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(FileNotFoundError, match=str(tmp_path)):
            read_trace(tmp_path / path)

    def test_a_file_that_is_no_parquet_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").write_bytes(b"")
        with pytest.raises(TraceError, match=r"x\.parquet is no Parquet file"):
            read_trace(tmp_path)

    def test_a_parquet_file_that_is_no_trace_is_named(self, tmp_path: Path) -> None:
        pq.write_table(to_table([]).drop_columns("status"), tmp_path / "x.parquet")
        with pytest.raises(TraceError, match=r"x\.parquet is no table of queries: .* 'status'"):
            read_trace(tmp_path)

    def test_files_that_are_joined_while_we_read_are_looked_for_again(
        self, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for first, stop in ((0, 3), (3, 6)):
            files.write(to_table(rows[first:stop]), files.part_path(tmp_path, "s", first, stop))
        listed = files.trace_files

        def joined_after_listing(path: Path) -> list[Path]:
            found = listed(path)
            files.join(path, "s")
            return found

        monkeypatch.setattr(files, "trace_files", joined_after_listing)
        assert list(read_trace(tmp_path)["ref"]) == list("abcdef")


class TestSummary:
    def test_the_numbers_are_those_worked_out_by_hand(self, rows: list[Row]) -> None:
        found = summary(to_frame(rows))
        assert found.queries == 6
        assert found.statuses == {"success": 2, "error": 1, "timeout": 1, "interrupted": 1, "rejected": 1}
        assert found.duration == 10.0
        assert found.throughput == 0.5  # five endings in 10 s; the rejected query is none
        # First thoughts after 0.5, 1 and 2 s: the 99th percentile is 98 % of the way from 1 to 2.
        assert found.first_thought == Latency(3, 1.0, pytest.approx(1.98))
        # Results after 1, 2, 4 and 6 s: 97 % of the way from 4 to 6. The interrupted one has no result.
        assert found.result == Latency(4, 3.0, pytest.approx(5.94))

    def test_statuses_come_in_the_same_order_always(self, rows: list[Row]) -> None:
        assert list(summary(to_frame(rows[::-1])).statuses) == [
            "success", "error", "timeout", "interrupted", "rejected",
        ]  # fmt: skip

    def test_nothing_has_no_latency_and_no_throughput(self) -> None:
        none = Latency(0, None, None)
        assert summary(to_frame([])) == Summary(0, {}, 0.0, None, none, none)
        assert "throughput" in str(summary(to_frame([])))

    def test_only_rejected_queries_have_no_latency(self, rows: list[Row]) -> None:
        found = summary(to_frame(rows[-1:]))
        assert (found.result.count, found.first_thought.count) == (0, 0)
        assert (found.duration, found.throughput) == (0.0, None)

    def test_a_selection_has_a_summary_too(self, rows: list[Row]) -> None:
        frame = to_frame(rows)
        assert summary(frame[frame["status"] == "success"]).queries == 2

    def test_it_reads_as_text_and_as_html_with_units(self, rows: list[Row]) -> None:
        found = summary(to_frame(rows))
        assert dict(found.lines())["throughput"] == "0.5 queries/s"
        assert dict(found.lines())["result p50"] == "3.00 s"
        assert all(name in str(found) and value in str(found) for name, value in found.lines())
        assert found._repr_html_().startswith("<table>")
        assert ">first thought p99</th>" in found._repr_html_()

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (None, "-"), (0.0, "0.00 µs"), (0.00085, "850 µs"), (0.0123, "12.3 ms"), (0.9999, "1000 ms"),
            (1.24, "1.24 s"), (60.0, "60.0 s"), (12345.6, "12346 s"),
        ],
    )  # fmt: skip
    def test_a_duration_comes_in_the_unit_that_suits_it(self, seconds: float | None, text: str) -> None:
        assert in_unit(seconds) == text
