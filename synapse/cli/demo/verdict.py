"""Whether all went as it should: the script, what the agents heard, and what the server recorded, compared. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from synapse.cli.demo.play import Heard
from synapse.cli.demo.script import REASON, Ask


class Recorded(msgspec.Struct, frozen=True):
    """What the server recorded of one query: a row of its trace."""

    agent: str
    ref: str
    status: str
    thoughts: int


def problems(asks: Sequence[Ask], heard: Sequence[Heard], recorded: Sequence[Recorded]) -> list[str]:
    """All that is not as it should be, in words; empty if there is nothing."""
    return [*_unheard(asks, heard), *_misheard(heard), *_misrecorded(heard, recorded)]


def _unheard(asks: Sequence[Ask], heard: Sequence[Heard]) -> Iterator[str]:
    missing = len(asks) - len(heard)
    if missing:
        yield f"{missing} of {len(asks)} queries got no ending"


def _misheard(heard: Iterable[Heard]) -> Iterator[str]:
    for one in heard:
        if problem := _wrong(one):
            yield f"{_name(one)}: {problem}"


def _wrong(heard: Heard) -> str | None:
    """What is wrong with an ending, by the script."""
    ask = heard.ask
    if heard.status != ask.status:
        why = heard.reason or (heard.data.get("reason") if isinstance(heard.data, dict) else None)
        return f"ended as {heard.status}{f' ({why})' if why else ''}, not as {ask.status}"
    if ask.thoughts is not None and heard.thoughts != ask.thoughts:
        return f"{heard.thoughts} thoughts came, not {ask.thoughts}"
    for name, value in (ask.data or {}).items():
        if not isinstance(heard.data, dict) or heard.data.get(name) != value:
            return f"its result is {heard.data!r}, and {name} should be {value!r}"
    if ask.interrupt_after is not None and heard.reason != REASON:
        return f"it was interrupted because of {heard.reason!r}, not of {REASON!r}"
    return None


def _misrecorded(heard: Sequence[Heard], recorded: Iterable[Recorded]) -> Iterator[str]:
    """Each ending must have one row that says the same, and no row is anyone else's."""
    rows: dict[tuple[str, str], list[Recorded]] = {}
    for row in recorded:
        rows.setdefault((row.agent, row.ref), []).append(row)
    for one in heard:
        of_it = rows.pop((one.ask.agent, one.ref), [])
        if one.latency is not None and (problem := _differs(one, of_it)):
            yield f"{_name(one)}: {problem}"
    if rows:
        statuses = Counter(row.status for of_it in rows.values() for row in of_it)
        yield f"the server recorded queries whose endings nobody heard: {dict(statuses)}"


def _differs(heard: Heard, rows: Sequence[Recorded]) -> str | None:
    if len(rows) != 1:
        return f"the server recorded {len(rows)} endings, not 1"
    if (rows[0].status, rows[0].thoughts) == (heard.status, heard.thoughts):
        return None
    was = f"{rows[0].status} after {rows[0].thoughts} thoughts"
    return f"the server recorded {was}, the agent heard {heard.status} after {heard.thoughts}"


def _name(heard: Heard) -> str:
    return f"{heard.ask.agent}'s query {heard.ref} ({heard.ask.title})"
