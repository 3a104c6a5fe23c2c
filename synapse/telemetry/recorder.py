"""The recorder: a listener that leaves the table of queries on disk while the program runs.

The listener's half runs where the core runs, so it only appends to a deque. The writer's half is a thread
of its own that writes what is new, twice a second, as a Parquet file of its own, and from time to time
joins those files (see `files` for why a kill at any moment is harmless).
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse.telemetry import files
from synapse.telemetry.events import Finished, Rejected
from synapse.telemetry.schema import row, to_table

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

log = logging.getLogger(__name__)

BATCH = 25_000  # rows in one write at most
JOIN_AT = 64  # new files are joined with each other and with the last that is not full


class Recorder:
    """Records the endings of queries: ``bus.listen(Recorder("traces/today"))``.

    A kill loses at most what was announced in the last `flush_interval`, plus the time of one write. After
    `close`, the session's trace is one file (one more for each 250 000 rows). Several recorders, of one
    process or of many, may share a directory; each leaves files of its own.

    Parameters
    ----------
    path
        The trace: a directory, made if it is not there.
    epoch
        Added to all times, s. For Unix time from a loop's clock: ``time.time() - loop.time()``.
    flush_interval
        Time between two writes, s.
    limit
        How many rows may wait to be written, about 0.4 kB each. At the limit (the disk is full, or slower
        than the queries) new rows are dropped and counted in `dropped`, and the log says so, once. Another
        25 000 at most are in the writer's hands.

    Attributes
    ----------
    written : int
        Rows that are on disk.

    Raises
    ------
    OSError
        If the directory cannot be made or written to.

    Notes
    -----
    Making one imports pyarrow and pandas (about 1 s the first time): do it before the loop is busy. Call it
    from one thread at a time, as a `Bus` does. It closes itself when the interpreter exits.
    """

    def __init__(self, path: str | Path, epoch: float = 0.0, flush_interval: float = 0.5, limit: int = 100_000) -> None:
        if flush_interval <= 0:
            raise ValueError(f"flush_interval must be above 0 s, not {flush_interval}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1 row, not {limit}")
        self.path = Path(path)
        self.epoch = epoch
        self.flush_interval = flush_interval
        self.limit = limit
        self.written = 0
        self._pending: deque[Finished | Rejected] = deque()
        self._batch: pa.Table | None = None  # what the writer could not write yet
        self._refused = 0  # rows, counted where the core runs
        self._lost = 0  # rows, counted by the writer
        self._failing = False
        self._new_files = 0
        self._join_at = JOIN_AT
        self._session = files.new_session()
        self._requests: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self._door = threading.Lock()  # no request comes after the last
        self._last: Future[None] | None = None

        # An empty file says at once whether we can write here, and tells readers that this is a trace.
        self.path.mkdir(parents=True, exist_ok=True)
        files.write(to_table((), epoch), files.part_path(self.path, self._session, 0, 0))
        self._thread = threading.Thread(target=self._run, name="synapse-recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # the interpreter must not go while the thread is inside pyarrow

    def __call__(self, event: Any) -> None:
        """Take an event. Those that end no query are none of our business."""
        kind = type(event)
        if kind is Finished or kind is Rejected:
            if len(self._pending) < self.limit and self._last is None:
                self._pending.append(event)
            else:
                self._refuse()

    def __repr__(self) -> str:
        state = "closed" if self._last else "failing" if self._failing else "open"
        rows = f"{self.written} rows written, {self.waiting} waiting, {self.dropped} dropped"
        return f"<Recorder {str(self.path)!r} {state}: {rows}>"

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """How many rows are lost: at the limit, after `close`, or for a value that their column cannot take."""
        return self._refused + self._lost

    @property
    def waiting(self) -> int:
        """How many rows are not on disk yet."""
        batch = self._batch
        return len(self._pending) + (0 if batch is None else batch.num_rows)

    @property
    def files(self) -> list[Path]:
        """The files that hold this recorder's rows now, oldest first."""
        return [part.path for part in files.scan(self.path, self._session)[0]]

    def flush(self, timeout: float | None = None) -> None:
        """Write now what was announced until now, and wait for it. Blocks: not for an event loop.

        Parameters
        ----------
        timeout
            How long to wait, s. None for as long as it takes.

        Raises
        ------
        OSError
            If it could not be written. It is kept, and tried again.
        TimeoutError
            If it takes too long.
        """
        with self._door:
            if self._last is not None:
                return
            request: Future[None] = Future()
            self._requests.put(request)
        request.result(timeout)

    def close(self) -> None:
        """Write what waits, stop the thread, join the files. Blocks: not for an event loop. Again is no harm.

        Raises
        ------
        OSError
            If rows could not be written: they are lost. What was written before is safe.
        """
        with self._door:
            if self._last is not None:
                return
            self._last = Future()
            self._requests.put(self._last)
        atexit.unregister(self.close)
        self._thread.join()
        if error := self._last.exception(timeout=0):
            self._lost += self.waiting
            log.error("the trace %s loses %d rows: %s", self.path, self.waiting, error)
            raise error
        self._join()
        if self.dropped:
            log.error("the trace %s lacks %d rows", self.path, self.dropped)

    def _refuse(self) -> None:
        self._refused += 1
        if self._refused == 1:
            why = f"{self.waiting} rows wait to be written" if self._last is None else "the recorder is closed"
            log.error("the trace %s loses rows from now on: %s", self.path, why)

    # The writer's half: what follows runs in the thread, and after its end in `close`.

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=self.flush_interval)
            except queue.Empty:
                request = None
            failure: Exception | None = None
            try:
                self._write()
            except Exception as error:
                failure = error
            self._tell(failure)
            if request is not None:
                request.set_exception(failure) if failure else request.set_result(None)
                if request is self._last:
                    return
            if self._new_files >= self._join_at:
                self._join()

    def _write(self) -> None:
        """Write what waits now. What comes meanwhile is for the next time, so that this ends."""
        due = len(self._pending)
        while due > 0 or self._batch is not None:
            if self._batch is None:
                size = min(due, BATCH)
                self._batch = self._table([self._pending.popleft() for _ in range(size)])
                due -= size
            rows = self._batch.num_rows
            if rows:
                path = files.part_path(self.path, self._session, self.written, self.written + rows)
                files.write(self._batch, path)
                self._new_files += 1
            self.written += rows
            self._batch = None

    def _table(self, batch: Sequence[Finished | Rejected]) -> pa.Table:
        """The table of a batch. A row with an impossible value must not hold up all others for ever."""
        try:
            return to_table([row(event, self.epoch) for event in batch], self.epoch)
        except (ValueError, TypeError, OverflowError):
            good = [event for event in batch if self._fits(event)]
            return to_table([row(event, self.epoch) for event in good], self.epoch)

    def _fits(self, event: Finished | Rejected) -> bool:
        try:
            to_table([row(event, self.epoch)])
        except (ValueError, TypeError, OverflowError) as error:
            self._lost += 1
            log.error("the trace %s cannot hold %r: %s", self.path, event, error)
            return False
        return True

    def _tell(self, failure: Exception | None) -> None:
        """Log the first failure of a row of them, and its end."""
        if failure and not self._failing:
            bug = None if isinstance(failure, OSError) else failure
            log.error("cannot write the trace %s, trying again: %s", self.path, failure, exc_info=bug)
        elif self._failing and not failure:
            log.warning("the trace %s is written again", self.path)
        self._failing = failure is not None

    def _join(self) -> None:
        """Join the files. If that fails the trace is still whole, in more files: try when there are many more."""
        try:
            files.join(self.path, self._session)
        except Exception:
            log.exception("cannot join the files of the trace %s; it is whole, in more files", self.path)
            self._join_at *= 2
        else:
            self._new_files, self._join_at = 0, JOIN_AT
