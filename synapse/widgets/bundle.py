"""One ES module out of the few that a widget is made of: an anywidget cannot import its neighbours' files.

Each module keeps a scope of its own, and gets what it imports from those before it. Only the one form
``import { a, b } from "./x.js"`` and ``export class``, ``export function`` and ``export const`` are understood,
which is all that our modules use.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "js"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function|const) (\w+))", re.MULTILINE)


@cache
def module(view: str) -> str:
    """The module of a widget: the function `view` of ``view.js``, made a widget by ``widget.js``."""
    parts: dict[str, str] = {}
    for name in ("widget", view):
        _add(name, parts)
    return "".join(parts.values()) + f"export default $widget.widget(${view}.{view});\n"


def _add(name: str, parts: dict[str, str]) -> None:
    """Add a module behind those that it needs."""
    if name in parts:
        return
    source = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(source):
        _add(needed, parts)
    exports = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{{found[1]}}} = ${found[2]};\n", source))
    parts[name] = f"const ${name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n"
