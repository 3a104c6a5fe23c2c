"""What a user gets back: thoughts and results, as plain frozen values. Times are seconds."""

from __future__ import annotations

import reprlib
from typing import Any, Literal

import msgspec

from synapse.client import html
from synapse.protocol import messages as wire

Ending = Literal["success", "error", "timeout", "interrupted"]
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 200  # room for an error's reason, which is what one looks for


class Thought(msgspec.Struct, frozen=True):
    """One step of a query.

    Parameters
    ----------
    content
        What was thought: text in most cases.
    type
        The kind of step (``"reasoning"``), empty if the handler gave none.
    ref
        The query's ref.
    timestamp
        Unix time in seconds, by the server's clock.
    data
        The whole thought as it came, ``content`` and ``type`` included.
    """

    content: Any
    type: str
    ref: str
    timestamp: float
    data: dict[str, Any]

    @classmethod
    def from_wire(cls, message: wire.Thought) -> Thought:
        """Read a ``thought`` message. A thought that is no object is all content."""
        data = message.thought if isinstance(message.thought, dict) else {"content": message.thought}
        kind = data.get("type", "")
        return cls(
            data.get("content"),
            kind if isinstance(kind, str) else str(kind),
            message.ref,
            message.timestamp / 1e3,
            data,
        )

    def __repr__(self) -> str:
        return f"Thought({self.type or 'thought'}: {_brief.repr(self.content)})"

    def _repr_html_(self) -> str:
        fields = [(name, value) for name, value in self.data.items() if name != "type"]
        return html.card("Thought", self.type, [*fields, ("at (UTC)", html.clock(self.timestamp))])


class Result(msgspec.Struct, frozen=True):
    """How a query ended.

    Parameters
    ----------
    ref
        The query's ref.
    status
        ``"success"``, ``"error"``, ``"timeout"`` or ``"interrupted"``.
    data
        The handler's answer; None for an interrupted query.
    latency
        Seconds from submission to ending, as the server measured them; for an interrupted query, as this
        client did.
    reason
        Why it was interrupted, None for any other ending.
    attempts
        How often the server was asked: more than once if it refused at first.
    """

    ref: str
    status: Ending
    data: Any
    latency: float
    reason: str | None = None
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether the status is ``"success"``."""
        return self.status == "success"

    def __repr__(self) -> str:
        about = f"reason={self.reason!r}" if self.reason is not None else f"data={_brief.repr(self.data)}"
        tries = f", attempts={self.attempts}" if self.attempts > 1 else ""
        return f"Result({self.status} in {html.milliseconds(self.latency)}, {about}{tries})"

    def _repr_html_(self) -> str:
        about = ("reason", self.reason) if self.reason is not None else ("data", self.data)
        fields = [about, ("latency", html.milliseconds(self.latency))]
        if self.attempts > 1:
            fields.append(("attempts", self.attempts))
        return html.card("Result", self.status, fields)
