"""Live widgets in a kernel: where they find their cortex, what they relay, what they leave in a notebook."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest

import synapse
from synapse import widgets
from synapse.client.io import io_thread
from synapse.widgets import source as sources
from synapse.widgets.relay import Relay
from synapse.widgets.rules import Rules
from tests.support.lean import eventually

TIMEOUT = 10.0
HERE = "ws://127.0.0.1:8888/user/bob/cortex/websocket"


@pytest.fixture(autouse=True, scope="module")
def no_embedded_cortex_left() -> Iterator[None]:
    """What was embedded in this process ends with its IO thread."""
    yield
    io_thread().stop()


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> Iterator[synapse.Agent]:
    """An agent on a cortex in this process, as there is no other."""
    monkeypatch.delenv("SYNAPSE_URL", raising=False)
    monkeypatch.setattr("synapse.client.discovery.parents", lambda *_: [])
    with synapse.connect(agent="ada") as agent:
        yield agent


class Page:
    """The other end of a comm."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[tuple[Any, bytes]] = queue.SimpleQueue()
        self.relay = Relay(sources.find(), self._send)
        self._frames: list[Any] = []

    def _send(self, content: Any, buffers: list[bytes] | None = None) -> None:
        self.messages.put((content, buffers[0] if buffers else b""))

    def say(self, kind: str, **more: Any) -> None:
        self.relay.receive({"kind": kind, **more})

    def next(self, kind: str) -> tuple[Any, bytes]:
        while True:
            content, buffer = self.messages.get(timeout=TIMEOUT)
            if content["kind"] == kind:
                return content, buffer

    def frame(self, event: str) -> Any:
        """The payload of the next frame of an event."""
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if frame[3] == event:
                    return frame[4]
            self._frames = json.loads(self.next("frames")[1])


@pytest.fixture
def page(ada: synapse.Agent) -> Iterator[Page]:
    opened = Page()
    yield opened
    opened.relay.close()


class TestSource:
    def test_the_server_of_this_kernel_is_the_pages_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SYNAPSE_URL", HERE)
        source = sources.find()
        assert (source.way, source.name) == ("page", "/user/bob/cortex/websocket")

    def test_a_server_that_is_named_is_relayed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SYNAPSE_URL", HERE)
        source = sources.find("https://hub.example/cortex?token=secret")
        assert (source.way, source.name) == ("relay", "wss://hub.example/cortex/websocket")

    def test_one_in_this_process_is_relayed(self, ada: synapse.Agent) -> None:
        source = sources.find()
        assert source.way == "relay"
        assert source.name.startswith("embedded in ")


