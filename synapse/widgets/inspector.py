"""The Inspector widget; its page's half is ``js/inspector.js``."""

from __future__ import annotations

from synapse.widgets.window import Window


class Inspector(Window):
    """All messages of the query that is selected in a Flow, as they went over the wire, with times and sizes.

    Parameters are those of `Window`: which cortex.
    """

    _view = "inspector"
