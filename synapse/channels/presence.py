"""Presence: who is on a topic, told to everyone there by diffs.

As in Phoenix: a key (an agent's id) has a list of metas, one for each owner (a channel, so one for each
connection), each with a unique ``phx_ref``. Changes of one turn go out as one ``presence_diff`` a topic;
a newcomer is given the whole ``presence_state``.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import count
from typing import Any, Protocol

from synapse.channels.pubsub import Message, PubSub
from synapse.protocol import encode_json

Meta = dict[str, Any]
Metas = dict[str, list[Meta]]  # {"metas": [...]}, a key's entry on the wire
Schedule = Callable[[float, Callable[[], object]], object]  # a clock's call_later


class Presence(Protocol):
    """The interface of every presence."""

    def track(self, topic: str, key: str, meta: Mapping[str, Any], owner: object) -> Meta:
        """Say that `owner` is present as `key`. Returns the meta with its ``phx_ref``.

        Raises
        ------
        ValueError
            If `owner` is tracked there already.
        TypeError
            If the meta has no JSON form.
        """

    def untrack(self, topic: str, key: str, owner: object) -> None:
        """Say that `owner` has left; nothing happens if it was not there."""

    def update(self, topic: str, key: str, owner: object, changes: Mapping[str, Any]) -> Meta | None:
        """Change a meta: the diff has the old one leaving and the new one, with ``phx_ref_prev``, joining."""

    def flush(self) -> None:
        """Send what has changed so far, without waiting for the end of the turn."""

    def list(self, topic: str) -> dict[str, Metas]:
        """Everybody on a topic, in the shape of ``presence_state``."""

    def get(self, topic: str, key: str) -> Metas | None:
        """One key's metas, None if it is not there."""


class _Diff:
    __slots__ = ("joins", "leaves")

    def __init__(self) -> None:
        self.joins: dict[str, Metas] = {}
        self.leaves: dict[str, Metas] = {}


class LocalPresence:
    """Presence within one node.

    Parameters
    ----------
    pubsub
        Where diffs are broadcast.
    call_later
        The clock's; diffs of one turn are sent when it has ended.
    node
        Makes this node's ``phx_ref`` differ from another's, and from those of its own life before a restart.
    changed
        Told ``(topic, joins, leaves)``, the number of metas, for each diff.
    """

    def __init__(
        self,
        pubsub: PubSub,
        call_later: Schedule,
        node: str = "local",
        changed: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self._pubsub = pubsub
        self._call_later = call_later
        self._changed = changed
        self._prefix = blake2b(node.encode(), digest_size=6).digest()
        self._numbers = count(1)
        self._topics: dict[str, dict[str, dict[object, Meta]]] = {}
        self._diffs: dict[str, _Diff] = {}

    def __len__(self) -> int:
        return sum(len(keys) for keys in self._topics.values())

    def track(self, topic: str, key: str, meta: Mapping[str, Any], owner: object) -> Meta:
        if owner in self._topics.get(topic, {}).get(key, {}):
            raise ValueError(f"{owner!r} is tracked as {key!r} on {topic!r} already: use update")
        tracked = {**meta, "phx_ref": self._new_ref()}
        encode_json(tracked)  # one that cannot be told is its owner's trouble, not that of everybody on the topic
        self._topics.setdefault(topic, {}).setdefault(key, {})[owner] = tracked
        self._note(topic, key, joined=tracked)
        return tracked

    def untrack(self, topic: str, key: str, owner: object) -> None:
        keys = self._topics.get(topic, {})
        owners = keys.get(key, {})
        meta = owners.pop(owner, None)
        if meta is None:
            return
        if not owners:
            del keys[key]
            if not keys:
                del self._topics[topic]
        self._note(topic, key, left=meta)

    def update(self, topic: str, key: str, owner: object, changes: Mapping[str, Any]) -> Meta | None:
        owners = self._topics.get(topic, {}).get(key, {})
        old = owners.get(owner)
        if old is None:
            return None
        new = {**old, **changes, "phx_ref": self._new_ref(), "phx_ref_prev": old["phx_ref"]}
        encode_json(new)
        owners[owner] = new
        self._note(topic, key, joined=new, left=old)
        return new

    def list(self, topic: str) -> dict[str, Metas]:
        return {key: {"metas": [*owners.values()]} for key, owners in self._topics.get(topic, {}).items()}

    def get(self, topic: str, key: str) -> Metas | None:
        owners = self._topics.get(topic, {}).get(key)
        return {"metas": [*owners.values()]} if owners else None

    def _new_ref(self) -> str:
        """Unique text in the form of Phoenix's: 12 bytes in URL-safe base 64."""
        return urlsafe_b64encode(self._prefix + next(self._numbers).to_bytes(6, "big")).decode()

    def _note(self, topic: str, key: str, joined: Meta | None = None, left: Meta | None = None) -> None:
        if not self._diffs:
            self._call_later(0, self.flush)
        diff = self._diffs.setdefault(topic, _Diff())
        if joined is not None:
            diff.joins.setdefault(key, {"metas": []})["metas"].append(joined)
        if left is not None:
            diff.leaves.setdefault(key, {"metas": []})["metas"].append(left)

    def flush(self) -> None:
        diffs, self._diffs = self._diffs, {}
        for topic, diff in diffs.items():
            payload = {"joins": diff.joins, "leaves": diff.leaves}
            self._pubsub.publish(Message(topic, "presence_diff", payload, broadcast=True, keep=True))
            if self._changed is not None:
                self._changed(topic, _count(diff.joins), _count(diff.leaves))


def _count(side: dict[str, Metas]) -> int:
    return sum(len(entry["metas"]) for entry in side.values())
