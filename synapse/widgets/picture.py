"""A table of queries as a still picture: an SVG that needs no script, in the colours of the page's theme."""

from __future__ import annotations

from html import escape

import numpy as np

from synapse.telemetry.table import in_unit
from synapse.widgets.table import Table

WIDTH, NAMES, LANE, AXIS = 920, 130, 22, 24  # px
MOST_LANES, MOST_SPANS, TRACKS = 24, 1500, 3
COLOURS = {
    "success": "var(--jp-success-color1,#388e3c)",
    "error": "var(--jp-error-color1,#d32f2f)",
    "timeout": "var(--jp-warn-color1,#f57c00)",
    "interrupted": "#a149a8",
    "rejected": "var(--jp-error-color1,#d32f2f)",
}
TEXT = "var(--jp-ui-font-color1,#777)"


def picture(table: Table) -> str:
    """The first lanes of a table, and of very many queries an even choice; a line below says of how many."""
    lanes = table.agents[:MOST_LANES]
    chosen = np.flatnonzero(table.lane < len(lanes))
    if len(chosen) > MOST_SPANS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_SPANS).astype(int)]
    height = AXIS + LANE * max(1, len(lanes)) + 4
    scale = (WIDTH - NAMES - 12) / (table.duration or 1.0)
    parts = [_axis(table.duration, scale, height), *(_name(lane, name) for lane, name in enumerate(lanes))]
    statuses = table.frame["status"].to_numpy()
    free = [[-1.0] * TRACKS for _ in lanes]
    for row in chosen:
        track = _track(free[table.lane[row]], float(table.times["submitted"][row]), float(table.times["finished"][row]))
        parts.append(_span(table, int(row), str(statuses[row]), scale, track))
    note = f"{len(table)} queries of {len(table.agents)} agents in {in_unit(table.duration)}"
    if len(chosen) < len(table):
        note += f"; {len(chosen)} of them are drawn. Run the cell to see all."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(note)}" '
        f'viewBox="0 0 {WIDTH} {height}" '
        f'style="max-width:{WIDTH}px;width:100%;font:12px system-ui,sans-serif">{"".join(parts)}</svg>'
        f'<div style="color:var(--jp-ui-font-color2,#888);font-size:12px">{escape(note)}</div>'
    )


def _axis(duration: float, scale: float, height: int) -> str:
    ticks = []
    for tick in range(6):
        time = duration * tick / 5
        x = NAMES + time * scale
        text = in_unit(time) if time else "0 s"
        anchor = "start" if tick == 0 else "end" if tick == 5 else "middle"
        ticks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS - 4}" y2="{height}" stroke="#8883"/>'
            f'<text x="{x:.1f}" y="14" text-anchor="{anchor}" fill="{TEXT}" opacity=".75">{text}</text>'
        )
    return "".join(ticks)


def _name(lane: int, name: str) -> str:
    y = AXIS + lane * LANE
    shown = name if len(name) <= 18 else f"{name[:17]}…"
    band = f'<rect x="0" y="{y}" width="{WIDTH}" height="{LANE}" fill="#8881"/>' if lane % 2 else ""
    return f'{band}<text x="4" y="{y + LANE / 2 + 4}" fill="{TEXT}">{escape(shown)}</text>'


def _track(free: list[float], begin: float, end: float) -> int:
    """The first place side by side that is free by then; `free` says from when each is."""
    track = next((place for place, time in enumerate(free) if time <= begin), TRACKS - 1)
    free[track] = end
    return track


def _span(table: Table, row: int, status: str, scale: float, track: int) -> str:
    begin, started, first, end = (float(table.times[name][row]) for name in table.times)
    colour, tall = COLOURS.get(status, TEXT), (LANE - 4) / TRACKS - 1
    y = round(AXIS + int(table.lane[row]) * LANE + 2 + track * (tall + 1), 1)
    x, to = NAMES + begin * scale, NAMES + end * scale
    middle = NAMES + (end if np.isnan(started) else started) * scale
    if status == "rejected":
        return f'<path d="M{x - 2.5:.1f} {y}l5 5m0 -5l-5 5" stroke="{colour}" stroke-width="1.6"/>'
    parts = [
        f'<rect x="{x:.1f}" y="{y + tall / 2 - 1:.1f}" width="{max(0.0, middle - x):.1f}" height="2" fill="#8886"/>'
    ]
    parts.append(
        f'<rect x="{middle:.1f}" y="{y}" width="{max(1.0, to - middle):.1f}" height="{tall:g}" fill="{colour}" '
        'opacity=".35"/>'
        f'<rect x="{max(middle, to - 2.5):.1f}" y="{y}" width="2.5" height="{tall:g}" fill="{colour}"/>'
    )
    if not np.isnan(first):
        at = NAMES + first * scale
        parts.append(f'<rect x="{at:.1f}" y="{y}" width="1" height="{tall:g}" fill="{TEXT}"/>')
    return "".join(parts)
