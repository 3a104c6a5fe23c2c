"""What a policy's fields may hold, said once: the type, the range and the unit, and the words for them.

The range stands in `msgspec.Meta`, where msgspec enforces it and JSON Schema shows it; the unit stands beside it
under ``extra``. `expects` turns both into the words of an error.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

# Every number is finite: `le` keeps infinity out, and no comparison holds for NaN.
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=1e9, extra={"unit": "s"})]
Delay: TypeAlias = Annotated[float, Meta(ge=0, le=1e9, extra={"unit": "s"})]
Rate: TypeAlias = Annotated[float, Meta(gt=0, le=1e9, extra={"unit": "1/s"})]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=10**9)]
Bound: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1, le=2**50, extra={"unit": "bytes"})]
Share: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]
Per: TypeAlias = Literal["connection", "agent", "key", "global"]

NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", NoneType: "null"}
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def annotations_of(cls: type) -> dict[str, Any]:
    """The annotations of a policy's fields, with their ranges and units."""
    hints = get_type_hints(cls, include_extras=True)
    names: tuple[str, ...] = cls.__struct_fields__  # type: ignore[attr-defined]
    return {name: hints[name] for name in names}


def expects(annotation: Any) -> str:
    """What a field accepts, in words: ``a number > 0 and <= 1e+09, in s``."""
    base, metas = _apart(annotation)
    origin, inner = get_origin(base), get_args(base)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in inner)
    if origin in (Union, UnionType):
        return " or ".join(expects(choice) for choice in inner)
    if origin is tuple:
        return f"a list{_lengths(metas)}, each {expects(inner[0])}"
    if origin is dict:
        return f"a table of names{_lengths(metas)}, each {expects(inner[1])}"
    return NAMES.get(base, getattr(base, "__name__", str(base))) + _range(metas)


def each(annotation: Any) -> Any:
    """What each element of a list or a table may be."""
    base, _ = _apart(annotation)
    return get_args(base)[1 if get_origin(base) is dict else 0]


def unit_of(annotation: Any) -> str:
    """The unit of what a field holds, or of what each element of it is; empty if it has none."""
    base, metas = _apart(annotation)
    units = [meta.extra["unit"] for meta in metas if meta.extra and "unit" in meta.extra]
    return units[-1] if units else next((unit for inner in get_args(base) if (unit := unit_of(inner))), "")


def _apart(annotation: Any) -> tuple[Any, list[Meta]]:
    """A type, and what is said of it."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    base, *notes = get_args(annotation)
    return base, [note for note in notes if isinstance(note, Meta)]


def _range(metas: list[Meta]) -> str:
    limits = [
        f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}"
        for meta in metas
        for name, sign in SIGNS.items()
        if (limit := getattr(meta, name)) is not None
    ]
    units = [meta.extra["unit"] for meta in metas if meta.extra and "unit" in meta.extra]
    return (" " + " and ".join(limits) if limits else "") + (f", in {units[-1]}" if units else "")


def _lengths(metas: list[Meta]) -> str:
    lengths = [
        f"{word} {length}"
        for meta in metas
        for name, word in (("min_length", "at least"), ("max_length", "at most"))
        if (length := getattr(meta, name)) is not None
    ]
    return " of " + " and ".join(lengths) if lengths else ""
