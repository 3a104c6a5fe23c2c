"""What a class that is not Synapse's does, as a short text: the same in any process, and another after an edit."""

from __future__ import annotations

import dis
import pickle
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from inspect import Parameter, signature
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import msgspec

SLOT = (MemberDescriptorType, GetSetDescriptorType)
PLAIN = (type(None), type(...), type(msgspec.NODEFAULT), bool, int, float, complex, str, bytes)
MADE = {  # by Python or msgspec, for each class anew
    *("__annotations__", "__classcell__", "__doc__", "__firstlineno__", "__match_args__", "__module__", "__qualname__"),
    *("__annotate_func__", "__annotations_cache__", "__signature__", "__slots__", "__static_attributes__"),
}
CONFIG = (
    *("array_like", "cache_hash", "dict", "eq", "forbid_unknown_fields", "frozen", "gc", "omit_defaults", "order"),
    *("repr_omit_defaults", "tag", "tag_field", "weakref"),
)


def fingerprint(cls: type) -> str:
    """A digest of a class: its fields, and the code of its methods with all that they use of its package or notebook.

    What they use of other packages counts by its name alone.
    """
    walk = _Walk(_package(cls))
    walk.add(cls)
    return walk.digest.hexdigest()


def own(cls: type) -> dict[str, Any]:
    """What the body of a class defines, but for its fields."""
    return {
        name: value
        for name, value in vars(cls).items()
        if name not in MADE and not name.startswith("__struct_") and not isinstance(value, SLOT)
    }


def own_fields(cls: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """The fields that a struct's own body defines."""
    return [field for field in msgspec.structs.fields(cls) if field.name in cls.__annotations__]


def config_of(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The arguments by which a struct is as it is: frozen, tag and so on."""
    named = [each.name for each in signature(cls).parameters.values() if each.kind is Parameter.KEYWORD_ONLY]
    config = {name: getattr(cls.__struct_config__, name) for name in CONFIG}
    return {**config, "kw_only": any(field.name in named for field in own_fields(cls))}


class _Walk:
    """Goes through all that a value is made of.

    Parameters
    ----------
    package
        Whose code is looked into.
    """

    def __init__(self, package: str) -> None:
        self.digest = blake2b(digest_size=16)
        self._package = package
        self._seen: dict[int, tuple[int, Any]] = {}  # keeps what it has seen, so that no other gets its id

    def add(self, value: Any) -> None:
        if isinstance(value, PLAIN):
            self._tell(repr(value))
        elif isinstance(value, (tuple, CodeType, frozenset)):  # of which equal ones may be one and the same, or not
            self._add_parts(value)
        elif id(value) in self._seen:
            self._tell(f"#{self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value
            self._add_parts(value)

    def _add_parts(self, value: Any) -> None:
        self._tell(f"<{type(value).__qualname__}")
        for part in self._parts(value):
            self.add(part)
        self._tell(">")

    def _tell(self, text: str) -> None:
        self.digest.update(text.encode() + b"\0")

    def _parts(self, value: Any) -> Iterator[Any]:
        if isinstance(value, (type, FunctionType)) and _package(value) != self._package:
            return iter((value.__module__, value.__qualname__))
        for kind, parts in PARTS.items():
            if isinstance(value, kind):
                return iter(parts(value))
        return _of_object(value)


def _package(value: Any) -> str:
    return str(value.__module__ or "").split(".")[0]


def _of_class(cls: type) -> Iterator[Any]:
    yield from (cls.__qualname__, *cls.__bases__, *own(cls).items())
    if issubclass(cls, msgspec.Struct):
        yield config_of(cls)
        for field in own_fields(cls):
            yield from (field.name, field.encode_name, repr(field.type))
            yield from (
                repr(each) if each is msgspec.NODEFAULT else each for each in (field.default, field.default_factory)
            )


def _of_function(function: FunctionType) -> Iterator[Any]:
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # of a function that is defined later
            yield None
    for name in sorted(_globals_of(function.__code__)):
        yield name
        yield function.__globals__.get(name)  # None: a builtin, or not there yet


def _globals_of(code: CodeType) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals_of(const) for const in code.co_consts if isinstance(const, CodeType)))


def _of_code(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


def _of_object(value: Any) -> Iterator[Any]:
    yield type(value)
    if isinstance(value, msgspec.Struct):
        yield from msgspec.structs.astuple(value)
    elif hasattr(value, "__dict__"):
        yield from vars(value).items()
    else:
        try:
            yield pickle.dumps(value, protocol=4)
        except (TypeError, AttributeError, pickle.PicklingError):
            yield "?"  # a lock, a file: nothing that says what comes out


PARTS: dict[Any, Any] = {
    type: _of_class,
    FunctionType: _of_function,
    CodeType: _of_code,
    ModuleType: lambda module: (module.__name__,),
    (list, tuple): lambda items: items,
    (set, frozenset): lambda items: sorted(items, key=repr),
    dict: lambda table: table.items(),
    (staticmethod, classmethod): lambda method: (method.__func__,),
    MethodType: lambda method: (method.__func__, method.__self__),
    property: lambda made: (made.fget, made.fset, made.fdel),
    cached_property: lambda made: (made.func,),
}
"""What is looked at, of each type."""
