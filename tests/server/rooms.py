"""A user's own channel and handlers, mounted by configuration."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from synapse.channels import Channel, MessageRef, Reply, Stop, ok
from synapse.handlers import Interrupted, Query, Think

log = logging.getLogger("synapse.handlers.rooms")


class RoomChannel(Channel):
    """A chat room."""

    def join(self, payload: Any) -> Reply:
        return ok({"hello": payload["name"]})

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:
        if event == "shout":
            self.broadcast("shout", payload)
            return ok()
        return super().handle_in(event, payload, ref)


async def shout(query: Query, think: Think) -> str:
    """Answer in capitals."""
    await think("louder")
    return query.q.upper()


async def ledger(query: Query, think: Think) -> str:
    """Write down that it runs, in the file that ``LEDGER`` names; then stay for ever if asked to."""
    with open(os.environ["LEDGER"], "a") as book:  # one short line: an append is atomic
        book.write(f"{query.agent} {query.q}\n")
    await think("begun")
    if query.q.startswith("stay"):
        await asyncio.Event().wait()
    return query.q


async def sleeper(query: Query, think: Think) -> None:
    """Sleep until cancelled, and say so in the log."""
    await think("asleep")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        log.warning("cancelled: %s", query.ref)
        raise


def worker(query: Query, think: Callable[..., None]) -> None:
    """The same in a thread: it looks now and then whether anyone still wants it to work."""
    think("at work")
    try:
        while True:
            query.check_interrupt()
            time.sleep(0.005)
    except Interrupted:
        log.warning("cancelled: %s", query.ref)
        raise
