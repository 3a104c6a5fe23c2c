"""Sections of a scenario: frozen values that are checked however they are made, and read and written as tables.

A field of a section holds a number or a text with a range and a unit, a value of one of several kinds (a policy, a law,
a fault), another section, or a list of these. Each is given as what it is or as the table that stands for it:
``Node(slots=3, service={"kind": "exponential", "mean": 0.05})``. So Python and TOML take the same path, and their
errors are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from synapse.policies.base import AT, Policy, PolicyError, join
from synapse.policies.decode import FAMILIES, Families, decode, encode, kinds_of
from synapse.policies.fields import annotations_of, each, expects, unit_of
from synapse.simulation.distributions import Distribution
from synapse.simulation.faults import Fault
from synapse.simulation.presence import Replication
from synapse.simulation.spec.arrivals import Arrivals

OURS: Families = {
    "law": kinds_of(Distribution),
    "fault": kinds_of(Fault),
    "arrivals": kinds_of(Arrivals),
    "replication": kinds_of(Replication),
}
"""The kinds that a scenario has beside policies."""


class Section(msgspec.Struct, frozen=True):
    """A part of a scenario.

    Raises
    ------
    PolicyError
        If a field is out of its range, with the path to it.
    """

    def __post_init__(self) -> None:
        for name, annotation in annotations_of(type(self)).items():
            msgspec.structs.force_setattr(self, name, read(annotation, getattr(self, name), name))

    def __repr__(self) -> str:
        """Without what is as usual: Python that makes it again."""
        values = ((field, getattr(self, field.name)) for field in msgspec.structs.fields(self))
        said = ", ".join(f"{field.name}={value!r}" for field, value in values if value != field.default)
        return f"{type(self).__name__}({said})"

    @classmethod
    def decode(cls, value: Any, path: str = "") -> Any:
        """Read a table of fields, each optional.

        Raises
        ------
        PolicyError
            Which field is wrong, what is allowed, in which unit.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise PolicyError(path, f"must be a table; not {value!r}")
        for name in value:
            if name not in cls.__struct_fields__:
                close = get_close_matches(str(name), cls.__struct_fields__, n=1)
                hint = f". Did you mean {close[0]!r}?" if close else f"; known are {', '.join(cls.__struct_fields__)}"
                raise PolicyError(join(path, str(name)), f"is not known{hint}")
        for field in msgspec.structs.fields(cls):
            if field.required and field.name not in value:
                problem = f"is required: {expects(annotations_of(cls)[field.name])}"
                raise PolicyError(join(path, field.name), problem)
        try:
            return cls(**value)
        except PolicyError as error:
            raise error.under(path) from None

    def encode(self) -> dict[str, Any]:
        """The table that `decode` reads back; what is absent (None) is left out."""
        items = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: plain(value) for name, value in items if value is not None}


def read(annotation: Any, value: Any, path: str) -> Any:
    """A field's value, from what stands for it.

    Raises
    ------
    PolicyError
        If it is none.
    """
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    options = _options(base)
    if value is None and NoneType in options:
        return None
    if get_origin(base) is tuple and _is_composed(get_args(base)[0]):
        return _read_list(get_args(base)[0], value, path)
    section = next((option for option in options if isinstance(option, type) and issubclass(option, Section)), None)
    if section is not None:
        return section.decode(value, path)
    kinds = tuple(option for option in options if isinstance(option, type) and issubclass(option, Policy))
    if kinds:
        family, families = _family(kinds)
        return decode(family, value, path, families)
    return _read_plain(annotation, value, path)


def plain(value: Any) -> Any:
    """A value as JSON and TOML can write it, without what is absent."""
    if isinstance(value, Section):
        return value.encode()
    if isinstance(value, Policy):
        value = encode(value)
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items() if part is not None}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def units(value: Any) -> dict[str, Any]:
    """The units of a value's fields by name, in tables as `plain` makes them. What stands on one line has one text."""
    return {name: _units(annotation, getattr(value, name)) for name, annotation in annotations_of(type(value)).items()}


def _units(annotation: Any, value: Any) -> Any:
    if isinstance(value, Section):
        return units(value)
    if isinstance(value, Policy):
        return _in_one(value)
    if isinstance(value, tuple) and value and isinstance(value[0], (Section, Policy)):
        return [units(part) for part in value]
    return unit_of(annotation)


def _in_one(value: Policy) -> str:
    """Which fields of a value are in which unit: ``base, cap in s``."""
    by_unit: dict[str, list[str]] = {}
    for name, annotation in annotations_of(type(value)).items():
        if getattr(value, name) is not None and (unit := unit_of(annotation)):
            by_unit.setdefault(unit, []).append(name)
    return "; ".join(f"{', '.join(names)} in {unit}" for unit, names in by_unit.items())


def _read_list(annotation: Any, value: Any, path: str) -> tuple[Any, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise PolicyError(path, f"must be a list; not {value!r}")
    return tuple(read(annotation, part, f"{path}[{place}]") for place, part in enumerate(value))


def _read_plain(annotation: Any, value: Any, path: str) -> Any:
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        found = AT.match(str(error))
        place = (found["path"] or "") if found else ""
        if place.startswith("[") and place[1:-1].isdigit():  # one element of a list
            annotation, value, path = each(annotation), value[int(place[1:-1])], path + place
        raise PolicyError(path, f"must be {expects(annotation)}; not {value!r}") from None


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types of a union; the type itself, if it is none."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_composed(annotation: Any) -> bool:
    return any(isinstance(option, type) and issubclass(option, (Section, Policy)) for option in _options(annotation))


@cache
def _family(kinds: tuple[type[Policy], ...]) -> tuple[str, Families]:
    """The family that the kinds are of."""
    for families in (FAMILIES, OURS):
        for family, members in families.items():
            if set(kinds) <= set(members.values()):
                return family, families
    raise TypeError(f"{kinds} are of no family")
