"""The bus hands each event to each listener, in order, and no listener can hurt another."""

from __future__ import annotations

import logging
import subprocess
import sys

import msgspec
import pytest

from synapse import telemetry
from synapse.telemetry import Bus, Event, Joined, Left, Thought


def test_listeners_get_all_events_in_order() -> None:
    bus, first, second = Bus(), [], []
    bus.listen(first.append)
    bus.listen(second.append)
    events = [Thought(float(at), "n1", "ada", "q", at) for at in range(3)]
    for event in events:
        bus.emit(event)
    assert first == second == events


def test_a_listener_that_raises_is_logged_and_hurts_no_one(caplog: pytest.LogCaptureFixture) -> None:
    bus, heard = Bus(), []

    def broken(event: Event) -> None:
        raise RuntimeError("out of order")

    bus.listen(broken)
    bus.listen(heard.append)
    for connection in (1, 2):
        bus.emit(Joined(0.0, "n1", "ada", connection))
    assert [event.connection for event in heard] == [1, 2]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "out of order" in caplog.text


def test_a_listener_that_stopped_hears_nothing_more() -> None:
    bus, heard, other = Bus(), [], []
    stop = bus.listen(heard.append)
    bus.listen(other.append)
    stop()
    stop()
    bus.emit(Joined(0.0, "n1", "ada", 1))
    assert not heard
    assert len(other) == 1


def test_a_listener_may_stop_while_it_is_called() -> None:
    bus, heard, other = Bus(), [], []

    def once(event: Event) -> None:
        heard.append(event)
        stop()

    stop = bus.listen(once)
    bus.listen(other.append)
    for connection in (1, 2):
        bus.emit(Joined(0.0, "n1", "ada", connection))
    assert len(heard) == 1
    assert len(other) == 2


def test_events_tell_their_type_as_json() -> None:
    """So that the monitor can send them as they are."""
    left = Left(1.5, "n1", "ada", 7, "leave")
    assert msgspec.json.decode(msgspec.json.encode(left)) == {
        "event": "Left", "at": 1.5, "node": "n1", "agent": "ada", "connection": 7, "reason": "leave",
    }  # fmt: skip


def test_the_room_has_what_it_says_and_nothing_else() -> None:
    assert all(hasattr(telemetry, name) for name in telemetry.__all__)
    with pytest.raises(AttributeError, match="no attribute 'meaning'"):
        _ = telemetry.meaning


def test_importing_the_room_imports_nothing_heavy() -> None:
    program = "import sys, synapse.telemetry; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"numpy", "pyarrow", "pandas", "matplotlib", "asyncio", "tornado"}.isdisjoint(done.stdout.split())
