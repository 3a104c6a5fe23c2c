"""Shipping: values on their way to a worker, with the policies that a notebook or another package defines.

cloudpickle sends what a notebook defines by value, functions and plain classes; but it makes a struct without its
fields. So the definition of a struct goes in place of it, and a worker defines it again, and registers it. Its methods
may name it and call `super`; only its fields' types must not name it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from synapse.experiment.fingerprint import config_of, fingerprint, own, own_fields
from synapse.policies.base import Policy
from synapse.policies.decode import register, registered

_sent: dict[str, type] = {}  # by fingerprint: defined in this process
_made: dict[str, type] = {}  # by fingerprint: defined elsewhere, and here again


def dumps(value: Any) -> bytes:
    """A value as bytes, with the definitions of what a worker cannot import."""
    made = io.BytesIO()
    _Pickler(made).dump(value)
    return made.getvalue()


def loads(data: bytes) -> Any:
    """What `dumps` was given. Foreign policies that it uses are registered then."""
    return cloudpickle.loads(data)


class Parcel:
    """A value on its way to a worker: in this process it stays what it is, in another it is made when it is opened.

    Parameters
    ----------
    value
        The value.
    data
        What `dumps` has made of it, in its place.
    """

    def __init__(self, value: Any, data: bytes | None = None) -> None:
        self._value = value
        self._data = data

    def __reduce__(self) -> Any:
        return type(self), (None, dumps(self._value) if self._data is None else self._data)

    def open(self) -> Any:
        """The value."""
        return self._value if self._data is None else loads(self._data)


def foreign(value: Any) -> list[type[Policy]]:
    """The policies within a value that are not Synapse's own, by their names."""
    found = {cls for cls in _policies(value) if not _is_ours(cls)}
    return sorted(found, key=lambda cls: (cls.__module__, cls.__qualname__))


def _policies(value: Any) -> Iterator[type[Policy]]:
    if isinstance(value, Policy):
        yield type(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.astuple(value)
    elif isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _policies(part)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if not (isinstance(obj, type) and issubclass(obj, msgspec.Struct)) or _is_ours(obj):
            return super().reducer_override(obj)
        if not _can_be_imported(obj):
            return _defined(obj)
        if issubclass(obj, Policy) and registered(obj):
            return _import, (obj.__module__, obj.__qualname__)
        return super().reducer_override(obj)


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] == "synapse"


def _can_be_imported(cls: type) -> bool:
    try:
        return cls.__module__ != "__main__" and attrgetter(cls.__qualname__)(sys.modules.get(cls.__module__)) is cls
    except AttributeError:
        return False


def _import(module: str, qualname: str) -> type[Policy]:
    return register(attrgetter(qualname)(import_module(module)))


def _defined(cls: type[msgspec.Struct]) -> tuple[Any, ...]:
    """How to define a struct: at first without its methods, since they may name it."""
    name = fingerprint(cls)
    if name not in _made:
        _sent[name] = cls
    fields = [(field.name, field.type, _default(field), field.encode_name) for field in own_fields(cls)]
    body = own(cls)
    head = (name, cls.__module__, cls.__qualname__, cls.__bases__, fields, config_of(cls), "__post_init__" in body)
    is_known = issubclass(cls, Policy) and registered(cls)
    return _skeleton, head, (body, cls.__doc__, is_known), None, None, _fill


def _default(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    """What a field is if nobody says; empty if somebody has to."""
    values = {"default": field.default, "default_factory": field.default_factory}
    return {name: value for name, value in values.items() if value is not msgspec.NODEFAULT}


def _skeleton(
    name: str,
    module: str,
    qualname: str,
    bases: tuple[type, ...],
    fields: list[Any],
    config: dict[str, Any],
    checks: bool,
) -> type:
    if here := _sent.get(name) or _made.get(name):
        return here
    filled = [(field, kind, msgspec.field(**default, name=encoded)) for field, kind, default, encoded in fields]
    namespace = {"__post_init__": _post_init} if checks else {}
    cls = msgspec.defstruct(
        qualname.rpartition(".")[2], filled, bases=bases, module=module, namespace=namespace, **config
    )
    cls.__qualname__ = qualname
    _made[name] = cls
    return cls


def _post_init(self: Any) -> None:
    """What msgspec keeps from when the struct is defined; by the time it is called, its own is there."""
    type(self).__post_init__(self)


def _fill(cls: Any, state: tuple[dict[str, Any], str | None, bool]) -> None:
    body, doc, is_known = state
    if cls not in _made.values():
        return
    for name, value in body.items():
        setattr(cls, name, value)
    cls.__doc__ = doc
    if is_known:
        register(cls)
