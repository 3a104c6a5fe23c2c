"""What a page gets of a table of queries, and which tables it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synapse.simulation import Scenario
from synapse.telemetry import Row, TraceError, to_frame
from synapse.widgets import Flow
from synapse.widgets import table as tables
from synapse.widgets.picture import caption, chosen, picture
from synapse.widgets.table import to_table


def row(agent: str, ref: str, submitted: float, **changes: Any) -> Row:
    """A query that waited 1 s, thought after 2 s and succeeded after 4 s."""
    times = {"admitted": submitted, "started": submitted + 1, "first_thought": submitted + 2, "finished": submitted + 4}
    fields = {
        "node": "sim", "priority": 5, "attempt": 1, **times, "status": "success", "reason": None, "thoughts": 3,
    }  # fmt: skip
    return Row(agent=agent, ref=ref, submitted=submitted, **{**fields, **changes})


def refused(agent: str, ref: str, at: float) -> Row:
    nothing = dict.fromkeys(("admitted", "started", "first_thought"))
    return row(agent, ref, at, **nothing, finished=at, status="rejected", reason="overloaded", thoughts=0)


FRAME = to_frame([row("a-10", "q2", 101.0), row("a-9", "q1", 100.0), refused("a-10", "q3", 102.0)])


class TestWhatThePageGets:
    def test_times_are_since_the_first_query_and_queries_in_the_order_of_asking(self) -> None:
        page = to_table(FRAME).for_page()
        assert (page["rows"], page["start"], page["duration"]) == (3, 100.0, 5.0)
        assert page["refs"] == ["q1", "q2", "q3"]
        assert np.frombuffer(page["columns"]["submitted"]).tolist() == [0.0, 1.0, 2.0]
        assert np.frombuffer(page["columns"]["finished"]).tolist() == [4.0, 5.0, 2.0]

    def test_what_did_not_happen_is_nan(self) -> None:
        started = np.frombuffer(to_table(FRAME).for_page()["columns"]["started"])
        assert started[:2].tolist() == [1.0, 2.0]
        assert np.isnan(started[2])

    def test_agents_are_in_an_order_in_which_10_comes_after_9(self) -> None:
        page = to_table(FRAME).for_page()
        assert page["agents"] == ["a-9", "a-10"]
        assert np.frombuffer(page["columns"]["agent"], np.uint32).tolist() == [0, 1, 1]

    def test_statuses_are_numbers_into_a_list(self) -> None:
        page = to_table(FRAME).for_page()
        status = np.frombuffer(page["columns"]["status"], np.uint8)
        assert [page["statuses"][number] for number in status] == ["success", "success", "rejected"]
        assert page["reasons"] == [None, None, "overloaded"]

    def test_an_empty_table_is_one_too(self) -> None:
        page = to_table(to_frame([])).for_page()
        assert (page["rows"], page["duration"], page["agents"]) == (0, 0.0, [])


class TestWhatIsATable:
    def test_a_simulated_run(self) -> None:
        run = Scenario(
            duration=60,
            agents={"count": 12, "arrivals": {"kind": "poisson", "rate": 4}},
            node={"slots": 1, "service": {"kind": "exponential", "mean": 0.3}, "thoughts": 3, "queue": "fifo"},
        ).run(seed=1)
        page = to_table(run).for_page()
        ended = run.counts.sent - run.counts.in_flight
        assert (page["rows"], len(page["agents"])) == (ended, 12)
        assert page["agents"][-1] == "agents-11"
        thoughts = np.frombuffer(page["columns"]["thoughts"], np.uint32)
        assert thoughts.sum() == 3 * run.counts.ok
        flow = Flow(run)
        assert (flow.table["rows"], repr(flow)) == (ended, "<Flow of Run>")
        flow.close()

    def test_the_path_of_a_trace(self, tmp_path: Path) -> None:
        FRAME.to_parquet(tmp_path / "trace.parquet")
        assert len(to_table(tmp_path / "trace.parquet")) == 3
        assert len(to_table(str(tmp_path / "trace.parquet"))) == 3

    def test_a_missing_column_is_named(self) -> None:
        with pytest.raises(TraceError, match="no column 'started'"):
            to_table(FRAME.drop(columns="started"))

    def test_a_column_with_a_hole_is_named(self) -> None:
        holed = FRAME.assign(finished=[1.0, None, 2.0])
        with pytest.raises(TraceError, match="'finished' lacks"):
            to_table(holed)

    def test_a_status_that_is_none_is_named(self) -> None:
        with pytest.raises(TraceError, match="'status' has 'done'"):
            to_table(FRAME.assign(status="done"))

    def test_what_is_no_table_at_all_is_refused(self) -> None:
        with pytest.raises(TraceError, match="int is no table of queries"):
            to_table(7)

    def test_more_rows_than_a_page_takes_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables, "MOST_ROWS", 2)
        with pytest.raises(ValueError, match="has 3 rows; a page takes 2"):
            to_table(FRAME)

    @pytest.mark.parametrize(("option", "value"), [("seconds", 0), ("seconds", 1e9), ("lanes", 0), ("lanes", 101)])
    def test_an_option_out_of_range_is_named(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=option):
            Flow(FRAME, **{option: value})


class TestPicture:
    def test_it_is_a_png_that_says_what_it_shows(self) -> None:
        table = to_table(FRAME)
        assert picture(table).startswith(b"\x89PNG")
        assert caption(table, len(chosen(table))) == "3 queries of 2 agents in 5.00 s"

    def test_of_very_many_an_even_choice_is_drawn_and_it_says_so(self) -> None:
        table = to_table(to_frame([row("a", f"q{number}", number) for number in range(5000)]))
        rows = chosen(table)
        assert (len(rows), rows[0], rows[-1]) == (1500, 0, 4999)
        assert caption(table, len(rows)).endswith("1500 of them are drawn")
        assert len(picture(table)) < 100_000

    def test_of_very_many_agents_the_first_are_drawn(self) -> None:
        table = to_table(to_frame([row(f"a{number}", "q", number) for number in range(100)]))
        assert len(chosen(table)) == 24

    def test_an_empty_table_has_a_picture_too(self) -> None:
        assert picture(to_table(to_frame([]))).startswith(b"\x89PNG")


def test_a_flow_of_a_table_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow(FRAME)
    assert (flow.source, flow.cortex, flow.table["rows"]) == ("trace", "DataFrame", 3)
    assert repr(flow) == "<Flow of DataFrame>"
    flow.close()


def test_a_frame_is_left_as_it_was() -> None:
    before = FRAME.copy()
    to_table(FRAME)
    pd.testing.assert_frame_equal(FRAME, before)
