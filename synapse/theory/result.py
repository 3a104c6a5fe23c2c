"""What the formulas give back: frozen values that show their units."""

from __future__ import annotations

import dataclasses
import html
from typing import Any, TypeAlias

import numpy as np

Value: TypeAlias = Any
"""A float; or, if any argument was an array, an array of their common shape. (numpy types its own ufuncs so.)"""

VOCABULARY = {
    "lam": ("/s", "arrival rate"),
    "mu": ("/s", "service rate of one server"),
    "c": ("", "servers"),
    "k": ("", "places, at a server or waiting"),
    "n": ("", "sources"),
    "d": ("", "servers asked, of which the shortest queue is joined"),
    "scv": ("", "squared coefficient of variation of a service time"),
    "patience": ("s", "law of patience"),
    "think": ("s", "mean think time"),
    "service": ("s", "mean service time"),
    "utilisation": ("", "share of the servers that is busy"),
    "p_wait": ("", "probability to wait"),
    "p_block": ("", "probability to be turned away"),
    "p_abandon": ("", "probability to leave before service"),
    "throughput": ("/s", "services completed"),
    "L": ("", "mean number in the system"),
    "Lq": ("", "mean number in the queue"),
    "W": ("s", "mean time in the system"),
    "Wq": ("s", "mean wait in the queue"),
    "Wq_served": ("s", "mean wait of those who are served"),
    "load": ("", "asked rate over granted rate"),
    "admitted": ("", "fraction admitted"),
    "refused": ("", "fraction refused"),
    "goodput": ("/s", "rate admitted"),
    "timeout": ("s", "time after which a client gives up on an attempt"),
    "retries": ("", "retries after the first attempt"),
    "region": ("", "stable, vulnerable or doomed"),
    "lam_stable": ("/s", "rate below which it always recovers"),
    "lam_star": ("/s", "rate below which a healthy state exists"),
    "healthy": ("/s", "attempts in the healthy state"),
    "unstable": ("/s", "attempts at the tipping point"),
    "collapsed": ("/s", "attempts in the collapsed state"),
    "p_timeout": ("", "attempts that time out, in the healthy state"),
    "amplification": ("", "attempts per query, in the healthy state"),
}
"""The unit and the meaning of every field, said once for all models."""

_ROWS = 12  # more make a page, not a table


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The base of all results: how they show themselves.

    `dataclasses.asdict` makes a dict of one, for a table.
    """

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={shown(value)}" for name, value in _items(self))
        return f"{type(self).__name__}({fields})"

    def _repr_html_(self) -> str:
        items = _items(self)
        if any(np.ndim(value) for _, value in items):
            table = _one_row_each(items)
        else:
            table = "".join(
                f"<tr>{_left(name)}{_right(shown(value))}<td>{_unit(name)}</td>"
                f'<td style="text-align:left">{html.escape(VOCABULARY.get(name, ("", ""))[1])}</td></tr>'
                for name, value in items
            )
        return f"<table><caption>{type(self).__name__}</caption>{table}</table>"


def shown(value: Any) -> str:
    """A number to 6 digits, an array in short."""
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, threshold=8, edgeitems=3, separator=", ")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _items(result: Result) -> list[tuple[str, Any]]:
    return [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result)]


def _one_row_each(items: list[tuple[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(name)}{_in_brackets(name)}</th>" for name, _ in items)
    columns = np.broadcast_arrays(*(np.asarray(value) for _, value in items))
    rows = list(zip(*(column.ravel().tolist() for column in columns), strict=True))
    body = "".join("<tr>" + "".join(_right(shown(value)) for value in row) + "</tr>" for row in rows[:_ROWS])
    if len(rows) > _ROWS:
        body += f'<tr><td colspan="{len(items)}">… {len(rows) - _ROWS} more</td></tr>'
    return f"<tr>{head}</tr>{body}"


def _left(text: str) -> str:
    return f'<th scope="row" style="text-align:left">{html.escape(text)}</th>'


def _right(text: str) -> str:
    return f'<td style="text-align:right">{html.escape(text)}</td>'


def _unit(name: str) -> str:
    return html.escape(VOCABULARY.get(name, ("", ""))[0])


def _in_brackets(name: str) -> str:
    return f" ({_unit(name)})" if _unit(name) else ""