class TestRelay:
    def test_a_page_gets_the_snapshot_and_the_roster_and_then_the_news(self, page: Page, ada: synapse.Agent) -> None:
        page.say("hello")
        assert page.next("status")[0]["status"] == "live"
        assert [one["agent"] for one in page.frame("snapshot")["agents"]] == ["ada"]
        ada.ask("thoughts=1")
        kinds = [event["event"] for event in page.frame("events")["events"]]
        assert kinds[:3] == ["Submitted", "Admitted", "Started"]

    def test_one_that_comes_later_gets_the_same(self, page: Page) -> None:
        page.say("hello")
        page.frame("snapshot")
        page.say("hello")
        assert "ada" in page.frame("presence_state")
        assert page.frame("snapshot")["agents"]

    def test_it_may_ask_for_the_messages_of_a_query(self, page: Page, ada: synapse.Agent) -> None:
        page.say("hello")
        page.frame("snapshot")
        query = ada.query("thoughts=1")
        assert query.result.ok
        page.say("push", id=7, event="trace", payload={"agent": "ada", "ref": query.ref})
        content, _ = page.next("reply")
        assert (content["id"], content["reply"]["status"]) == (7, "ok")
        assert [one["event"] for one in content["reply"]["response"]["messages"]] == [
            "query", "phx_reply", "thought", "result",
        ]  # fmt: skip

    def test_a_page_that_says_goodbye_is_relayed_no_more(self, page: Page) -> None:
        page.say("hello")
        page.frame("snapshot")
        page.say("bye")
        page.say("push", id=1, event="trace", payload={"agent": "ada", "ref": "q"})
        assert page.next("reply")[0]["reply"]["status"] == "lost"

    def test_one_that_falls_silent_is_thought_to_be_gone(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("synapse.widgets.relay.SILENCE", 0.05)
        page.say("hello")
        page.frame("snapshot")
        eventually(lambda: page.relay._watch is None and page.relay._observer is None, "it was given up")

    def test_words_that_mean_nothing_are_passed_over(self, page: Page) -> None:
        for nonsense in (None, 7, {}, {"kind": "dance"}):
            page.relay.receive(nonsense)
        page.say("hello")
        assert page.next("status")[0]["status"] == "live"


VIEWS = [widgets.Roster, widgets.Flow, widgets.Inspector, widgets.Gauges, widgets.Dashboard]


class TestInTheNotebook:
    @pytest.mark.parametrize("view", VIEWS)
    def test_a_widget_leaves_a_still_picture_with_who_was_here(self, view: Any, ada: synapse.Agent) -> None:
        shown = view()
        assert "ada" in shown.picture()[1]
        assert "1 agents, 0 of 100 slots in use" in shown.picture()[1]
        shown.close()

    def test_where_there_is_no_server_the_picture_says_so(self) -> None:
        shown = widgets.Roster("ws://127.0.0.1:9/cortex/websocket")
        assert "not connected" in shown.picture()[1]
        shown.close()

    def test_a_widgets_state_has_no_secret(self, ada: synapse.Agent) -> None:
        shown = widgets.Roster("http://127.0.0.1:9/lab?token=secret-7", api_key="secret-8")
        state = {name: value for name, value in shown.get_state().items() if name not in ("_esm", "_css")}
        assert "secret" not in str(state) + repr(shown)
        shown.close()


class TestQueryBox:
    def test_the_answer_is_shown_and_the_button_rests(self, ada: synapse.Agent) -> None:
        box = widgets.QueryBox(ada)
        box.text.value = "thoughts=2"
        box.ask_button.click()
        assert box.query is not None
        assert box.query.result.ok
        box.wait(TIMEOUT)
        assert "success" in box.answer.value
        assert box.stop_button.disabled
        box.close()
        assert ada.status == "joined"  # it was not made for the box

    def test_the_button_interrupts_it(self, ada: synapse.Agent) -> None:
        box = widgets.QueryBox(ada)
        box.text.value = "thoughts=1 delay_ms=60000"
        box.ask()
        assert not box.stop_button.disabled
        box.stop_button.click()
        assert box.query is not None
        assert box.query.result.reason == "interrupted in the notebook"
        box.wait(TIMEOUT)
        box.close()

    def test_what_cannot_be_asked_says_why(self, ada: synapse.Agent) -> None:
        ada.close()
        box = widgets.QueryBox(ada)
        box.ask()
        assert "Not asked" in box.answer.value
        box.close()


class TestPolicySliders:
    def test_letting_go_of_a_slider_changes_the_rule(self, ada: synapse.Agent) -> None:
        sliders = widgets.PolicySliders()
        before = sliders.rules.get()["concurrency"]["limit"]
        sliders.slider("concurrency", "limit").value = 3
        assert sliders.rules.get()["concurrency"] == {"kind": "fixed", "limit": 3}
        assert "concurrency.limit is 3 now" in sliders.message.value
        sliders.slider("concurrency", "limit").value = before
        sliders.close()

    def test_a_rule_without_a_number_is_shown_by_its_kind(self, ada: synapse.Agent) -> None:
        rules = Rules.find()
        before = rules.get()["timeout"]
        try:
            assert rules.put({"timeout": "none"})["timeout"] == {"kind": "none"}
            sliders = widgets.PolicySliders()
            assert "<b>timeout</b> none" in [box.children[0].value for box in sliders.children[:-1]]
            with pytest.raises(KeyError, match="timeout"):
                sliders.slider("timeout", "seconds")
            sliders.slider("concurrency", "limit").value = 50
            assert rules.get()["timeout"] == {"kind": "none"}
            sliders.close()
        finally:
            rules.put({"timeout": before, "concurrency": {"kind": "fixed", "limit": 100}})

    def test_a_value_that_makes_no_sense_is_refused_in_words(self, ada: synapse.Agent) -> None:
        sliders = widgets.PolicySliders()
        sliders.slider("concurrency", "limit").value = 0
        assert "Not changed" in sliders.message.value
        assert "limit" in sliders.message.value
        sliders.close()

    def test_a_part_that_is_unknown_is_named(self, ada: synapse.Agent) -> None:
        sliders = widgets.PolicySliders()
        with pytest.raises(KeyError, match="nonsense"):
            sliders.slider("nonsense", "limit")
        sliders.close()
