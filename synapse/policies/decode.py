"""One decoder for all policies: from Python, TOML, JSON and Jupyter's configuration, with errors that help.

``decode("rate-limit", {"kind": "token-bucket", "rate": 5, "burst": 10})`` gives the value that
``TokenBucket(rate=5, burst=10)`` is, and `encode` gives the table back.

A package can add a policy of its own: a `Policy` whose class attribute `family` names one of `FAMILIES`, behind
an entry point of the group ``synapse.policies`` that is named like its kind. It is loaded when first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias, get_args

import msgspec

from synapse.policies.balancing import BalancingPolicy
from synapse.policies.base import Policy, PolicyError, explained, join, kind_of
from synapse.policies.concurrency import ConcurrencyPolicy
from synapse.policies.connections import ConnectionsPolicy
from synapse.policies.mailbox import MailboxPolicy
from synapse.policies.queue import QueuePolicy
from synapse.policies.rate import All, RateLimitPolicy
from synapse.policies.retry import GuardPolicy, RetryPolicy
from synapse.policies.timeout import HedgePolicy, TimeoutPolicy

GROUP = "synapse.policies"

Kinds: TypeAlias = dict[str, type[Policy]]
Families: TypeAlias = Mapping[str, Kinds]


def kinds_of(union: Any) -> Kinds:
    """The kinds that a union of policies has, by name."""
    return {kind_of(cls): cls for cls in get_args(union) or (union,)}


FAMILIES: dict[str, Kinds] = {
    "rate-limit": kinds_of(RateLimitPolicy),
    "concurrency": kinds_of(ConcurrencyPolicy),
    "queue": kinds_of(QueuePolicy),
    "timeout": kinds_of(TimeoutPolicy),
    "hedge": kinds_of(HedgePolicy),
    "retry": kinds_of(RetryPolicy),
    "guard": kinds_of(GuardPolicy),
    "mailbox": kinds_of(MailboxPolicy),
    "connections": kinds_of(ConnectionsPolicy),
    "balancing": kinds_of(BalancingPolicy),
}
"""The kinds of each family that are known so far."""


def decode(family: str, value: Any, path: str = "", families: Families | None = None) -> Any:
    """Read a policy.

    Parameters
    ----------
    family
        One of `FAMILIES`, or of the `families` given.
    value
        A table with its ``kind`` and fields, a kind alone (all else as usual), or a policy, which is returned as it is.
        The kind may be left out where it is called like the family, as that of ``connections`` is.
    path
        Where the value stands in a larger one, for errors.
    families
        The kinds of other families, which read the same but are no policies: a simulation's laws and faults.

    Returns
    -------
    Policy
        A value of one of the family's kinds.

    Raises
    ------
    PolicyError
        If the value is none of them: which field, what is allowed, in which unit.
    """
    kinds = (FAMILIES if families is None else families)[family]
    if isinstance(value, Policy):
        return _known(family, kinds, value, path)
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise PolicyError(path, f"must be a table with a kind: {', '.join(kinds)}; not {value!r}")
    if "kind" not in value and family in kinds:  # the only one of its name: connections
        value = {"kind": family, **value}
    cls = _class(family, kinds, value.get("kind"), path)
    if cls is All:
        return _decode_all(value, path)
    try:
        return msgspec.convert(dict(value), cls)
    except msgspec.ValidationError as error:
        raise explained(error, cls, value).under(path) from None


def decode_parts(families: Mapping[str, str], value: Any, path: str = "") -> dict[str, Any]:
    """Read several policies from one table.

    Parameters
    ----------
    families
        The family of each part that there may be: ``{"queue": "queue", "limit": "rate-limit"}``.
    value
        A table of parts. Each may be absent.
    path
        Where the value stands in a larger one, for errors.

    Returns
    -------
    dict
        The parts that are there.

    Raises
    ------
    PolicyError
        If a part is not known, or is no policy of its family.
    """
    if not isinstance(value, Mapping):
        raise PolicyError(path, f"must be a table; not {value!r}")
    for name in value:
        if name not in families:
            raise PolicyError(join(path, str(name)), "is not known" + _hint(name, families))
    return {name: decode(families[name], part, join(path, name)) for name, part in value.items()}


def encode(policy: Policy) -> dict[str, Any]:
    """A policy as a plain table: what JSON and TOML can write, and `decode` reads back."""
    table = {name: _plain(value) for name, value in msgspec.structs.asdict(policy).items()}
    return {"kind": kind_of(type(policy)), **table}


def register(cls: type[Policy]) -> type[Policy]:
    """Make a policy known to its `family`, as an entry point would. Can be used as a decorator.

    A class takes the place of an older one of the same module and name, as when a notebook's cell runs again.

    Raises
    ------
    TypeError
        If it is not a frozen `Policy`, names no family, or its kind is taken.
    """
    family = getattr(cls, "family", None)
    if not (isinstance(cls, type) and issubclass(cls, Policy)):
        raise TypeError(f"{cls!r} is no Policy")
    if not cls.__struct_config__.frozen:
        raise TypeError(f"{cls.__name__} is not frozen")
    if family not in FAMILIES:
        raise TypeError(f"{cls.__name__}.family must be one of {', '.join(FAMILIES)}; not {family!r}")
    if kind_of(cls) in FAMILIES[family] and not registered(cls):
        raise TypeError(f"there is a {family} policy of the kind {kind_of(cls)!r} already")
    FAMILIES[family][kind_of(cls)] = cls
    return cls


def registered(cls: type[Policy]) -> bool:
    """Whether a policy is known to its `family`; or was, until its definition ran again."""
    return _is_among(FAMILIES.get(getattr(cls, "family", ""), {}), cls)


def _is_among(kinds: Kinds, cls: type[Policy]) -> bool:
    known = kinds.get(kind_of(cls))
    return known is not None and _name(known) == _name(cls)


def _name(cls: type) -> tuple[str, str]:
    """Where a class is defined. A program's own module has another name in the processes that it spawns."""
    return "__main__" if cls.__module__ == "__mp_main__" else cls.__module__, cls.__qualname__


