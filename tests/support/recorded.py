"""A Phoenix server made of its own recorded words: it says to a client of ours what a real one said in a transcript.

No Phoenix can be had where these tests run, so its golden transcripts stand in for it, played from the server's side:
whatever the client sends is looked up among what the recorded client sent, and answered with what came of that,
word for word. Only names are exchanged: refs, topics, the agent's and its queries'.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.support.golden import Step, load

ABNORMAL = 1006
Frame = list[Any]


class Recording:
    """One connection of a transcript, from the server's side.

    Parameters
    ----------
    name, conn
        The transcript, and which of its connections.
    topics
        The recorded names of topics whose names are others here.
    """

    def __init__(self, name: str, conn: str = "a", topics: Mapping[str, str] | None = None) -> None:
        self._conn = conn
        self._steps = _from_opening(load(name).steps, conn)
        self._at = 0
        self._names: dict[Any, Any] = {None: None, **(topics or {})}
        for topic, other in (topics or {}).items():
            self._names[topic.partition(":")[2]] = other.partition(":")[2]

    def answer(self, frame: Frame) -> tuple[list[Frame], int | None]:
        """What the recorded server said to this, and the code if it closed the connection then.

        What the recorded client did in between, and this one does not, is passed over; what others did then is not.

        Raises
        ------
        AssertionError
            If the recorded client never said such a thing.
        """
        number = next((n for n in range(self._at, len(self._steps)) if self._is(self._steps[n], frame)), None)
        if frame[3] == "heartbeat":
            return [[None, frame[1], "phoenix", "phx_reply", {"response": {}, "status": "ok"}]], None
        assert number is not None, f"nothing like {frame} was recorded from there on"
        end = number + 1
        while end < len(self._steps) and self._steps[end].conn != self._conn:
            end += 1
        self._learn(self._steps[number].action["frame"], frame)
        self._at = end
        heard = [line["frame"] for step in self._steps[number:end] for line in step.received.get(self._conn, ())]
        closed = next((step.closed[self._conn] for step in self._steps[number:end] if self._conn in step.closed), None)
        return [self._translated(frame) for frame in heard], closed

    def _is(self, step: Step, frame: Frame) -> bool:
        recorded = step.action.get("frame")
        if step.conn != self._conn or not isinstance(recorded, list) or recorded[3] != frame[3]:
            return False
        if self._names.get(recorded[2], frame[2]) != frame[2]:
            return False
        wanted = {name: value for name, value in recorded[4].items() if name != "ref"} if recorded[4] else {}
        given = frame[4] if isinstance(frame[4], dict) else {}
        if frame[3] == "phx_join":
            given = {name: value for name, value in given.items() if name == "api_key"}
            return given == wanted
        return wanted.items() <= given.items() and ("ref" in (recorded[4] or {})) == ("ref" in given)

    def _learn(self, recorded: Frame, frame: Frame) -> None:
        for old, new in zip(recorded[:3], frame[:3], strict=True):
            self._names[old] = new
        if isinstance(recorded[2], str) and ":" in recorded[2]:
            self._names[recorded[2].partition(":")[2]] = frame[2].partition(":")[2]
        if isinstance(recorded[4], dict) and "ref" in recorded[4]:
            self._names["query", recorded[4]["ref"]] = frame[4]["ref"]

    def _translated(self, frame: Frame) -> Frame:
        *heads, event, payload = frame
        return [*(self._names[head] for head in heads), event, self._payload(payload)]

    def _payload(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._payload(each) for each in value]
        if not isinstance(value, dict):
            return value
        translated = {self._names.get(name, name): self._payload(each) for name, each in value.items()}
        if "agent_id" in translated:
            translated["agent_id"] = self._names[value["agent_id"]]
        if "ref" in translated:
            translated["ref"] = self._names["query", value["ref"]]
        return translated


def _from_opening(steps: list[Step], conn: str) -> list[Step]:
    """A transcript's steps from the one on that opens a connection."""
    return steps[next(n for n, step in enumerate(steps) if (step.dir, step.conn) == ("open", conn)) :]


class RecordedPhoenix:
    """A WebSocket server that plays recordings, one for each connection it is offered.

    Attributes
    ----------
    heard : list
        All frames that came.
    problems : list of str
        What no recording had an answer to.
    """

    def __init__(self, recordings: list[Recording]) -> None:
        self._recordings = iter(recordings)
        self.url = ""
        self.heard: list[Frame] = []
        self.problems: list[str] = []

    def serve(self, connection: ServerConnection) -> None:
        """Play the next recording."""
        recording = next(self._recordings)
        try:
            for text in connection:
                frame = json.loads(text)
                self.heard.append(frame)
                frames, closed = recording.answer(frame)
                for said in frames:
                    connection.send(json.dumps(said))
                if closed == ABNORMAL:
                    connection.socket.shutdown(2)
                elif closed is not None:
                    connection.close(closed)
        except ConnectionClosed:
            return  # the client's own way out
        except AssertionError as problem:
            self.problems.append(str(problem))


@contextmanager
def recorded_phoenix(*recordings: Recording) -> Iterator[RecordedPhoenix]:
    """Serve recordings on a free port; in the end nothing may have been left without an answer."""
    phoenix = RecordedPhoenix(list(recordings))
    with serve(phoenix.serve, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        phoenix.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/cortex"
        thread = threading.Thread(target=server.serve_forever, name="recorded phoenix")
        thread.start()
        yield phoenix
        server.shutdown()
        thread.join()
    assert phoenix.problems == []
