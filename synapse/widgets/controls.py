"""Controls around the widgets, of plain ipywidgets: a box to ask from, and sliders for the rules."""

from __future__ import annotations

import threading
from html import escape
from typing import Any

import ipywidgets as ipw

from synapse.client import Agent, Query, SynapseError, connect
from synapse.client import html as look
from synapse.widgets.rules import Rules

SHOWN = 200  # thoughts that the box keeps on the page


class QueryBox(ipw.VBox):  # type: ignore[misc]
    """Ask from the page: the answer streams below, and a button interrupts it.

    Parameters
    ----------
    agent
        Who asks; a new agent that the box closes with itself when absent.
    handler
        Which handler answers; the agent's own by default.

    Attributes
    ----------
    query : Query or None
        The last query.
    """

    def __init__(self, agent: Agent | None = None, *, handler: str | None = None) -> None:
        self._own = agent is None
        self.agent = agent if agent is not None else connect()
        self.query: Query | None = None
        self._follower: threading.Thread | None = None
        self._handler = handler
        wide = ipw.Layout(flex="1 1 auto", width="auto")
        self.text = ipw.Text(placeholder="Ask something", layout=wide, continuous_update=False)
        self.ask_button = ipw.Button(description="Ask", icon="paper-plane", button_style="primary")
        self.stop_button = ipw.Button(description="Interrupt", icon="stop", disabled=True)
        self.answer = ipw.HTML(layout=ipw.Layout(max_height="300px", overflow="auto"))
        self.ask_button.on_click(lambda _: self.ask())
        self.stop_button.on_click(lambda _: self.interrupt())
        row = ipw.HBox([self.text, self.ask_button, self.stop_button], layout=ipw.Layout(flex_flow="row wrap"))
        super().__init__([row, self.answer])

    def ask(self) -> None:
        """Ask what the box says. The one before goes on if it has not ended, unseen."""
        try:
            query = self.query = self.agent.query(self.text.value, handler=self._handler)
        except (SynapseError, ValueError) as error:
            self.answer.value = look.card("Not asked", "error", [("why", str(error))])
            return
        self.stop_button.disabled = False
        self._follower = threading.Thread(target=self._follow, args=(query,), name="synapse query box", daemon=True)
        self._follower.start()

    def interrupt(self) -> None:
        """Stop the last query."""
        if self.query is not None:
            self.query.interrupt("interrupted in the notebook")

    def wait(self, timeout: float | None = None) -> None:
        """Until the last query has ended and is shown, for so many seconds at most."""
        if self._follower is not None:
            self._follower.join(timeout)

    def close(self) -> None:
        """Be gone, and the agent too if it was made for this box."""
        super().close()
        if self._own:
            self.agent.close()

    def _follow(self, query: Query) -> None:
        try:
            for _ in query:
                self._show(query)
        except SynapseError:
            pass  # the card says how it failed
        self._show(query)
        if query is self.query:
            self.stop_button.disabled = True

    def _show(self, query: Query) -> None:
        if query is self.query:
            self.answer.value = query._repr_html_()


class PolicySliders(ipw.VBox):  # type: ignore[misc]
    """The rules of the server, each number a slider. Letting go of one replaces the rule at once.

    Parameters
    ----------
    url, token
        Which server, as for `synapse.connect`; by default the one that it would find. It has to know this
        kernel's user: an API key does not change rules.

    Raises
    ------
    synapse.client.SynapseError
        If the server does not show its rules to us.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None) -> None:
        self.rules = Rules.find(url, token=token)
        self.message = ipw.HTML()
        self._parts = self.rules.get()
        self._sliders: dict[tuple[str, str], ipw.Widget] = {}
        super().__init__([*self._boxes(), self.message])

    def slider(self, part: str, name: str) -> ipw.Widget:
        """The slider of one number, such as ``slider("concurrency", "limit")``. Raises KeyError if there is none."""
        return self._sliders[part, name]

    def _boxes(self) -> list[ipw.Widget]:
        boxes = []
        for part, policy in self._parts.items():
            if "kind" in policy:  # also those without a number, such as no timeout: they are rules, too
                sliders = [self._slider(part, name, value) for name, value in policy.items() if _is_number(value)]
                title = ipw.HTML(f"<b>{escape(part)}</b> {escape(str(policy['kind']))}")
                boxes.append(ipw.VBox([title, *sliders]))
        return boxes

    def _slider(self, part: str, name: str, value: float) -> ipw.Widget:
        style = {"description_width": "130px"}
        layout = ipw.Layout(width="auto", max_width="520px")
        options: dict[str, Any] = {"description": name, "continuous_update": False, "style": style, "layout": layout}
        slider: ipw.Widget
        if isinstance(value, int):
            slider = ipw.IntSlider(value, min=0, max=max(10, 4 * value), **options)
        else:
            slider = ipw.FloatSlider(value, min=0.0, max=max(1.0, 4 * value), step=max(1.0, 4 * value) / 400, **options)
        self._sliders[part, name] = slider
        slider.observe(lambda change: self._put(part, name, change["new"]), "value")
        return slider

    def _put(self, part: str, name: str, value: float) -> None:
        policy = {**self._parts[part], name: value}
        try:
            self._parts = self.rules.put({part: policy})
            self.message.value = f"{escape(part)}.{escape(name)} is {value:g} now"
        except (SynapseError, ValueError) as error:
            self.message.value = look.card("Not changed", "error", [("why", str(error))])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
