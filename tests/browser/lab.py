"""A real JupyterLab in a real Chromium, and a notebook in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect

from tests.support.server import LiveServer, live_server

SHOTS = Path(__file__).parent / "screenshots"
PATIENCE = 30_000  # ms for a page to load; a busy machine takes its time
CONFIG = """
c.LabApp.expose_app_in_browser = True
c.ServerApp.log_level = "WARN"
c.SynapseApp.log_level = "INFO"
c.ServerApp.jpserver_extensions = dict.fromkeys(["jupyter_lsp", "jupyter_server_terminals", "notebook_shim"], False)
"""
# No news from the network, no tour, no question about what to do with it.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


def find_chromium() -> str:
    """The machine's Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found is not None, "no Chromium: install it, on Debian by `apt-get install chromium`"
    return found


@contextmanager
def lab_server(home: Path, *options: str, port: int = 0, token: str = "") -> Iterator[LiveServer]:
    """A JupyterLab with the extension in it. Pages that were logged in before a restart still are."""
    for name, values in SETTINGS.items():
        file = home / "config" / "lab" / "user-settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with live_server(home, *options, config=CONFIG, port=port, token=token) as server:
        yield server


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser."""
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
    try:
        yield browser
    finally:
        browser.close()


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Page, server: LiveServer, name: str) -> None:
        self.page = page
        self.server = server
        self.name = name

    @classmethod
    def open(cls, context: BrowserContext, server: LiveServer, name: str, *cells: str) -> Notebook:
        """Write a notebook of these cells, open it, and wait for its kernel."""
        if cells:
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, server.home / name)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        opened = cls(page, server, name)
        page.goto(f"{opened.base}lab/tree/{name}?token={server.token}&reset")
        opened.wait_for_kernel()
        return opened

    @property
    def base(self) -> str:
        """The server's address, with its slash."""
        return self.server.http.removesuffix("cortex")

    def wait_for_kernel(self) -> None:
        """Until JupyterLab has started and the notebook's kernel answers."""
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext !== undefined")
        self.page.wait_for_function(
            """() => {
                const session = window.jupyterapp.shell.currentWidget.sessionContext.session;
                return session?.kernel?.connectionStatus === "connected" && session.kernel.status === "idle";
            }"""
        )

    def run_all(self) -> None:
        """Run all cells, and wait until the last one is done."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(
            """() => {
                const cells = window.jupyterapp.shell.currentWidget.content.widgets;
                return cells.every((cell) => cell.model.type !== "code" || cell.model.executionCount !== null)
                    && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle";
            }"""
        )

    def execute(self, code: str) -> None:
        """Run code in the notebook's kernel, beside its cells, and wait until it is done."""
        status = self.page.evaluate(
            """async (code) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const reply = await kernel.requestExecute({ code, store_history: false }).done;
                return reply.content.status === "ok" ? "ok" : `${reply.content.ename}: ${reply.content.evalue}`;
            }""",
            code,
        )
        assert status == "ok", status

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def theme(self, name: str) -> None:
        """Change the theme of the page."""
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{light}'")
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=PATIENCE)

    def panel(self, name: str) -> Locator:
        """A widget by its name."""
        return self.page.get_by_role("region", name=name, exact=True)

    def live(self, name: str) -> Locator:
        """A widget, once its data come."""
        panel = self.panel(name)
        expect(panel.locator(".syn-badge")).to_have_attribute("data-status", "live", timeout=PATIENCE)
        return panel

    def shot(self, name: str, locator: Locator | None = None) -> None:
        """Keep a picture of the page, or of a part of it."""
        SHOTS.mkdir(exist_ok=True)
        (locator or self.page).screenshot(path=SHOTS / f"{name}.png")

    def data(self, panel: Locator) -> dict[str, Any]:
        """What a Flow says of itself in numbers."""
        found: dict[str, Any] = panel.evaluate("(element) => ({ ...element.dataset })")
        return found
