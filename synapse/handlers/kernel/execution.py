"""One piece of code in a kernel, from the request to the moment the kernel is idle again.

A value that the kernel's readers fill and the handler empties. It knows messages, not sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque

from synapse.handlers.kernel.output import Message, thought_of

OVERHEAD = 200
"""What a thought costs beyond its text, in bytes, so that empty ones cannot pile up either."""


class Execution:
    """An ``execute_request`` and what came of it.

    Parameters
    ----------
    max_thought
        The longest text or MIME entry of a thought, in characters.
    max_output
        How much output is kept in all, in bytes.

    Attributes
    ----------
    msg_id : str
        The request's id, by which the kernel's messages name it.
    started : bool
        The kernel has taken up the code: an interrupt would now hit it and nothing else.
    reply : dict or None
        The content of the ``execute_reply``.
    idle : bool
        The kernel has said that it is idle again.
    result : str or None
        The text form of the last expression's value.
    """

    def __init__(self, max_thought: int, max_output: int) -> None:
        self.msg_id = ""
        self.started = False
        self.reply: Message | None = None
        self.idle = False
        self.result: str | None = None
        self._max_thought = max_thought
        self._max_output = max_output
        self._room = max_output
        self._full = False
        self._wanted = True
        self._thoughts: deque[Message] = deque()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        state = "done" if self.done else "running" if self.started else "sent"
        return f"<Execution {state}, {len(self._thoughts)} thoughts unread>"

    @property
    def done(self) -> bool:
        """Whether both the reply and the kernel's idle status have come; they travel on separate sockets."""
        return self.idle and self.reply is not None

    @property
    def room(self) -> int:
        """How many bytes of output are still welcome."""
        return self._room if self._wanted and not self._full else 0

    def take(self) -> list[Message]:
        """Return the thoughts that came since the last call."""
        thoughts = list(self._thoughts)
        self._thoughts.clear()
        return thoughts

    def abandon(self) -> None:
        """Stop keeping output: no one listens any more."""
        self._wanted = False
        self._thoughts.clear()

    async def changed(self, timeout: float) -> bool:
        """Wait up to `timeout` s for a message. Whether one came."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def on_reply(self, content: Message) -> None:
        """Take the ``execute_reply``."""
        self.reply = content
        self._changed.set()

    def on_iopub(self, kind: str, content: Message, size: int) -> None:
        """Take a message of this execution from iopub. `size` is what it weighed on the wire, in bytes."""
        if kind == "status":
            if content.get("execution_state") != "idle":
                return
            self.idle = True
        elif kind == "execute_input":
            self.started = True
        elif not self._keep(kind, content, size):
            return
        self._changed.set()

    def leave_out(self) -> None:
        """Note that output was too much to be kept; from here on none is."""
        if self._wanted and not self._full:
            text = f"output beyond {self._max_output} bytes is left out"
            self._thoughts.append({"type": "truncated", "content": text})
            self._changed.set()
        self._full = True

    def _keep(self, kind: str, content: Message, size: int) -> bool:
        if kind == "execute_result":
            # Kept even when its thought is left out: it is the answer, and it is one.
            shown = thought_of(kind, content, self._max_thought)
            self.result = shown["content"] if shown else None
        if not self._wanted or self._full:
            return False
        if size + OVERHEAD > self._room:
            self.leave_out()
            return False
        thought = thought_of(kind, content, self._max_thought)
        if thought is None:
            return False
        self._room -= size + OVERHEAD
        self._thoughts.append(thought)
        return True
