"""What all widgets are: a module for the page, a source of data, and a picture for where no page can run it."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

import anywidget
from IPython.display import publish_display_data
from traitlets import Dict, Unicode

from synapse.widgets import source as sources
from synapse.widgets.bundle import FOLDER, module
from synapse.widgets.live import still
from synapse.widgets.relay import Relay

WIDGET = "application/vnd.jupyter.widget-view+json"


class Window(anywidget.AnyWidget):
    """A widget that shows a cortex.

    Parameters
    ----------
    url, api_key, token
        Which cortex, as for `synapse.connect`; by default the one that it would find.

    Attributes
    ----------
    selected : dict
        What is selected in the page: ``agent`` and ``ref``, or None for either.
    """

    _css = FOLDER / "style.css"
    _view: ClassVar[str]
    _relay: Relay | None = None  # while it is not made yet

    source = Unicode("page").tag(sync=True)
    cortex = Unicode("").tag(sync=True)
    options = Dict().tag(sync=True)
    selected = Dict().tag(sync=True)
    still = Unicode().tag(sync=True)  # the class of the picture that the page is to hide

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_view" in cls.__dict__:  # not for the classes that traitlets derives by itself
            cls._esm = module(cls._view)
        super().__init_subclass__(**kwargs)

    def __init__(self, url: str | None = None, *, api_key: str | None = None, token: str | None = None) -> None:
        self._source = sources.find(url, api_key=api_key, token=token)
        self._relay = relay = Relay(self._source, self.send)
        super().__init__(source=self._source.way, cortex=self._source.name, still=f"synapse-still-{uuid4().hex}")
        self.on_msg(lambda _, content, __: relay.receive(content))

    def close(self) -> None:
        """Be gone, here and in the page."""
        if self._relay is not None:
            self._relay.close()
        super().close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.cortex}>"

    def picture(self) -> tuple[str, str]:
        """What a saved notebook shows: a MIME type, and a picture of what the cortex is like now.

        The page finds it by its class, or as the picture right below the widget.
        """
        return "text/html", f'<div class="{self.still}">{still(type(self).__name__, self._source)}</div>'

    def _ipython_display_(self) -> None:
        """Show the widget, and a picture that it hides as soon as it runs.

        They are two outputs because a page that cannot run a widget takes nothing else in its place.
        """
        shown = self._repr_mimebundle_()
        if shown is None:  # closed
            return
        mime, drawn = self.picture()
        publish_display_data(*shown)  # type: ignore[no-untyped-call]
        publish_display_data({mime: drawn, "text/plain": "(a still picture of it)"})  # type: ignore[no-untyped-call]
