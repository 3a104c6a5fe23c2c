"""What every policy is: a frozen, typed value with a ``kind``, checked however it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from synapse.policies.fields import annotations_of, each, expects

AT = re.compile(r"^(?P<text>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
MISSING = re.compile(r"missing required field `(.+)`")
UNKNOWN = re.compile(r"unknown field `(.+)`")


class PolicyError(ValueError):
    """A policy that makes no sense: where, and what would.

    Parameters
    ----------
    path
        The field, from the outside in: ``policies[1].rate``. Empty for the whole value.
    problem
        What is wrong, with the allowed range and its unit.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[type[PolicyError], tuple[str, str]]:
        return type(self), (self.path, self.problem)

    def under(self, path: str) -> PolicyError:
        """The same, seen from further out."""
        return PolicyError(join(path, self.path), self.problem)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The base of all policies. A subclass names its kind: ``class Mine(Policy, frozen=True, tag="mine")``.

    A value made in Python is held to the same ranges as one that is decoded, and becomes equal to it:
    lists turn into tuples, whole numbers into floats where a float is meant.

    Raises
    ------
    PolicyError
        If a field is out of its range.
    """

    def __post_init__(self) -> None:
        cls = type(self)
        if not cls.__struct_fields__:
            return
        try:
            checked: Any = msgspec.convert(self, _shadow(cls), from_attributes=True)
        except msgspec.ValidationError as error:
            raise explained(error, cls, {name: getattr(self, name) for name in cls.__struct_fields__}) from None
        for name in cls.__struct_fields__:
            msgspec.structs.force_setattr(self, name, getattr(checked, name))


class Running:
    """What the states of policies share: a policy, and a repr that shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {getattr(self, 'policy', None)!r}>"


def join(path: str, rest: str) -> str:
    """Two parts of a path in one."""
    return path + rest if not path or not rest or rest.startswith("[") else f"{path}.{rest}"


def explained(error: msgspec.ValidationError, cls: type, value: Mapping[str, Any]) -> PolicyError:
    """What msgspec found wrong with a value for `cls`, in our words."""
    if isinstance(error.__cause__, PolicyError):
        return error.__cause__
    found = AT.match(str(error))
    assert found is not None  # the pattern matches every text
    text, path = found["text"], (found["path"] or "").lstrip(".")
    fields = annotations_of(cls)
    if missing := MISSING.search(text):
        return PolicyError(missing[1], f"is required: {expects(fields[missing[1]])}")
    if unknown := UNKNOWN.search(text):
        known = ", ".join(fields) or "no fields"
        return PolicyError(unknown[1], f"is no field of {kind_of(cls)!r}, which has {known}")
    name, _, place = path.partition("[")
    if name not in fields:
        return PolicyError(path, text)
    if place:
        return _explained_element(name, place, fields[name], value[name])
    return PolicyError(path, f"must be {expects(fields[name])}; not {_short(value.get(name))}")


def _explained_element(path: str, places: str, annotation: Any, value: Any) -> PolicyError:
    """What is wrong with one element of a list, or of a table: msgspec does not say which one that is."""
    place, _, deeper = places.partition("]")
    expected = each(annotation)
    if isinstance(value, Mapping):
        name = next((name for name, part in value.items() if not _fits(part, expected)), place)
        path, element = f"{path}.{name}", value.get(name)
    else:
        path, element = f"{path}[{place}]", value[int(place)]
    if deeper:
        return _explained_element(path, deeper[1:], expected, element)
    return PolicyError(path, f"must be {expects(expected)}; not {_short(element)}")


def _fits(value: Any, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def kind_of(cls: type) -> str:
    """The name a policy goes by in TOML and JSON."""
    config = cls.__struct_config__  # type: ignore[attr-defined]
    return str(config.tag)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _shadow(cls: type) -> type:
    """A plain struct of the same fields, to check values against without making another policy."""
    return msgspec.defstruct(cls.__name__, list(annotations_of(cls).items()))
