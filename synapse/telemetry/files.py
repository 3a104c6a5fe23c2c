"""A trace on disk: a directory of Parquet files that is whole at every moment.

Each recorder writes its rows under the name of its session, a file a time::

    queries-20260301T120000_5f3a9c-000000000000-000000000041.parquet     rows 0 to 41 (exclusive)
    queries-20260301T120000_5f3a9c-000000000041-000000000063.parquet     rows 41 to 63

Two things make a kill at any moment harmless. A file is written under a hidden name and then renamed, so
that a visible file is complete. And the name says which rows are inside, so that when many files have been
joined into one and some of them still stand beside it, a reader sees what is there twice.

Ranges of one session nest or are disjoint. Rows can be missing only where someone deleted files.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

FULL = 250_000
"""Rows in a file that is joined no more. Joining that many takes about 0.2 s and 60 MB for a moment."""

_NAME = re.compile(r"queries-(\w+)-(\d{12,})-(\d{12,})\.parquet")


class Part(NamedTuple):
    """A file of a recorder's, with the rows from `first` up to `stop` (exclusive) of its session."""

    session: str
    first: int
    stop: int
    path: Path


def new_session() -> str:
    """A name that sorts by time and that no other recorder has."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}_{secrets.token_hex(3)}"


def part_path(directory: Path, session: str, first: int, stop: int) -> Path:
    """Where these rows go."""
    return directory / f"queries-{session}-{first:012d}-{stop:012d}.parquet"


def scan(directory: Path, session: str | None = None) -> tuple[list[Part], list[Part]]:
    """The parts to read, oldest first, and those whose rows are in them too."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and session in (None, match[1]):
            found.append(Part(match[1], int(match[2]), int(match[3]), path))
    found.sort(key=lambda part: (part.session, part.first, -part.stop))
    live: list[Part] = []
    spare: list[Part] = []
    for part in found:
        last = live[-1] if live else None
        inside = last is not None and last.session == part.session and part.stop <= last.stop
        (spare if inside else live).append(part)
    return live, spare


def trace_files(path: Path) -> list[Path]:
    """The files of a trace: the one, or those of a directory whoever wrote them, each row in one of them."""
    if not path.is_dir():
        return [path]
    others = [other for other in path.glob("[!._]*.parquet") if not _NAME.fullmatch(other.name)]
    return [part.path for part in scan(path)[0]] + sorted(others)


def write(table: pa.Table, path: Path) -> None:
    """Write a file that is there as a whole or not at all, also if the machine stops.

    Raises
    ------
    OSError
        If the disk is full, the directory is gone, and so on. Nothing is left behind.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    hidden = path.with_name(f".{path.name}.tmp")
    try:
        with open(hidden, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def read(path: Path) -> pa.Table:
    """Read a Parquet file on this thread alone: the other core may belong to an event loop."""
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        return pq.read_table(file, use_threads=False)


def join(directory: Path, session: str) -> None:
    """Join a session's parts into as few files as `FULL` allows, then delete what is there twice.

    May be stopped anywhere. Only the session's own recorder may call it.
    """
    group: list[Part] = []
    for part in scan(directory, session)[0]:
        if part.stop - part.first >= FULL:
            continue
        group.append(part)
        if group[-1].stop - group[0].first >= FULL:
            _join(directory, group)
            group = []
    _join(directory, group)
    for part in scan(directory, session)[1]:
        part.path.unlink(missing_ok=True)


def _join(directory: Path, group: list[Part]) -> None:
    import pyarrow as pa

    if len(group) < 2:
        return
    path = part_path(directory, group[0].session, group[0].first, group[-1].stop)
    write(pa.concat_tables([read(part.path) for part in group]), path)
