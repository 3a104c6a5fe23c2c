"""The table of queries: one row for each query, the same columns on every rung of the ladder.

`COLUMNS` says what they are; everything else here is made from it. A row is made from the event that ends
a query's story: `Finished` for an accepted one, `Rejected` for one that was refused at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from synapse.telemetry.events import Finished, Rejected

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

VERSION = "1"  # of the table, in the metadata of each file

STATUSES = ("success", "error", "timeout", "interrupted", "rejected")
"""How a query's story can end, in the order of tables and legends."""


class TraceError(ValueError):
    """A file is no table of queries. The message names the file and the column."""


class Column(NamedTuple):
    """A column of the table: its Arrow type, its unit ("" for text, "1" for a number) and its meaning."""

    name: str
    type: Literal["string", "int64", "float64"]
    unit: Literal["", "1", "s"]
    nullable: bool
    meaning: str


COLUMNS = (
    Column("agent", "string", "", False, "whose query it is"),
    Column("node", "string", "", False, "the core that took it"),
    Column("ref", "string", "", False, "the agent's name for it"),
    Column("priority", "int64", "1", False, "0 (first) to 9 (last)"),
    Column("attempt", "int64", "1", False, "which try of the client's it is, from 1"),
    Column("submitted", "float64", "s", False, "when it was asked"),
    Column("admitted", "float64", "s", True, "when it was accepted; null if it was rejected"),
    Column("started", "float64", "s", True, "when it got its slot; null if it never did"),
    Column("first_thought", "float64", "s", True, "when it had its first thought; null if it had none"),
    Column("finished", "float64", "s", False, "when it ended or was rejected"),
    Column("status", "string", "", False, "how it ended: " + ", ".join(STATUSES)),
    Column("reason", "string", "", True, "why it ended so, where there is something to say"),
    Column("thoughts", "int64", "1", False, "how many thoughts it had"),
)


class Row(NamedTuple):
    """One query. `COLUMNS` says what each field means; times are in s."""

    agent: str
    node: str
    ref: str
    priority: int
    attempt: int
    submitted: float
    admitted: float | None
    started: float | None
    first_thought: float | None
    finished: float
    status: str
    reason: str | None
    thoughts: int


def row(event: Finished | Rejected, epoch: float = 0.0) -> Row:
    """The row of a query that has ended, or was rejected.

    Parameters
    ----------
    event
        The ending.
    epoch
        Added to all times, s: where the event's clock had its zero.
    """
    if isinstance(event, Rejected):
        at = event.at + epoch
        return Row(
            event.agent, event.node, event.ref, event.priority, event.attempt,
            at, None, None, None, at, "rejected", event.reason, 0,
        )  # fmt: skip
    started, first = event.started, event.first_thought
    return Row(
        event.agent, event.node, event.ref, event.priority, event.attempt,
        event.submitted + epoch,
        event.admitted + epoch,
        None if started is None else started + epoch,
        None if first is None else first + epoch,
        event.at + epoch, event.status, event.reason, event.thoughts,
    )  # fmt: skip


def arrow_schema(epoch: float = 0.0) -> pa.Schema:
    """The table's Arrow schema: each field tells its unit and meaning, the whole its version and epoch.

    Parameters
    ----------
    epoch
        What was added to the clock's times, s. With the right one, times are Unix time; 0 leaves them
        seconds on the clock of the node.
    """
    import pyarrow as pa

    fields = [
        pa.field(
            column.name,
            pa.type_for_alias(column.type),
            nullable=column.nullable,
            metadata={"unit": column.unit, "description": column.meaning},
        )
        for column in COLUMNS
    ]
    metadata = {"synapse.version": VERSION, "synapse.epoch": repr(float(epoch)), "synapse.epoch.unit": "s"}
    return pa.schema(fields, metadata)


def to_table(rows: Iterable[Row], epoch: float = 0.0) -> pa.Table:
    """Rows, whose times have had `epoch` (s) added, as an Arrow table.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If a row has a value that its column cannot take.
    """
    import pyarrow as pa

    schema = arrow_schema(epoch)
    values = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    arrays = []
    for field, column in zip(schema, values, strict=True):
        array = pa.array(column, field.type)
        if array.null_count and not field.nullable:
            raise ValueError(f"column {field.name!r} must have a value in each row")
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)


def to_rows(table: pa.Table) -> list[Row]:
    """The rows of a table that `to_table` or `conform` made."""
    return [Row(*values) for values in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def conform(table: pa.Table, source: str) -> pa.Table:
    """A table of queries out of any table that has these columns; other columns are left out.

    Raises
    ------
    TraceError
        Naming `source` and the column that is missing, is of another type or has a hole; or the version, if
        a later Synapse wrote it.
    """
    import pyarrow as pa

    version = (table.schema.metadata or {}).get(b"synapse.version", VERSION.encode()).decode(errors="replace")
    if version != VERSION:
        raise TraceError(f"{source}: synapse.version is {version!r}; this Synapse reads {VERSION!r}")
    schema = arrow_schema().remove_metadata()
    arrays = []
    for field in schema:
        if table.schema.get_field_index(field.name) < 0:  # also if there are two of that name
            raise TraceError(f"{source} is no table of queries: it has no one column {field.name!r}")
        column = table.column(field.name)
        try:
            column = column.cast(field.type)
        except pa.ArrowException as error:
            msg = f"{source}: column {field.name!r} is {column.type}, not {field.type}: {error}"
            raise TraceError(msg) from error
        if column.null_count and not field.nullable:
            raise TraceError(f"{source}: column {field.name!r} lacks {column.null_count} of its values")
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=schema)
