"""Tables as TOML, which the standard library reads but does not write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> str:
    """TOML text: plain values first, then a section for each table, and one for each table of a list.

    `notes` is a table of the same form with a comment for each line, or an empty text.
    """
    return "\n".join(_section((), table, notes or {})).strip() + "\n"


def _section(path: tuple[str, ...], table: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[str]:
    """A table's own lines. What has a kind stands on one line: it is a value."""
    later: list[tuple[str, Any]] = []
    for name, value in table.items():
        tables = isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value)
        if tables or (isinstance(value, Mapping) and "kind" not in value):
            later.append((name, value))
        else:
            note = notes.get(name, "")
            yield f"{_key(name)} = {inline(value)}" + (f"  # {note}" if note else "")
    for name, value in later:
        heading = (*path, _key(name))
        remarks = notes.get(name, {})
        for place, part in enumerate(value if isinstance(value, list) else (value,)):
            opening, closing = ("[[", "]]") if isinstance(value, list) else ("[", "]")
            yield ""
            yield opening + ".".join(heading) + closing
            yield from _section(heading, part, remarks[place] if isinstance(remarks, list) else remarks)


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {inline(part)}" for name, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)
