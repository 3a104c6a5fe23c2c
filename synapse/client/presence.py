"""Who is here: Phoenix Presence from the client's side.

A server sends the whole list once after a join (``presence_state``) and changes from then on
(``presence_diff``). The two may cross on the way, so diffs that arrive before the list of the current join
wait for it. Several connections of one key are several metas, told apart by their ``phx_ref``: the rules
are those of phoenix.js (``Presence.syncState``, ``syncDiff``). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from synapse.client import html
from synapse.protocol import InvalidMessage

T = TypeVar("T")
Meta = dict[str, Any]
MOST_EARLY = 10_000


class Entry(msgspec.Struct):
    """What the server says of one key."""

    metas: list[Meta]


class Diff(msgspec.Struct):
    """Metas that came and metas that went, by key."""

    joins: dict[str, Entry] = {}
    leaves: dict[str, Entry] = {}


class Presence:
    """The list of one topic, kept true by state and diffs."""

    def __init__(self) -> None:
        self.present: dict[str, list[Meta]] = {}
        self._synced_join: str | None = None
        self._early: list[Diff] = []

    def synced(self, join_ref: str | None) -> bool:
        """Whether the list of this join has arrived."""
        return join_ref is not None and join_ref == self._synced_join

    def state(self, join_ref: str | None, payload: object) -> None:
        """``presence_state``: the whole list. Raises `InvalidMessage`."""
        state = _convert(payload, dict[str, Entry])
        self.present = {key: list(entry.metas) for key, entry in state.items() if entry.metas}
        self._synced_join = join_ref
        early, self._early = self._early, []
        for diff in early:
            self._apply(diff)

    def diff(self, join_ref: str | None, payload: object) -> bool:
        """``presence_diff``. Returns whether the list changed now. Raises `InvalidMessage`."""
        diff = _convert(payload, Diff)
        if not self.synced(join_ref):
            if len(self._early) >= MOST_EARLY:
                raise InvalidMessage(f"invalid presence: {MOST_EARLY} diffs and no presence_state")
            self._early.append(diff)
            return False
        self._apply(diff)
        return True

    def joining(self) -> None:
        """A new join was sent: diffs of the one before are history."""
        self._early.clear()

    def _apply(self, diff: Diff) -> None:
        for key, entry in diff.joins.items():
            arrived = {meta.get("phx_ref") for meta in entry.metas}
            stayed = [meta for meta in self.present.get(key, ()) if meta.get("phx_ref") not in arrived]
            self.present[key] = [*stayed, *entry.metas]
        for key, entry in diff.leaves.items():
            gone = {meta.get("phx_ref") for meta in entry.metas}
            left = [meta for meta in self.present.get(key, ()) if meta.get("phx_ref") not in gone]
            if left:
                self.present[key] = left
            else:
                self.present.pop(key, None)


class Roster(Mapping[str, tuple[Meta, ...]]):
    """Who was here at one moment: agent id → one meta for each of its connections.

    A meta is what the server says of a connection: ``online_at`` (Unix time, s), ``status``, ``phx_ref``;
    ``serves`` where it has workers.
    """

    def __init__(self, present: Mapping[str, list[Meta]]) -> None:
        self._present = {agent: tuple(metas) for agent, metas in sorted(present.items())}

    def __getitem__(self, agent: str) -> tuple[Meta, ...]:
        return self._present[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)

    def __repr__(self) -> str:
        return f"Roster({len(self)} {'agent' if len(self) == 1 else 'agents'}: {', '.join(self) or 'nobody'})"

    def _repr_html_(self) -> str:
        rows: list[tuple[object, ...]] = []
        for agent, metas in self.items():
            times = [meta["online_at"] for meta in metas if isinstance(meta.get("online_at"), int | float)]
            status = ", ".join(dict.fromkeys(str(meta.get("status", "")) for meta in metas))
            rows.append((agent, status, ", ".join(serves(metas)), len(metas), html.clock(min(times, default=None))))
        head = ["agent", "status", "serves", "connections", "online since (UTC)"]
        if not any(row[2] for row in rows):
            head.remove("serves")
            rows = [(*row[:2], *row[3:]) for row in rows]
        return html.table("Roster", f"{len(self)} here", head, rows)


def serves(metas: Iterable[Meta]) -> list[str]:
    """The names under which an agent answers queries, by its metas."""
    names = [meta.get("serves") for meta in metas]
    return sorted({str(name) for some in names if isinstance(some, list) for name in some})


def _convert(payload: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        raise InvalidMessage(f"invalid presence: {error}") from None
