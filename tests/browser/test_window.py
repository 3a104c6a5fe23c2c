"""The widgets, in a real JupyterLab in a real Chromium: what a person sees, and what happens when things go wrong."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.lab import PATIENCE, SHOTS, Notebook, lab_server
from tests.support.phx import Phx
from tests.support.server import LiveServer

WITHIN = 1_000  # ms for news to be seen
CELLS = ("import synapse\nfrom synapse import widgets\nada = synapse.connect(agent='ada')", "widgets.Dashboard()")
SHOW = """
import random, threading, time

crew = [synapse.connect(agent=name) for name in ("barbara", "edsger", "grace", "katherine", "linus", "margaret")]

def work(agent, seed):
    dice = random.Random(seed)
    for _ in range(5):
        chance = dice.random()
        script = f"thoughts={dice.randint(3, 12)} delay_ms={dice.choice([40, 80, 120])}"
        query = agent.query(script + " fail=1" * (chance < 0.12), timeout=0.6 if 0.12 < chance < 0.2 else None)
        if 0.2 < chance < 0.35:
            time.sleep(dice.uniform(0.2, 0.5))
            query.interrupt("seen enough")
        query.result
        time.sleep(dice.uniform(0, 0.4))

workers = [threading.Thread(target=work, args=(agent, 10 * n + k)) for n, agent in enumerate(crew) for k in range(2)]
moods = [("reading", 0.35), ("planning", 0.7), ("coding", 0.9)]
for agent, (status, load) in zip(crew, moods): agent.set_status(status, load=load)
for worker in workers: worker.start()
for worker in workers: worker.join()
long = [agent.query("thoughts=100 delay_ms=150") for agent in crew[:4]]
time.sleep(0.8)
"""


@pytest.fixture(scope="module")
def page(lab: LiveServer, browser: Browser) -> Iterator[Notebook]:
    """A notebook with a dashboard."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    yield Notebook.open(context, lab, "watching.ipynb", *CELLS)
    context.close()


@pytest.fixture
def opened(page: Notebook) -> Iterator[Notebook]:
    """The notebook, run anew: nobody but ada is here, nothing is selected."""
    problems: list[str] = []
    note = problems.append
    page.page.on("pageerror", lambda error: note(str(error)))
    page.run_all()
    page.live("Flow")
    expect(page.panel("Roster").locator(".syn-rate")).to_have_text("1 here")
    canvas(page).press("Escape")
    yield page
    page.execute("for one in [ada, *globals().pop('crew', [])]: one.close()")
    expect(page.panel("Roster").locator(".syn-rate")).to_have_text("0 here")
    assert problems == []


def row(notebook: Notebook, agent: str) -> Locator:
    return notebook.panel("Roster").locator(f'.syn-row[data-agent="{agent}"]')


def canvas(notebook: Notebook) -> Locator:
    return notebook.panel("Flow").locator("canvas.syn-flow")


def choose_last_query(notebook: Notebook, agent: str) -> Locator:
    """Select an agent's last query by keyboard. Returns the Inspector."""
    row(notebook, agent).click()
    canvas(notebook).press("n")
    return notebook.panel("Inspector")


def put(server: LiveServer, **parts: object) -> None:
    """Replace some of the server's rules."""
    request = urllib.request.Request(f"{server.http}/api/policies", data=json.dumps(parts).encode(), method="PUT")
    request.add_header("Authorization", f"token {server.token}")
    urllib.request.urlopen(request, timeout=10).close()


def test_it_is_worth_looking_at(opened: Notebook) -> None:
    """Pictures for people: light and dark, wide and narrow."""
    opened.page.set_viewport_size({"width": 1600, "height": 1240})
    opened.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    put(opened.server, concurrency={"kind": "fixed", "limit": 8})
    opened.execute(SHOW)
    inspector = choose_last_query(opened, "grace")
    expect(inspector.locator(".syn-event").first).to_have_text("query")
    opened.shot("dashboard-light")
    opened.theme("JupyterLab Dark")
    opened.shot("dashboard-dark")
    opened.page.set_viewport_size({"width": 560, "height": 1600})
    expect(row(opened, "ada").locator(".syn-c-rtt")).to_be_hidden()
    opened.shot("dashboard-narrow-dark")
    opened.theme("JupyterLab Light")
    opened.shot("dashboard-narrow-light")
    width = opened.panel("Flow").evaluate("(element) => element.scrollWidth - element.clientWidth")
    assert width <= 0, "it spills over its side"
    put(opened.server, concurrency={"kind": "fixed", "limit": 100})
    opened.page.set_viewport_size({"width": 1600, "height": 1000})


