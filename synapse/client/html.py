"""Small static HTML for notebooks: works without JavaScript, in saved files, and in light and dark themes.

Every value is escaped here, so callers hand in plain text. The second colour in each pair is for pages without
Jupyter's variables (VS Code, a saved page), whose background is not known: it must do on black and on white.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

_BOX = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);"
    "color:var(--jp-ui-font-color1,inherit);border:1px solid var(--jp-border-color2,#8886);"
    "border-left:3px solid {accent};border-radius:3px;padding:6px 10px;margin:4px 0;max-width:46em;overflow-x:auto"
)
_DIM = "color:var(--jp-ui-font-color2,#888)"
_CELL = "text-align:left;vertical-align:top;padding:1px 14px 1px 0;white-space:pre-wrap"
_ACCENTS = {
    "good": "var(--jp-success-color1,#388e3c)",
    "bad": "var(--jp-error-color1,#d32f2f)",
    "busy": "var(--jp-brand-color1,#1976d2)",
    "odd": "var(--jp-warn-color1,#f57c00)",
    "plain": "var(--jp-border-color1,#999)",
}
_OF_STATUS = {
    "success": "good",
    "joined": "good",
    "serving": "good",
    "error": "bad",
    "timeout": "bad",
    "refused": "bad",
    "lost": "bad",
    "interrupted": "odd",
    "waiting": "busy",
    "thinking": "busy",
    "joining": "busy",
    "connecting": "busy",
    "disconnected": "odd",
}


def card(title: str, status: str, fields: Iterable[tuple[str, object]], *, body: str = "") -> str:
    """A box with a title, a status that gives it its colour, and named fields. `body` is HTML already."""
    rows = "".join(
        # Jupyter's style stripes a table's rows; of two or three fields that is no help to the eye.
        f'<tr style="background:transparent"><th style="{_CELL};{_DIM};font-weight:normal">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(short(value))}</td></tr>'
        for name, value in fields
    )
    accent = _ACCENTS[_OF_STATUS.get(status, "plain")]
    return (
        f'<div class="synapse" style="{_BOX.format(accent=accent)}">'
        f'<b>{escape(title)}</b> <span style="{_DIM}">{escape(status)}</span>'
        f'<table style="border-collapse:collapse;margin:2px 0 0">{rows}</table>{body}</div>'
    )


def table(title: str, note: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A box with a table in it."""
    heads = "".join(f'<th style="{_CELL};{_DIM}">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(short(value))}</td>' for value in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="synapse" style="{_BOX.format(accent=_ACCENTS["plain"])}"><b>{escape(title)}</b> '
        f'<span style="{_DIM}">{escape(note)}</span>'
        f'<table style="border-collapse:collapse;margin:2px 0 0">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def steps(thoughts: Iterable[str], hidden: int) -> str:
    """The last thoughts of a query as a list; `hidden` says how many stand before them."""
    items = "".join(f"<li>{escape(short(thought))}</li>" for thought in thoughts)
    before = f'<div style="{_DIM}">… {hidden} earlier</div>' if hidden else ""
    return f'{before}<ol start="{hidden + 1}" style="margin:2px 0 0;padding-left:1.8em">{items}</ol>' if items else ""


def text(value: str, limit: int, *, quiet: bool = False) -> str:
    """A text with its own lines, of which the last `limit` characters are kept."""
    cut = f"… ({len(value)} characters) …" if len(value) > limit else ""
    style = f"white-space:pre-wrap;margin:4px 0 0{';' + _DIM if quiet else ''}"
    return f'<div style="{style}">{escape(cut + value[-limit:])}</div>'


def short(value: object, limit: int = 400) -> str:
    """Text of a value, cut to `limit` characters: a notebook keeps its outputs."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def milliseconds(seconds: float) -> str:
    """A duration to three digits that say something."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def clock(unix_seconds: float | None) -> str:
    """A point in time, UTC, to the second."""
    if unix_seconds is None or not 0 <= unix_seconds < 253402300800:  # the year 10000
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(unix_seconds))
