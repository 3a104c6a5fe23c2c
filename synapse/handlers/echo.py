"""The ``echo`` handler: thinks as often and as slowly as the query asks, then repeats it.

For first steps, tests and benchmarks. The query is a script of optional parts, the rest is ignored::

    hello                          three thoughts, at once
    thoughts=10 delay_ms=50        ten thoughts, 50 ms before each
    thoughts=1 fail=1              one thought, then a failure
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from synapse.handlers.context import Query, Think
from synapse.handlers.errors import HandlerError

MAX_THOUGHTS = 100_000
MAX_DELAY_MS = 86_400_000  # a day, the longest timeout that a query can name

_PART = re.compile(r"(?<!\S)(thoughts|delay_ms|fail)=(\d{1,100})(?!\S)")


async def echo(query: Query, think: Think) -> dict[str, Any]:
    """Send the thoughts that the script in `query.q` asks for, then return ``{"echo": q}``.

    Raises
    ------
    HandlerError
        If the script asks for it, or for more than `MAX_THOUGHTS` thoughts or `MAX_DELAY_MS`.
    """
    script = {name: int(value) for name, value in _PART.findall(query.q)}
    thoughts = _bounded(script, "thoughts", 3, MAX_THOUGHTS)
    delay = _bounded(script, "delay_ms", 0, MAX_DELAY_MS) / 1000
    for step in range(1, thoughts + 1):
        if delay:
            await asyncio.sleep(delay)
        await think(f"step {step}")
    if script.get("fail") == 1:
        raise HandlerError("echo was asked to fail")
    return {"echo": query.q}


def _bounded(script: dict[str, int], name: str, default: int, most: int) -> int:
    value = script.get(name, default)
    if value > most:
        raise HandlerError(f"{name}={value} is too much: at most {most}")
    return value
