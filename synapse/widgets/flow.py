"""The Flow widget; its page's half is ``js/flow.js``."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

from traitlets import Dict

from synapse.widgets.picture import picture
from synapse.widgets.table import Table, to_table
from synapse.widgets.window import Window

WIDTHS = (0.05, 3600.0)  # s


class Flow(Window):
    """A lane for each agent: its queries as spans, with a tick for each thought and an ending by colour and shape.

    Parameters
    ----------
    what
        Nothing for what happens now. Or queries that are over, to be played: a table with telemetry's columns
        (`synapse.telemetry.COLUMNS`), the path of a trace, or anything with such a table as its ``queries``.
    seconds
        The length of the window, in s.
    lanes
        How many lanes are shown at once; more can be scrolled to.
    url, api_key, token
        Which cortex, as for `synapse.connect`.

    Raises
    ------
    synapse.telemetry.TraceError
        If a table lacks a column, naming it.
    ValueError
        If a number is out of its range, or the table has more rows than a page can take, naming which.
    """

    _view = "flow"
    table = Dict().tag(sync=True)

    def __init__(self, what: Any = None, *, seconds: float = 10.0, lanes: int = 16, **cortex: str | None) -> None:
        if not WIDTHS[0] <= seconds <= WIDTHS[1]:
            raise ValueError(f"seconds must be from {WIDTHS[0]:g} to {WIDTHS[1]:g} s, not {seconds!r}")
        if not 1 <= lanes <= 100:
            raise ValueError(f"lanes must be from 1 to 100, not {lanes!r}")
        self._table: Table | None = None if what is None else to_table(what)
        super().__init__(**cortex)
        self.options = {"window": seconds, "lanes": lanes}
        if self._table is not None:
            self.source, self.cortex = "trace", name_of(what)
            self.table = self._table.for_page()

    def picture(self) -> tuple[str, str]:
        return super().picture() if self._table is None else ("image/png", b64encode(picture(self._table)).decode())


def name_of(what: Any) -> str:
    """What a table is called in the widget's repr."""
    return Path(what).name if isinstance(what, str | Path) else type(what).__name__
