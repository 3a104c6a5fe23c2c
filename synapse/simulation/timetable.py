"""When faults begin and end, and what a cluster has to do then.

`expand` turns faults into a list of times and actions; `schedule` lets them happen to a cluster, which is anything
`Faulty`. Faults may overlap: a timetable says what holds from now on, all faults taken together. So a cluster needs no
memory of its faults: ``slow(2, 4.0)`` means that from now on node 2 needs four times as long as it would, however long
it needed before, and ``slow(2, 1.0)`` that all is well with it again. Factors multiply; a node is there again when the
last of its crashes has ended; nodes reach each other when they are in one group of each netsplit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, log1p, prod
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from synapse.simulation.env import Environment
from synapse.simulation.faults import (
    DependencySlowDown,
    Fault,
    LoadPulse,
    Netsplit,
    NodeCrash,
    ReconnectHerd,
    SlowDown,
    SlowNode,
    check,
)
from synapse.simulation.variates import Variates

Uniforms: TypeAlias = Callable[[], float]
"""A stream of random numbers from [0, 1)."""


class Faulty(Protocol):
    """What faults happen to. Nodes are named from 0."""

    def crash(self, node: int) -> None:
        """A node that is there is gone, with its work and its connections."""

    def restart(self, node: int) -> None:
        """A node that was gone is there again, and empty."""

    def slow(self, node: int, factor: float) -> None:
        """Service that begins at a node from now on takes `factor` times as long as it would if all were well."""

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        """Nodes reach only those of their own group from now on. Every node is in one."""

    def heal(self) -> None:
        """All nodes reach each other from now on."""

    def pulse(self, factor: float) -> None:
        """Queries arrive `factor` times as often from now on as they would if all were well."""

    def drop(self, share: float) -> None:
        """Break this part of all connections, by lot, now."""


class Action(msgspec.Struct, frozen=True):
    """What a cluster has to do: a method of `Faulty`, and its arguments."""

    do: Literal["restart", "heal", "split", "slow", "pulse", "crash", "drop"]
    arguments: tuple[Any, ...] = ()

    def __call__(self, cluster: Faulty) -> None:
        """Let it happen to a cluster."""
        getattr(cluster, self.do)(*self.arguments)


class Condition(msgspec.Struct, eq=False):
    """How a cluster is, all faults taken together.

    Parameters
    ----------
    gone
        The nodes that are not there.
    slow
        How many times as long each node needs.
    groups
        Who reaches whom; one group if all do.
    pulse
        How many times as often queries arrive.
    """

    gone: set[int]
    slow: list[float]
    groups: tuple[tuple[int, ...], ...]
    pulse: float

    def since(self, before: Condition) -> Iterator[Action]:
        """What has changed. What ends comes first."""
        yield from (Action("restart", (node,)) for node in sorted(before.gone - self.gone))
        if self.groups != before.groups:
            yield Action("split", (self.groups,)) if len(self.groups) > 1 else Action("heal")
        for node, (factor, earlier) in enumerate(zip(self.slow, before.slow, strict=True)):
            if factor != earlier:
                yield Action("slow", (node, factor))
        if self.pulse != before.pulse:
            yield Action("pulse", (self.pulse,))
        yield from (Action("crash", (node,)) for node in sorted(self.gone - before.gone))


class Spell(msgspec.Struct, frozen=True, eq=False):
    """A fault that happens: from when to when, and to which node, if it is one's."""

    begin: float  # s
    end: float  # s
    fault: Fault
    node: int | None