def _known(family: str, kinds: Kinds, policy: Policy, path: str) -> Policy:
    if not _is_among(kinds, type(policy)):
        noun = f"{family} policy" if family in FAMILIES else family
        raise PolicyError(path, f"must be a {noun}; {policy!r} is none")
    return policy


def _class(family: str, kinds: Kinds, kind: Any, path: str) -> type[Policy]:
    if kind is None:
        raise PolicyError(join(path, "kind"), f"is required: one of {', '.join(kinds)}")
    if isinstance(kind, str) and (kind in kinds or (family in FAMILIES and _load(family, kind, path))):
        return kinds[kind]
    problem = f"must be one of {', '.join(kinds)}; not {kind!r}{_hint(kind, kinds)}"
    raise PolicyError(join(path, "kind"), problem)


def _hint(name: Any, names: Mapping[str, Any]) -> str:
    close = get_close_matches(str(name), names, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""


def _load(family: str, kind: str, path: str) -> bool:
    """Look for an entry point of this kind. Only here, so that what is never asked for is never imported."""
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=kind):
        try:
            cls = point.load()
            if getattr(cls, "family", None) == family:
                register(cls)
        except Exception as error:
            raise PolicyError(join(path, "kind"), f"{kind!r} ({point.value}) cannot be loaded: {error}") from error
    return kind in FAMILIES[family]


def _decode_all(value: Mapping[str, Any], path: str) -> All:
    members = value.get("policies", ())
    for name in value:
        if name not in ("kind", "policies"):
            raise PolicyError(join(path, str(name)), "is no field of 'all', which has policies")
    if isinstance(members, (str, Mapping)) or not hasattr(members, "__iter__"):
        raise PolicyError(join(path, "policies"), f"must be a list of rate limits; not {members!r}")
    where = join(path, "policies")
    policies = [decode("rate-limit", member, f"{where}[{place}]") for place, member in enumerate(members)]
    try:
        return All(tuple(policies))
    except PolicyError as error:
        raise error.under(path) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Policy):
        return encode(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