class TestRoster:
    def test_it_shows_who_joins_and_who_leaves_within_a_second(self, opened: Notebook) -> None:
        expect(row(opened, "ada")).to_be_visible()
        opened.execute("grace = synapse.connect(agent='grace')")
        expect(row(opened, "grace")).to_be_visible(timeout=WITHIN)
        opened.execute("grace.close()")
        expect(row(opened, "grace")).to_have_count(0, timeout=WITHIN)

    def test_it_shows_what_an_agent_says_of_itself(self, opened: Notebook) -> None:
        opened.execute("ada.set_status('reading', load=0.5)")
        expect(row(opened, "ada").locator(".syn-c-status")).to_have_text("reading", timeout=WITHIN)
        expect(row(opened, "ada").locator(".syn-load")).to_have_attribute("aria-valuenow", "50")

    def test_it_shows_queries_that_run(self, opened: Notebook) -> None:
        opened.execute("one = ada.query('thoughts=1 delay_ms=60000'); two = ada.query('thoughts=1 delay_ms=60000')")
        expect(row(opened, "ada").locator(".syn-c-running")).to_have_text("2", timeout=WITHIN)
        opened.execute("one.interrupt(); two.interrupt()")
        expect(row(opened, "ada").locator(".syn-c-running")).to_have_text("·", timeout=WITHIN)

    def test_it_can_be_filtered_and_sorted(self, opened: Notebook) -> None:
        opened.execute("crew = [synapse.connect(agent=name) for name in ('zoe', 'bob')]")
        roster = opened.panel("Roster")
        names = roster.locator(".syn-rows .syn-row")
        expect(names).to_have_count(3)
        roster.get_by_role("button", name="Agent").click()
        expect(roster.get_by_role("columnheader").first).to_have_attribute("aria-sort", "descending")
        expect(row(opened, "zoe")).to_have_attribute("aria-rowindex", "2")
        roster.get_by_role("searchbox").fill("bo")
        expect(names).to_have_count(1)

    def test_thousands_of_agents_are_only_as_many_rows_as_can_be_seen(self, opened: Notebook) -> None:
        server = opened.server
        with Phx(server.url) as crowd, Phx(server.url) as more:
            for number in range(150):
                (crowd, more)[number // 99 % 2].join(f"cortex:crowd-{number:03d}", {"api_key": server.api_key})
            expect(opened.panel("Roster").locator(".syn-rate")).to_have_text("151 here")
            assert opened.panel("Roster").locator(".syn-rows .syn-row").count() < 30

    def test_a_click_selects_the_agent_everywhere(self, opened: Notebook) -> None:
        row(opened, "ada").click()
        expect(row(opened, "ada")).to_have_attribute("aria-selected", "true")
        expect(opened.panel("Inspector")).to_contain_text("ada is selected")


class TestFlow:
    def test_a_query_is_a_span_whose_messages_the_inspector_shows(self, opened: Notebook) -> None:
        opened.execute("ada.ask('thoughts=3 delay_ms=20 Hello')")
        inspector = choose_last_query(opened, "ada")
        expect(inspector.locator(".syn-chip")).to_have_text("success")
        expect(inspector.locator(".syn-event")).to_have_text(["query", "phx_reply", *["thought"] * 3, "result"])
        inspector.locator("summary").first.click()
        expect(inspector.locator("pre").first).to_contain_text('"q":"thoughts=3 delay_ms=20 Hello"')
        expect(inspector.locator(".syn-json").first).to_be_visible()

    def test_an_interrupt_can_be_seen(self, opened: Notebook) -> None:
        opened.execute("query = ada.query('thoughts=100 delay_ms=50')\nnext(iter(query))")
        inspector = choose_last_query(opened, "ada")
        expect(inspector.locator(".syn-chip")).to_have_text("thinking")
        opened.execute("query.interrupt('seen enough'); query.result")
        expect(inspector.locator(".syn-chip")).to_have_text("interrupted")
        expect(inspector).to_contain_text("seen enough")
        expect(inspector.locator(".syn-event").last).to_have_text("interrupted")

    def test_a_click_on_a_span_opens_it(self, opened: Notebook) -> None:
        opened.execute("ada.ask('thoughts=20 delay_ms=50')")
        lane = canvas(opened)
        lane.press(" ")  # so that it stays where it is
        box = lane.bounding_box()
        assert box is not None
        chip = opened.panel("Inspector").locator(".syn-chip")
        for part in (0.97, 0.94, 0.91):  # it has just ended, near the right edge
            lane.click(position={"x": box["width"] * part, "y": 22 + 14})
            if chip.count():
                break
        expect(chip).to_have_text("success")

    def test_a_pause_loses_nothing(self, opened: Notebook) -> None:
        flow = opened.panel("Flow")
        expect(flow).to_have_attribute("data-spans", re.compile(r"\d+"))
        before = opened.data(flow)
        opened.execute("ada.ask('thoughts=1')")
        expect(flow).to_have_attribute("data-spans", str(int(before["spans"]) + 1))
        flow.get_by_role("button", name="Pause").click()
        opened.execute("for _ in range(100): ada.ask('thoughts=8')")
        # Each is submitted, admitted, started, has eight thoughts and is finished.
        expect(flow).to_have_attribute("data-unseen", re.compile(r"^12\d\d$"))
        button = flow.get_by_role("button", name=re.compile("Resume"))
        expect(button).to_have_text(re.compile("▶ 1.2\\d\\d new"))
        opened.shot("paused", flow)
        button.click()
        expect(flow).to_have_attribute("data-paused", "false")
        expect(flow).to_have_attribute("data-spans", str(int(before["spans"]) + 101))
        after = opened.data(flow)
        assert int(after["events"]) - int(before["events"]) >= 1200
        assert after["lost"] == "0"

    def test_it_scrolls_back_and_zooms_by_keyboard(self, opened: Notebook) -> None:
        flow = opened.panel("Flow")
        opened.execute("ada.ask('thoughts=1')")
        canvas(opened).press("ArrowLeft")
        expect(flow).to_have_attribute("data-paused", "true")
        canvas(opened).press("-")
        expect(flow.get_by_label("Length of the window")).to_have_value("20")
        canvas(opened).press("End")
        expect(flow).to_have_attribute("data-paused", "false")

    def test_a_filter_leaves_what_matches(self, opened: Notebook) -> None:
        opened.execute("bob = synapse.connect(agent='bob'); bob.ask('fail=1'); ada.ask('hi'); crew = [bob]")
        flow = opened.panel("Flow")
        flow.get_by_role("searchbox").fill("agent:bob event:error")
        expect(flow).to_have_attribute("data-lanes", "1")
        flow.get_by_role("searchbox").fill("agent:nobody")
        expect(flow).to_have_attribute("data-lanes", "0")


class TestThePage:
    def test_colours_follow_the_theme(self, opened: Notebook) -> None:
        ground = "(element) => getComputedStyle(element).backgroundColor"
        light = opened.panel("Flow").evaluate(ground)
        opened.theme("JupyterLab Dark")
        assert opened.panel("Flow").evaluate(ground) != light
        opened.theme("JupyterLab Light")
        assert opened.panel("Flow").evaluate(ground) == light

    def test_everything_that_can_be_used_has_a_name(self, opened: Notebook) -> None:
        unnamed = opened.page.evaluate(
            """() => [...document.querySelectorAll(".syn button, .syn input, .syn select, .syn [tabindex]")].filter(
                (one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.closest("label"))
            ).map((one) => one.outerHTML)"""
        )
        assert unnamed == []

    def test_no_secret_is_in_the_page_its_addresses_or_the_notebook(self, opened: Notebook) -> None:
        server, page = opened.server, opened.page
        opened.execute("import os, pathlib; pathlib.Path('key').write_text(os.environ['SYNAPSE_API_KEY'])")
        kernels_key = (server.home / "key").read_text()
        (server.home / "key").unlink()
        widgets = page.evaluate("() => [...document.querySelectorAll('.syn')].map((one) => one.outerHTML).join()")
        opened.save()
        notebook = (server.home / opened.name).read_text()
        sockets = page.evaluate("() => performance.getEntriesByType('resource').map((one) => one.name).join()")
        for secret in (server.token, server.api_key, kernels_key):
            for place in (widgets, notebook, sockets):
                assert secret not in place

    def test_a_reload_brings_everything_back(self, opened: Notebook) -> None:
        opened.execute("query = ada.query('thoughts=1 delay_ms=60000')")
        opened.save()
        opened.page.reload()
        opened.wait_for_kernel()
        opened.live("Flow")
        expect(row(opened, "ada").locator(".syn-c-running")).to_have_text("1")
        opened.execute("query.interrupt()")

    def test_two_browsers_see_the_same(self, opened: Notebook, browser: Browser) -> None:
        opened.save()
        other_context = browser.new_context(viewport={"width": 1200, "height": 900})
        other = Notebook.open(other_context, opened.server, opened.name)
        other.live("Flow")
        opened.execute("bob = synapse.connect(agent='bob'); bob.ask('hi'); crew = [bob]")
        for notebook in (opened, other):
            expect(row(notebook, "bob")).to_be_visible(timeout=WITHIN)
        other_context.close()
        opened.execute("bob.close()")
        expect(row(opened, "bob")).to_have_count(0, timeout=WITHIN)

    def test_a_saved_notebook_has_a_picture(self, opened: Notebook) -> None:
        """Which is not shown beside the running widget."""
        expect(opened.page.locator("[class^=synapse-still]")).to_be_hidden()
        opened.save()
        assert "1 agents, 0 of 100 slots in use" in (opened.server.home / opened.name).read_text()


EMBEDDED = """
import os
del os.environ["SYNAPSE_URL"], os.environ["SYNAPSE_API_KEY"]
from synapse.client import discovery
discovery.parents = lambda *_: []  # as in an editor that runs kernels without a Jupyter server

import synapse
from synapse import widgets
ada = synapse.connect(agent="ada")
"""
TABLE = """
from synapse.telemetry import Row, to_frame
story = lambda n: (float(n), float(n), n + 0.5, n + 1.0, n + 3.0, "success", None, 4)
rows = [Row(f"agent-{n % 12}", "sim", f"q{n}", 5, 1, *story(n)) for n in range(60)]
flow = widgets.Flow(to_frame(rows))
flow
"""


@pytest.fixture(scope="module")
def away(lab: LiveServer, browser: Browser) -> Iterator[Notebook]:
    """A notebook whose cortex is in its kernel."""
    context = browser.new_context(viewport={"width": 1400, "height": 1400})
    cells = (EMBEDDED, "widgets.Dashboard()", TABLE, "box = widgets.QueryBox(ada)\nbox", "widgets.PolicySliders()")
    notebook = Notebook.open(context, lab, "away.ipynb", *cells)
    notebook.run_all()
    yield notebook
    context.close()


class TestOtherWays:
    """Where the page cannot reach the cortex, and where there is none."""

    def test_the_kernel_relays_what_the_page_cannot_get(self, away: Notebook) -> None:
        away.page.get_by_role("region", name="Flow").first.locator(".syn-badge[data-status=live]").wait_for()
        expect(row(away, "ada")).to_be_visible()
        away.execute("grace = synapse.connect(agent='grace')")
        expect(row(away, "grace")).to_be_visible(timeout=WITHIN)
        away.execute("grace.close()")
        expect(row(away, "grace")).to_have_count(0, timeout=WITHIN)

    def test_the_inspector_asks_through_the_kernel(self, away: Notebook) -> None:
        away.execute("ada.ask('thoughts=2 delay_ms=20')")
        row(away, "ada").click()
        away.page.locator("canvas.syn-flow").first.press("n")
        events = away.panel("Inspector").locator(".syn-event")
        expect(events).to_have_text(["query", "phx_reply", "thought", "thought", "result"])

    def test_a_table_is_played(self, away: Notebook) -> None:
        played = away.panel("Flow").nth(1)
        played.scroll_into_view_if_needed()
        slider = played.get_by_label("Time in the run")
        expect(slider).to_have_attribute("aria-valuetext", re.compile("^62.*s of 62"))
        expect(away.page.locator(".jp-RenderedImage img")).to_be_hidden()
        slider.fill("500")
        expect(slider).to_have_attribute("aria-valuetext", re.compile("^31.*s of"))
        away.shot("run", played)
        played.get_by_label("Speed").select_option("100")
        played.get_by_role("button", name="Play").click()
        expect(slider).to_have_attribute("aria-valuetext", re.compile("^62.*s of 62"))
        expect(played.get_by_role("button", name="Play")).to_be_visible()

    def test_a_notebook_whose_kernel_has_gone_still_shows_something(self, away: Notebook, browser: Browser) -> None:
        """Opened anew, untrusted and without a kernel."""
        away.save()
        copy = nbformat.read(away.server.home / away.name, as_version=4)
        copy.metadata.pop("widgets", None)
        copy.metadata["kernelspec"]["name"] = "no-such-kernel"
        nbformat.write(copy, away.server.home / "old.ipynb")
        context = browser.new_context(viewport={"width": 1400, "height": 1400})
        page = context.new_page()
        page.goto(f"{away.base}lab/tree/old.ipynb?token={away.server.token}&reset")
        drawn = page.locator(".jp-RenderedImage img")
        drawn.wait_for(timeout=PATIENCE)
        assert drawn.evaluate("(image) => image.naturalWidth") > 500
        expect(page.get_by_text("1 agents, 0 of 100 slots in use")).to_be_visible()
        SHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SHOTS / "saved.png")
        context.close()

    def test_a_question_can_be_asked_and_stopped_in_the_page(self, away: Notebook) -> None:
        page = away.page
        page.get_by_placeholder("Ask something").fill("thoughts=2 delay_ms=10")
        page.get_by_role("button", name="Ask").click()
        answer = page.locator(".widget-html .synapse")
        expect(answer).to_contain_text("success")
        page.get_by_placeholder("Ask something").fill("thoughts=900 delay_ms=100")
        page.get_by_role("button", name="Ask").click()
        expect(answer).to_contain_text("step 2")
        page.locator("button.jupyter-button", has_text="Interrupt").click()
        expect(answer).to_contain_text("interrupted in the notebook")
        away.shot("controls")

    def test_no_page_has_the_key_of_an_embedded_cortex(self, away: Notebook) -> None:
        away.execute(
            "from pathlib import Path; from synapse.client import opening, io\n"
            "Path('key').write_text(opening.embedded(io.io_thread()).api_key)"
        )
        key = (away.server.home / "key").read_text()
        away.save()
        assert key not in away.page.content()
        assert key not in (away.server.home / away.name).read_text()


def test_it_says_so_while_the_server_is_away_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    token = "a-token-that-outlives-the-server"
    with lab_server(tmp_path, token=token) as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        notebook = Notebook.open(context, server, "restart.ipynb", *CELLS)
        notebook.run_all()
        notebook.live("Roster")
        expect(row(notebook, "ada")).to_be_visible()
    badge = notebook.panel("Roster").locator(".syn-badge")
    expect(badge).to_have_text("connection lost, reconnecting …")
    notebook.shot("reconnecting", notebook.panel("Roster"))
    with lab_server(tmp_path, port=port, token=token) as server:
        expect(badge).to_have_attribute("data-status", "live", timeout=PATIENCE)
        expect(row(notebook, "ada")).to_have_count(0)  # her kernel ended with the server
        with Phx(server.url) as phx:
            phx.join("cortex:newcomer", {"api_key": server.api_key})
            expect(row(notebook, "newcomer")).to_be_visible(timeout=WITHIN)
        context.close()