def expand(
    faults: Sequence[Fault], duration: float, streams: Callable[[int], Uniforms], nodes: int
) -> list[tuple[float, Action]]:
    """What happens when.

    Parameters
    ----------
    faults
        What goes wrong.
    duration
        How long the simulation lasts, in s: what would happen then or later does not.
    streams
        Gives each fault that needs one, by its place, a stream of random numbers of its own; so a fault that is
        changed, or added at the end, leaves the others' times alone.
    nodes
        How many nodes there are.

    Returns
    -------
    list of tuple
        Times in s, in order, each with an `Action`.

    Raises
    ------
    PolicyError
        If a fault names a node that there is not.
    """
    check(faults, nodes)
    all_spells = spells(faults, duration, streams, nodes)
    begins: dict[float, list[Spell]] = {}
    for spell in all_spells:
        begins.setdefault(spell.begin, []).append(spell)
    timetable: list[tuple[float, Action]] = []
    going_on: list[Spell] = []
    condition = _condition([], nodes)
    for time in sorted({time for spell in all_spells for time in (spell.begin, spell.end) if time < duration}):
        began = begins.get(time, [])
        going_on = [spell for spell in going_on + began if spell.end > time]
        before, condition = condition, _condition(going_on, nodes)
        timetable += [(time, action) for action in condition.since(before)]
        timetable += [
            (time, Action("drop", (spell.fault.share,))) for spell in began if isinstance(spell.fault, ReconnectHerd)
        ]
    return timetable


def schedule(env: Environment, cluster: Faulty, timetable: Sequence[tuple[float, Action]]) -> None:
    """Let a timetable happen to a cluster, its times counted from now."""
    for time, action in timetable:
        env.call(time, action, cluster)


def spells(faults: Sequence[Fault], duration: float, streams: Callable[[int], Uniforms], nodes: int) -> list[Spell]:
    """When each fault happens, one after the other; see `expand`."""
    return [spell for place, fault in enumerate(faults) for spell in _spells(fault, duration, streams, place, nodes)]


def fault_streams(variates: Variates) -> Callable[[int], Uniforms]:
    """The streams that the faults of a replication happen by."""
    return lambda place: variates.stream(f"fault {place}").__next__


def _spells(
    fault: Fault, duration: float, streams: Callable[[int], Uniforms], place: int, nodes: int
) -> Iterator[Spell]:
    node = fault.node if isinstance(fault, (NodeCrash, SlowNode)) else None
    any_node = isinstance(fault, (NodeCrash, SlowNode)) and node is None
    if fault.at is not None:
        if fault.at < duration:
            struck = int(streams(place)() * nodes) if any_node else node
            yield Spell(fault.at, fault.at + _lasts(fault), fault, struck)
        return
    assert fault.rate is not None  # a fault has one of both
    uniforms = streams(place)
    begin = -log1p(-uniforms()) / fault.rate
    while begin < duration:
        end = begin + _lasts(fault)
        struck = int(uniforms() * nodes) if any_node else node
        yield Spell(begin, end, fault, struck)
        begin = end - log1p(-uniforms()) / fault.rate


def _lasts(fault: Fault) -> float:
    match fault:
        case NodeCrash(restart_after=width) | Netsplit(heal_after=width):
            return inf if width is None else width
        case ReconnectHerd():
            return 0.0
        case SlowNode() | SlowDown() | DependencySlowDown() | LoadPulse():
            return inf if fault.width is None else fault.width


def _condition(spells: Sequence[Spell], nodes: int) -> Condition:
    """How a cluster is while these happen."""
    groups: dict[tuple[int, ...], list[int]] = {}
    parts = [_parts(spell.fault) for spell in spells if isinstance(spell.fault, Netsplit)]
    for node in range(nodes):
        groups.setdefault(tuple(part.get(node, 0) for part in parts), []).append(node)
    return Condition(
        {spell.node for spell in spells if isinstance(spell.fault, NodeCrash) and spell.node is not None},
        [prod(_slowed(spell, node) for spell in spells) for node in range(nodes)],
        tuple(map(tuple, groups.values())),
        prod(spell.fault.factor for spell in spells if isinstance(spell.fault, LoadPulse)),
    )


def _parts(fault: Netsplit) -> dict[int, int]:
    return {node: part for part, group in enumerate(fault.groups, 1) for node in group}


def _slowed(spell: Spell, node: int) -> float:
    match spell.fault:
        case SlowNode(factor=factor) if spell.node == node:
            return factor
        case SlowDown(factor=factor):
            return factor
        case DependencySlowDown(factor=factor, share=share):
            return 1.0 - share + share * factor
    return 1.0
