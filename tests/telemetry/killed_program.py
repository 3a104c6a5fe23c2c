"""Records until it is killed, and says what it knows to be on disk. For `test_recorder_kill`.

``quiet DIR``: records 100 rows, waits until the recorder has written them on its own, says so and records some
more. ``busy DIR``: writes and joins files all the time, and says each time how far it is.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from synapse.telemetry import Bus, Finished, Recorder, files
from synapse.telemetry import recorder as recorder_module


def endings() -> Iterator[Finished]:
    for number in itertools.count():
        at = number / 1000
        yield Finished(at + 0.1, "n1", "ada", str(number), 5, 1, at, at, at, None, "success", None, 0)


def quiet(bus: Bus, on_disk: threading.Event) -> None:
    source = endings()
    for event in itertools.islice(source, 100):
        bus.emit(event)
    on_disk.wait()
    print(100, flush=True)
    for event in itertools.islice(source, 50):
        bus.emit(event)
    sys.stdin.read()


def busy(bus: Bus, recorder: Recorder) -> None:
    for event in endings():
        bus.emit(event)
        recorder.flush()
        print(recorder.written, flush=True)


def tell_when_on_disk(rows: int) -> threading.Event:
    done, write, written = threading.Event(), files.write, 0

    def counted(table: pa.Table, path: Path) -> None:
        nonlocal written
        write(table, path)
        written += table.num_rows
        if written >= rows:
            done.set()

    files.write = counted
    return done


if __name__ == "__main__":
    how, directory = sys.argv[1:]
    recorder_module.JOIN_AT = 3
    bus = Bus()
    if how == "quiet":
        on_disk = tell_when_on_disk(100)
        bus.listen(Recorder(directory, flush_interval=0.05))
        quiet(bus, on_disk)
    else:
        recorder = Recorder(directory)
        bus.listen(recorder)
        busy(bus, recorder)
