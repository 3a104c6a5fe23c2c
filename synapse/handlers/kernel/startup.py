"""Runs inside a fresh Python kernel, before the first query. Its text is sent there; nothing here imports it.

It must not import Synapse: the kernel may belong to another environment. It leaves one name behind,
`think`, among the builtins, where IPython keeps `display`.
"""

import builtins
import signal
import socket
import sys
from typing import Any

from IPython import get_ipython

THOUGHT = "application/vnd.synapse.thought+json"


def think(content: Any, type: str = "reasoning", **more: Any) -> None:
    """Send a thought to the agent whose query this is, at once: ``{"type": type, "content": content, **more}``.

    What was printed before leaves before it. `content` and `more` must have a JSON form.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    thought = {"type": type, "content": content, **more}
    get_ipython().display_pub.publish({THOUGHT: thought, "text/plain": str(content)})


def wake_on_signals() -> None:
    """Let a signal wake the kernel's event loop, so that an interrupt reaches a cell that awaits.

    ipykernel's SIGINT handler cancels such a cell by a callback for the loop, but nothing wakes the loop to
    call it (ipykernel issue 881): it happens when the next timer or message comes. Python writes a byte to
    this socket on every signal, and reading it is reason enough for the loop to turn.
    """
    import asyncio

    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    asyncio.get_running_loop().add_reader(reader, lambda: reader.recv(4096))

    def arm(*_: object) -> None:
        other = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if other not in (-1, writer.fileno()):
            signal.set_wakeup_fd(other, warn_on_full_buffer=False)  # someone's loop has it: that wakes, too

    arm()
    get_ipython().events.register("pre_run_cell", arm)


builtins.think = think  # type: ignore[attr-defined]
wake_on_signals()
