"""Replications that are there: in memory, and in a folder that outlives the process.

In a folder they are Parquet files under ``parts``. A part is written beside its place and moved there (`os.replace`),
so that there is never half of one, however a process ends; and is never changed, so that several may write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from synapse.experiment.errors import StudyError

EVERY = 2.0  # s between parts, at least


class Store:
    """Rows by the key of their point and the number of their replication.

    Parameters
    ----------
    folder
        Where they are kept. None: in memory alone.

    Raises
    ------
    StudyError
        If a file there is no part.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self._parts = None if folder is None else folder / "parts"
        self._new: list[dict[str, Any]] = []
        self._written = time.monotonic()
        if self._parts is not None:
            self._parts.mkdir(parents=True, exist_ok=True)
            self._read(self._parts)

    def __repr__(self) -> str:
        return f"<Store of {len(self.rows)} replications in {self._parts or 'memory'}>"

    def has(self, key: str, rep: int) -> bool:
        """Whether a replication is there."""
        return (key, rep) in self.rows

    def of(self, key: str) -> list[dict[str, Any]]:
        """Those of a point, by their number."""
        return sorted((row for (of, _), row in self.rows.items() if of == key), key=lambda row: row["rep"])

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows. One that is there already stays as it is."""
        for row in rows:
            if not self.has(row["key"], row["rep"]):
                self.rows[row["key"], row["rep"]] = row
                self._new.append(row)

    def flush(self, only_if_due: bool = False) -> None:
        """Write what is new.

        Parameters
        ----------
        only_if_due
            Only if the last part is long enough ago.
        """
        if self._parts is None or not self._new or (only_if_due and time.monotonic() < self._written + EVERY):
            return
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        name = uuid4().hex
        beside = self._parts / f".{name}.tmp"
        with beside.open("wb") as file:
            pq.write_table(pa.Table.from_pylist(self._new), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self._parts / f"{name}.parquet")
        self._new = []
        self._written = time.monotonic()

    def _read(self, parts: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for file in sorted(parts.glob("*.parquet")):
            try:
                rows = pq.read_table(file, partitioning=None).to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                raise StudyError(str(file), f"is no part of a study: {error}") from None
            for row in rows:
                self.rows.setdefault((row["key"], row["rep"]), row)
