"""The set of presences that all nodes share, a copy on each: it grows and shrinks anywhere and needs no agreement.

An observed-remove set without tombstones. Each replica numbers what it does, joins and leaves alike; a presence is
known by its tag, the replica and number of its join. A replica's context says up to which number it knows another,
its clouds hold numbers beyond that, with gaps. A tag that is known but not there has left. Source:
Phoenix.Tracker.State (phoenix_pubsub, ``lib/phoenix/tracker/state.ex``), after Bieniusa et al., An optimized
conflict-free replicated set (2012), and Almeida, Shoker and Baquero, Delta state replicated data types (2016).

Simplified: a presence is nothing but its tag (no topic, key or metas, and an update is a leave and a join); a transfer
is always the whole state, for Phoenix's delta generations make transfers smaller, not sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from synapse.simulation.presence.clocks import Context, Ref

Tag: TypeAlias = tuple[Ref, int]
"""A presence: the replica it was joined at, and the number of its join."""


class Changes(msgspec.Struct, eq=False):
    """What a replica tells others: presences, and what it knows of by them. Not changed any more once it is sent.

    Parameters
    ----------
    context
        Of the whole state; empty for a delta.
    clouds
        Numbers known beyond the context, by replica.
    values
        The joins' numbers of the presences there are, by replica.
    """

    context: Context = {}
    clouds: dict[Ref, set[int]] = {}
    values: dict[Ref, set[int]] = {}

    def __len__(self) -> int:
        """How many presences and numbers it carries."""
        return sum(map(len, self.values.values())) + sum(map(len, self.clouds.values()))

    def joined(self, ref: Ref, number: int) -> None:
        """Note a join in a delta."""
        self.clouds.setdefault(ref, set()).add(number)
        self.values.setdefault(ref, set()).add(number)

    def gone(self, ref: Ref, number: int) -> None:
        """Note in a delta that a presence is no longer there."""
        self.clouds.setdefault(ref, set()).add(number)
        self.values.get(ref, set()).discard(number)

    def forget(self, ref: Ref) -> None:
        """Drop all of a replica from a delta."""
        self.clouds.pop(ref, None)
        self.values.pop(ref, None)


class ReplicaSet:
    """One replica's copy.

    Attributes
    ----------
    ref : Ref
        Whose it is.
    context : Context
        What it knows of each replica that is, or may be again.
    values : dict
        The numbers of the presences, by replica, those of replicas that are down included.
    down : set
        The replicas that are down: their presences are kept, but not shown.
    delta : Changes
        What has happened here since the last heartbeat.
    """

    __slots__ = ("clouds", "context", "delta", "down", "ref", "values")

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.context: Context = {ref: 0}
        self.clouds: dict[Ref, set[int]] = {}
        self.values: dict[Ref, set[int]] = {}
        self.down: set[Ref] = set()
        self.delta = Changes()

    def __repr__(self) -> str:
        return f"<ReplicaSet {self.ref}, {sum(map(len, self.values.values()))} presences, knows {self.context}>"

    def online(self) -> Iterator[Tag]:
        """The presences that are shown."""
        return ((ref, number) for ref in self.values if ref not in self.down for number in self.values[ref])

    def of(self, ref: Ref) -> list[Tag]:
        """The presences of a replica, shown or not."""
        return [(ref, number) for number in self.values.get(ref, ())]

    def join(self) -> Tag:
        """Add a presence here."""
        number = self.context[self.ref] = self.context[self.ref] + 1
        self.values.setdefault(self.ref, set()).add(number)
        self.delta.joined(self.ref, number)
        return self.ref, number

    def leave(self, tag: Tag) -> None:
        """Remove a presence that was joined here: an act with a number of its own.

        Raises
        ------
        KeyError
            If it is not here.
        """
        ref, number = tag
        if ref != self.ref:
            raise KeyError(tag)
        self.values.get(ref, set()).remove(number)
        self.delta.gone(ref, number)
        act = self.context[ref] = self.context[ref] + 1
        self.delta.clouds[ref].add(act)

    def take_delta(self) -> Changes:
        """What has happened since this was last called."""
        delta, self.delta = self.delta, Changes()
        return delta

    def clock(self) -> Context:
        """What it knows of the replicas that are not down; of others, who asked would be given nothing."""
        return {ref: number for ref, number in self.context.items() if ref not in self.down}

    def extract(self, known: Iterable[Ref]) -> Changes:
        """The whole state, as far as it is of replicas that the receiver knows."""
        known = set(known)
        return Changes(
            {ref: number for ref, number in self.context.items() if ref in known},
            {ref: set(cloud) for ref, cloud in self.clouds.items() if ref in known},
            {ref: set(numbers) for ref, numbers in self.values.items() if ref in known},
        )

    def merge(self, remote: Changes) -> tuple[list[Tag], list[Tag]]:
        """Take in what another replica tells.

        Only of replicas that are known here, which is to say heard of directly; and no one else can remove what was
        joined here. A removal that is news is passed on with the next heartbeat.

        Returns
        -------
        tuple
            The presences that have come, and those that have gone; shown or not.
        """
        joins = [
            (ref, number)
            for ref, numbers in remote.values.items()
            if ref in self.context
            for number in numbers
            if not self._knows(ref, number)
        ]
        leaves = self._removals(remote)
        for ref, cloud in remote.clouds.items():
            upto = self.context.get(ref)
            if upto is not None and max(cloud) > upto:
                self.clouds.setdefault(ref, set()).update(cloud)
        for ref, number in leaves:
            self.values[ref].discard(number)
            self.clouds.get(ref, set()).discard(number)
            self.delta.gone(ref, number)
        for ref, number in joins:
            self.values.setdefault(ref, set()).add(number)
        for ref, number in remote.context.items():
            if number > self.context.get(ref, number):
                self.context[ref] = number
        self._compact()
        return joins, leaves

    def up(self, ref: Ref) -> list[Tag]:
        """A replica is there (again). Returns its presences, which show (again)."""
        self.context.setdefault(ref, 0)
        self.down.discard(ref)
        return self.of(ref)

    def mark_down(self, ref: Ref) -> list[Tag]:
        """A replica is not heard of. Returns its presences, which do not show any more."""
        self.down.add(ref)
        return self.of(ref)

    def forget(self, ref: Ref) -> None:
        """A replica is gone for good, and all that is known of it."""
        self.context.pop(ref, None)
        self.clouds.pop(ref, None)
        self.values.pop(ref, None)
        self.down.discard(ref)
        self.delta.forget(ref)

    def _knows(self, ref: Ref, number: int) -> bool:
        return self.context.get(ref, 0) >= number or number in self.clouds.get(ref, ())

    def _removals(self, remote: Changes) -> list[Tag]:
        """What is here, and what the other knows of but does not have."""
        leaves: list[Tag] = []
        for ref, cloud in remote.clouds.items():
            mine = self.values.get(ref)
            if mine and ref != self.ref and not mine.isdisjoint(cloud):
                leaves += [(ref, number) for number in mine & cloud - remote.values.get(ref, set())]
        for ref, upto in remote.context.items():
            mine = self.values.get(ref)
            if mine and ref != self.ref:
                gone = mine - remote.values.get(ref, set()) - remote.clouds.get(ref, set())
                leaves += [(ref, number) for number in gone if number <= upto]
        return sorted(leaves)

    def _compact(self) -> None:
        """Let the contexts swallow what of the clouds follows on without a gap."""
        for ref, cloud in list(self.clouds.items()):
            upto = self.context[ref]
            while upto + 1 in cloud:
                upto += 1
            self.context[ref] = upto
            beyond = {number for number in cloud if number > upto}
            if beyond:
                self.clouds[ref] = beyond
            else:
                del self.clouds[ref]
