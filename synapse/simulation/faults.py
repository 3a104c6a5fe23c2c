"""What goes wrong in a cluster: values, as policies are, that say what, when and for how long.

``decode({"kind": "slow-down", "at": 20, "width": 5, "factor": 4})`` gives the value that
``SlowDown(at=20, width=5, factor=4)`` is; `synapse.policies.encode` gives the table back. When each happens, and what a
cluster has to do then, `synapse.simulation.timetable` works out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from msgspec import Meta

from synapse.policies import Policy, PolicyError, kind_of
from synapse.policies.base import explained, join
from synapse.policies.fields import Bound, Delay, Rate, Seconds

Factor: TypeAlias = Annotated[float, Meta(gt=0, le=1e6)]
Group: TypeAlias = Annotated[tuple[Bound, ...], Meta(min_length=1, max_length=10_000)]


class Occasion(Policy, frozen=True, kw_only=True):
    """What all faults share: when they happen. Either `at` a time, or at a `rate`, by lot.

    Parameters
    ----------
    at
        When it happens, in s from the beginning.
    rate
        How often it happens, in 1/s, while it is not happening: the time from one's end to the next is
        exponential, with mean ``1 / rate``.
    """

    at: Annotated[Delay, Meta(description="When it happens.")] | None = None
    rate: Annotated[Rate, Meta(description="How often it happens.")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.at is None) == (self.rate is None):
            raise PolicyError("at", "is required, or rate, and not both: when it happens, in s, or how often, in 1/s")


class NodeCrash(Occasion, frozen=True, kw_only=True, tag="node-crash"):
    """A node is gone, with all that waits or runs there and all its connections.

    Parameters
    ----------
    node
        Which, from 0. None: by lot.
    restart_after
        After how long it is there again, and empty, in s. None: never.
    """

    node: Annotated[Bound, Meta(description="Which node, from 0.")] | None = None
    restart_after: Annotated[Seconds, Meta(description="After how long it is there again.")] | None = None


class SlowNode(Occasion, frozen=True, kw_only=True, tag="slow-node"):
    """A node needs `factor` times as long for all that it does.

    Parameters
    ----------
    node
        Which, from 0. None: by lot.
    factor
        How many times as long.
    width
        For how long, in s. None: to the end.
    """

    node: Annotated[Bound, Meta(description="Which node, from 0.")] | None = None
    factor: Annotated[Factor, Meta(description="How many times as long it needs.")] = 4.0
    width: Annotated[Seconds, Meta(description="For how long.")] | None = None


class SlowDown(Occasion, frozen=True, kw_only=True, tag="slow-down"):
    """All nodes need `factor` times as long for all that they do.

    Parameters
    ----------
    factor
        How many times as long.
    width
        For how long, in s. None: to the end.
    """

    factor: Annotated[Factor, Meta(description="How many times as long all need.")] = 4.0
    width: Annotated[Seconds, Meta(description="For how long.")] | None = None


class DependencySlowDown(Occasion, frozen=True, kw_only=True, tag="dependency-slow-down"):
    """What all nodes wait for in a part of their service, a database, a model, needs `factor` times as long.

    Service then takes ``1 - share + share * factor`` times as long, and holds its slot all that while.

    Parameters
    ----------
    factor
        How many times as long the dependency needs.
    share
        Which part of a service time is spent on waiting for it when all is well.
    width
        For how long, in s. None: to the end.
    """

    factor: Annotated[Factor, Meta(description="How many times as long the dependency needs.")] = 4.0
    share: Annotated[float, Meta(ge=0, le=1, description="Which part of a service waits for it.")] = 0.5
    width: Annotated[Seconds, Meta(description="For how long.")] | None = None


class Netsplit(Occasion, frozen=True, kw_only=True, tag="netsplit"):
    """Nodes reach only those of their own group. Clients still reach all.

    Parameters
    ----------
    groups
        Names of nodes, from 0. Those of no group are one more.
    heal_after
        After how long all reach all again, in s. None: never.
    """

    groups: Annotated[tuple[Group, ...], Meta(min_length=1, max_length=10_000, description="Who reaches whom.")]
    heal_after: Annotated[Seconds, Meta(description="After how long all reach all again.")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        seen: set[int] = set()
        for place, group in enumerate(self.groups):
            for node in group:
                if node in seen:
                    raise PolicyError(f"groups[{place}]", f"has node {node}, which must be named once only")
                seen.add(node)


class LoadPulse(Occasion, frozen=True, kw_only=True, tag="load-pulse"):
    """Queries arrive `factor` times as often; agents that think before they ask think that much faster.

    Parameters
    ----------
    factor
        How many times as often.
    width
        For how long, in s. None: to the end.
    """

    factor: Annotated[Factor, Meta(description="How many times as often queries arrive.")] = 2.0
    width: Annotated[Seconds, Meta(description="For how long.")] | None = None


class ReconnectHerd(Occasion, frozen=True, kw_only=True, tag="reconnect-herd"):
    """Connections break, all at once; the nodes are well.

    Parameters
    ----------
    share
        Which part of all connections.
    """

    share: Annotated[float, Meta(gt=0, le=1, description="Which part of all connections break.")] = 1.0


Fault: TypeAlias = NodeCrash | SlowNode | SlowDown | DependencySlowDown | Netsplit | LoadPulse | ReconnectHerd

KINDS: dict[str, type[Policy]] = {kind_of(cls): cls for cls in get_args(Fault)}


def decode(value: Any, path: str = "") -> Fault:
    """Read a fault.

    Parameters
    ----------
    value
        A table with its ``kind`` and fields, or a fault, which is returned as it is.
    path
        Where the value stands in a larger one, for errors.

    Raises
    ------
    PolicyError
        If the value is none: which field, what is allowed, in which unit.
    """
    if isinstance(value, get_args(Fault)):
        fault: Fault = value
        return fault
    if not isinstance(value, Mapping):
        raise PolicyError(path, f"must be a table with a kind: {', '.join(KINDS)}; not {value!r}")
    kind = value.get("kind")
    if kind not in KINDS:
        raise PolicyError(join(path, "kind"), f"must be one of {', '.join(KINDS)}; not {kind!r}{_hint(kind)}")
    cls: Any = KINDS[kind]
    try:
        fault = msgspec.convert(dict(value), cls)
    except msgspec.ValidationError as error:
        raise explained(error, cls, value).under(path) from None
    return fault


def decode_all(values: Any, path: str = "faults") -> tuple[Fault, ...]:
    """Read a list of faults.

    Raises
    ------
    PolicyError
        If it is no list, or one of them is no fault.
    """
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise PolicyError(path, f"must be a list of faults; not {values!r}")
    return tuple(decode(value, f"{path}[{place}]") for place, value in enumerate(values))


def check(faults: Iterable[Fault], nodes: int, path: str = "faults") -> None:
    """See that the nodes that are named are there.

    Raises
    ------
    PolicyError
        If one is not.
    """
    for place, fault in enumerate(faults):
        for field, node in _named(fault):
            if node >= nodes:
                problem = f"must name nodes that there are, 0 to {nodes - 1}; not {node}"
                raise PolicyError(f"{path}[{place}].{field}", problem)


def _named(fault: Fault) -> list[tuple[str, int]]:
    match fault:
        case NodeCrash(node=int(node)) | SlowNode(node=int(node)):
            return [("node", node)]
        case Netsplit(groups=groups):
            return [(f"groups[{place}]", node) for place, group in enumerate(groups) for node in group]
    return []


def _hint(kind: Any) -> str:
    close = get_close_matches(str(kind), KINDS, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
