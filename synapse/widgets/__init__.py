"""The window: presence and message flow, live in a notebook.

>>> from synapse import widgets
>>> widgets.Dashboard()  # doctest: +SKIP

`Roster` shows who is here, `Flow` what they ask and how it goes, `Inspector` all messages of one query, `Gauges` how
much and how fast; `Dashboard` has all of them. They share one selection. `Flow(run)` and `Flow(trace)` play a
simulated run or a recorded trace. `QueryBox` and `PolicySliders` are controls to put around them.

The data come straight from the cortex to the page, by a WebSocket with the page's own cookie; where the page is not
the server's, the kernel relays them. No key or token is ever in a notebook, a page or an address.

A widget is a Python file and an ES module of the same name (``js/``); what the modules share stands beside them.
"""

from synapse.widgets.controls import PolicySliders, QueryBox
from synapse.widgets.dashboard import Dashboard
from synapse.widgets.flow import Flow
from synapse.widgets.gauges import Gauges
from synapse.widgets.inspector import Inspector
from synapse.widgets.roster import Roster

__all__ = ["Dashboard", "Flow", "Gauges", "Inspector", "PolicySliders", "QueryBox", "Roster"]
