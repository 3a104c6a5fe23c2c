"""The Dashboard widget; its page's half is ``js/dashboard.js``."""

from __future__ import annotations

from synapse.widgets.window import Window


class Dashboard(Window):
    """Gauges, Roster, Flow and Inspector in one, with one selection.

    Parameters are those of `Window`: which cortex.
    """

    _view = "dashboard"
