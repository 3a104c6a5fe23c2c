"""Who asks what, and how it must end. Pure, and the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, cycle
from random import Random
from typing import Any

import msgspec

NAMES = (
    "ada", "alan", "barbara", "claude", "donald", "edsger", "frances", "grace", "hedy", "ivan",
    "joan", "katherine", "lynn", "margaret", "niklaus", "ole", "peter", "radia", "sophie", "tim",
)  # fmt: skip
QUESTIONS = (
    "why is the sky blue", "what is a monad", "who wrote this", "is P equal to NP", "why do cats purr",
    "how deep is the sea", "what is time", "can machines think", "what rhymes with orange", "is it raining",
    "what comes after Z", "where is the bug", "how many is a few", "who is on first", "why not",
)  # fmt: skip
REASON = "seen enough"
"""Why the one query is interrupted."""

_PRIMES = """\
import time
primes = [n for n in range(2, 60) if all(n % d for d in range(2, n))]
for prime in primes[:6]:
    think(f"{prime} is prime")
    time.sleep(0.15)
"""
Code = tuple[str, str, int, str | None]
KERNEL: tuple[Code, ...] = (  # a title, the code, how many thoughts it has, and the text of its last value
    ("find some primes", _PRIMES, 6, None),
    ("sum(primes)", "think(f'{len(primes)} primes, still here')\nsum(primes)", 2, "440"),
    ("max(primes)", "max(primes)", 1, "59"),
)


class Ask(msgspec.Struct, frozen=True):
    """One query, and what must become of it.

    Parameters
    ----------
    agent
        Who asks.
    q, priority, handler, timeout
        As in `synapse.AsyncAgent.query`; the timeout is in s.
    status
        How it must end.
    thoughts
        How many it must have; None where time decides.
    data
        What the result must say, where a result has data of its own.
    interrupt_after
        After how many thoughts its agent interrupts it; None for never.
    title
        A few words for the screen.
    """

    agent: str
    q: str
    title: str
    priority: int = 5
    handler: str | None = None
    timeout: float | None = None
    status: str = "success"
    thoughts: int | None = None
    data: dict[str, Any] | None = None
    interrupt_after: int | None = None


def names(agents: int) -> list[str]:
    """So many names for agents."""
    every = (name if turn == 1 else f"{name}-{turn}" for turn in count(1) for name in NAMES)
    return [next(every) for _ in range(agents)]


def script(agents: int, queries: int, kernel: bool) -> list[Ask]:
    """All that will be asked. Each agent asks its part one after another, in this order.

    Parameters
    ----------
    agents, queries
        How many; at least 4 queries. More queries for each agent are shorter ones.
    kernel
        Whether the first agent also asks `KERNEL`.
    """
    who = names(agents)
    asks = list(_echo(who, queries))
    if kernel:
        # Spread over the first agent's part: it finds its kernel as it has left it.
        for number, code in enumerate(KERNEL):
            asks.insert(number * max(1, queries // 5), _code(who[0], code))
    return asks


def _echo(who: list[str], queries: int) -> Iterator[Ask]:
    dice = Random(20)  # noqa: S311  for variety, not for secrets
    pace = min(1.0, 10 * len(who) / queries)
    agents, questions = cycle(who), cycle(QUESTIONS)
    special = {queries // 7: _failing, 3 * queries // 7: _timing_out, 5 * queries // 7: _interrupted}
    for number in range(queries):
        agent, title = next(agents), next(questions)
        if number in special:
            yield special[number](agent)
            continue
        thoughts, delay = dice.randint(3, 6), round(dice.uniform(40, 140) * pace)
        yield _success(agent, f"thoughts={thoughts} delay_ms={delay} {title}?", title, thoughts, dice.randint(0, 9))


def _success(agent: str, q: str, title: str, thoughts: int, priority: int) -> Ask:
    return Ask(agent, q, title, priority, thoughts=thoughts, data={"echo": q})


def _failing(agent: str) -> Ask:
    data = {"reason": "echo was asked to fail"}
    return Ask(agent, "thoughts=2 delay_ms=100 fail=1", "made to fail", status="error", thoughts=2, data=data)


def _interrupted(agent: str) -> Ask:
    q = "thoughts=200 delay_ms=50"  # ten seconds, were it not interrupted
    return Ask(agent, q, "to be interrupted", 0, status="interrupted", interrupt_after=8)


def _timing_out(agent: str) -> Ask:
    return Ask(agent, "thoughts=200 delay_ms=50", "with half a second", 0, timeout=0.5, status="timeout")


def _code(agent: str, code: Code) -> Ask:
    title, q, thoughts, value = code
    return Ask(agent, q, f"kernel: {title}", 0, handler="kernel", timeout=60, thoughts=thoughts, data={"result": value})
