"""A user's own channel and handler, mounted by configuration in test_config.py."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from synapse.channels import Channel, MessageRef, Reply, Stop, ok
from synapse.handlers import Query, Think


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
