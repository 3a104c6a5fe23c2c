"""The table of queries: its columns, a row for each ending, and the way to Arrow and back."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.telemetry import COLUMNS, Finished, Rejected, Row, TraceError, arrow_schema, row
from synapse.telemetry.schema import conform, to_rows, to_table

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TIME = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {"string": TEXT, "int64": st.integers(-(2**63), 2**63 - 1), "float64": TIME}
ROWS = st.builds(
    Row, *(st.none() | VALUES[column.type] if column.nullable else VALUES[column.type] for column in COLUMNS)
)


def test_the_columns_are_those_of_the_specification() -> None:
    names = "agent node ref priority attempt submitted admitted started first_thought finished status reason thoughts"
    assert [column.name for column in COLUMNS] == names.split()
    assert list(Row._fields) == names.split()


def test_each_column_tells_its_unit_and_meaning_in_the_file() -> None:
    schema = arrow_schema()
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert {name for name, unit in units.items() if unit == "s"} == {
        "submitted", "admitted", "started", "first_thought", "finished",
    }  # fmt: skip
    assert {name for name, unit in units.items() if unit == "1"} == {"priority", "attempt", "thoughts"}
    assert all(field.metadata[b"description"] for field in schema)


def test_the_file_tells_what_was_added_to_the_clock() -> None:
    metadata = arrow_schema(epoch=1.7e9).metadata
    assert float(metadata[b"synapse.epoch"]) == 1.7e9
    assert metadata[b"synapse.epoch.unit"] == b"s"


def test_an_ending_is_a_row(finished: Callable[..., Finished]) -> None:
    assert row(finished("q7", at=2.0, status="error", reason="no such file")) == Row(
        agent="ada", node="n1", ref="q7", priority=5, attempt=1,
        submitted=1.0, admitted=1.0, started=1.25, first_thought=1.5, finished=2.0,
        status="error", reason="no such file", thoughts=3,
    )  # fmt: skip


def test_a_rejected_query_is_a_row_that_was_never_admitted() -> None:
    event = Rejected(3.0, "n1", "ada", "q8", 9, 2, "rate_limited", "rate", 0.5)
    assert row(event) == Row(
        agent="ada", node="n1", ref="q8", priority=9, attempt=2,
        submitted=3.0, admitted=None, started=None, first_thought=None, finished=3.0,
        status="rejected", reason="rate_limited", thoughts=0,
    )  # fmt: skip


def test_the_epoch_is_added_to_all_times(finished: Callable[..., Finished]) -> None:
    made = row(finished(at=2.0), epoch=1000.0)
    assert (made.submitted, made.admitted, made.started) == (1001.0, 1001.0, 1001.25)
    assert (made.first_thought, made.finished) == (1001.5, 1002.0)
    never = row(finished(started=None, first_thought=None), epoch=1000.0)
    assert (never.started, never.first_thought) == (None, None)
    assert row(Rejected(3.0, "n1", "a", "q", 5, 1, "full", "queue", None), epoch=1000.0)[5:10] == (
        1003.0, None, None, None, 1003.0,
    )  # fmt: skip


@given(st.lists(ROWS, max_size=20))
def test_rows_survive_parquet(rows: list[Row]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(rows, epoch=5.0), sink)
    table = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert table.schema.equals(arrow_schema(epoch=5.0), check_metadata=True)
    assert to_rows(conform(table, "a file")) == rows


@pytest.mark.parametrize("wrong", [{"ref": None}, {"thoughts": "three"}, {"priority": 2**70}, {"agent": "\ud800"}])
def test_a_value_that_its_column_cannot_take_is_refused(
    finished: Callable[..., Finished], wrong: dict[str, object]
) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        to_table([row(finished())._replace(**wrong)])


class TestForeignTables:
    """A table that someone else wrote is read if it has the columns."""

    def table(self, finished: Callable[..., Finished], **changes: object) -> pd.DataFrame:
        return to_table([row(finished("q1")), row(finished("q2"))]).to_pandas().assign(**changes)

    def test_what_pandas_wrote_is_read_and_other_columns_are_left_out(self, finished: Callable[..., Finished]) -> None:
        frame = self.table(finished, mood="good", agent=pd.Categorical(["ada", "ada"]))
        assert to_rows(conform(pa.Table.from_pandas(frame), "x")) == [row(finished("q1")), row(finished("q2"))]

    def test_a_missing_column_is_named(self, finished: Callable[..., Finished]) -> None:
        table = pa.Table.from_pandas(self.table(finished).drop(columns="admitted"))
        with pytest.raises(TraceError, match=r"^/tmp/x is no table of queries: .* 'admitted'$"):
            conform(table, "/tmp/x")

    def test_a_column_of_another_type_is_named(self, finished: Callable[..., Finished]) -> None:
        table = pa.Table.from_pandas(self.table(finished, submitted=["early", "late"]))
        with pytest.raises(TraceError, match="'submitted' is large_string, not double"):
            conform(table, "x")

    def test_a_column_with_a_hole_is_named(self, finished: Callable[..., Finished]) -> None:
        table = pa.Table.from_pandas(self.table(finished, status=["success", None]))
        with pytest.raises(TraceError, match="'status' lacks 1 of its values"):
            conform(table, "x")

    def test_a_later_version_is_refused(self) -> None:
        table = to_table([]).replace_schema_metadata({"synapse.version": "2"})
        with pytest.raises(TraceError, match=r"synapse\.version is '2'; this Synapse reads '1'"):
            conform(table, "x")
