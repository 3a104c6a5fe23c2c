"""The Roster widget; its page's half is ``js/roster.js``."""

from __future__ import annotations

from synapse.widgets.window import Window


class Roster(Window):
    """Who is here: state, load, queries, connections, round trip. Sort by a heading, filter by words; a click selects.

    Parameters are those of `Window`: which cortex.
    """

    _view = "roster"
