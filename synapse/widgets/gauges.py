"""The Gauges widget; its page's half is ``js/gauges.js``."""

from __future__ import annotations

from synapse.widgets.window import Window


class Gauges(Window):
    """Rates, latencies with p50 and p99, slots, queue, refusals by rule, slow readers, the event loop's lag.

    Parameters are those of `Window`: which cortex.
    """

    _view = "gauges"
