"""What Prometheus scrapes from a live server, what its docs and its dashboard say of it, and the health."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from synapse.cortex import HandlerAccess, OpenDoor
from synapse.policies import Connections, DropNewest, DropOldest, Fifo, Fixed, HandlerPolicies, Policies
from synapse.server.metrics import LAG_EVERY, NEARLY_FULL, OVERLOAD_MEMORY, Metrics
from synapse.server.service import Service
from synapse.telemetry import Dropped
from tests.support.lean import LEAN
from tests.support.node import Node
from tests.support.phx import Phx
from tests.support.rest import put
from tests.support.server import LiveServer, live_server

DOCS = Path(__file__).parents[2] / "docs"
KEY = {"api_key": "test-key"}
LONG = "thoughts=1 delay_ms=60000"
ONE_SLOT = {"kind": "fixed", "limit": 1}
TYPE = re.compile(r"^# TYPE (\w+) (\w+)$", re.MULTILINE)
ROW = re.compile(r"^\| `(synapse_\w+)` \| (\w+) \|", re.MULTILINE)

Samples = dict[str, float]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(tmp_path, config=LEAN) as running:
        yield running


def scrape(server: LiveServer, token: str | None = None) -> str:
    """What Prometheus gets."""
    request = urllib.request.Request(f"{server.http}/api/metrics")
    request.add_header("Authorization", f"Bearer {token or server.token}")  # as Prometheus sends it
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers.get_content_type() == "text/plain"
        return str(answer.read().decode())


def samples(text: str) -> Samples:
    """Every sample by its series: ``name{label=value,...}``."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def ask(phx: Phx, ref: str, q: str = "thoughts=1", **more: Any) -> str:
    """Send a query of agent ``a``. Returns the reply's status."""
    return str(phx.push("cortex:a", "query", {"q": q, "ref": ref, **more})["status"])


def read(node: Node) -> tuple[Metrics, Any]:
    """The metrics of a node from now on, and how to read one of its series."""
    metrics = Metrics(node.cortex)
    return metrics, lambda series: samples(metrics.exposition()[0].decode())[series]


# On a live server


def test_a_stranger_is_forbidden(server: LiveServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        scrape(server, token="wrong")
    assert refusal.value.code == 403
    refusal.value.close()


def test_queries_are_counted_by_how_they_ended(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        for ref, q in (("s1", "thoughts=1"), ("s2", "thoughts=0"), ("f", "thoughts=1 fail=1")):
            assert ask(phx, ref, q) == "ok"
            phx.wait_ending(ref)
        assert ask(phx, "late", LONG, timeout=1) == "ok"
        phx.wait_ending("late")
        assert ask(phx, "stopped", LONG) == "ok"
        phx.push("cortex:a", "interrupt", {"ref": "stopped"})
        phx.wait_ending("stopped")
        found = samples(scrape(server))
    ended = {status: found[f"synapse_queries_total{{status={status}}}"] for status in ("success", "error", "timeout")}
    assert ended == {"success": 2, "error": 1, "timeout": 1}
    assert found["synapse_queries_total{status=interrupted}"] == 1
    assert found["synapse_queries_total{status=rejected}"] == 0
    assert found["synapse_queue_wait_seconds_count{handler=*}"] == 5
    assert found["synapse_result_latency_seconds_count"] == 4, "an interrupt is no result"
    assert found["synapse_first_thought_latency_seconds_count"] == 2, "three had no thought"


def test_the_gauges_show_how_it_is_now(server: LiveServer) -> None:
    put(server, concurrency=ONE_SLOT)
    with Phx(server.url) as phx, Phx(server.url) as other, Phx(server.url):
        for one in (phx, other):
            one.join("cortex:a", KEY)
        for ref in ("runs", "waits", "waits too"):
            assert ask(phx, ref, LONG) == "ok"
        found = samples(scrape(server))
    assert (found["synapse_connections"], found["synapse_agents"]) == (3, 1)
    assert [found[f"synapse_{name}{{handler=*}}"] for name in ("queries_running", "queries_limit", "queue_depth")] == [
        1,
        1,
        2,
    ]
    assert found["synapse_uptime_seconds"] > 0


def test_rejections_are_counted_by_reason_and_policy(server: LiveServer) -> None:
    put(server, rate_limit={"kind": "token-bucket", "rate": 0.001, "burst": 1, "per": "agent"})
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "first") == "ok"
        phx.wait_ending("first")
        assert [ask(phx, "second"), ask(phx, "third")] == ["error", "error"]
        found = samples(scrape(server))
        put(server, rate_limit={"kind": "unlimited"}, concurrency=ONE_SLOT, queue={"kind": "fifo", "bound": 0})
        assert [ask(phx, "runs", LONG), ask(phx, "has no room")] == ["ok", "error"]
        later = samples(scrape(server))
    assert found["synapse_rejections_total{handler=*,policy=token-bucket,reason=rate_limited}"] == 2
    assert found["synapse_queries_total{status=rejected}"] == 2
    assert later["synapse_rejections_total{handler=*,policy=fifo,reason=overloaded}"] == 1
    assert later["synapse_rejections_total{handler=*,policy=token-bucket,reason=rate_limited}"] == 2


def test_histograms_are_whole(server: LiveServer) -> None:
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "one") == "ok"
        phx.wait_ending("one")
    families = [one for one in text_string_to_metric_families(scrape(server)) if one.type == "histogram"]
    assert len(families) == 4
    for family in families:
        assert len({one.labels.get("handler") for one in family.samples}) == 1
        buckets = [(float(one.labels["le"]), one.value) for one in family.samples if one.name.endswith("_bucket")]
        (count,) = [one.value for one in family.samples if one.name.endswith("_count")]
        (total,) = [one.value for one in family.samples if one.name.endswith("_sum")]
        assert family.name.endswith("_seconds")
        assert buckets == sorted(buckets), "a larger bound holds no less"
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (float("inf"), count)
        assert total >= 0


def test_presence_is_counted(server: LiveServer) -> None:
    before = samples(scrape(server))
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        phx.wait_event("presence_state")
        after = samples(scrape(server))
    assert after["synapse_presence_changes_total{change=join}"] > before["synapse_presence_changes_total{change=join}"]


def test_the_docs_name_every_metric_and_no_other(server: LiveServer) -> None:
    exposed = TYPE.findall(scrape(server))
    assert exposed == ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8"))


def test_a_scrape_is_no_activity_that_keeps_an_idle_server_up(server: LiveServer) -> None:
    def last_activity() -> str:
        request = urllib.request.Request(f"{server.http.removesuffix('/cortex')}/api/status")
        request.add_header("Authorization", f"token {server.token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["last_activity"])

    server.get("/api/agents")
    before = last_activity()
    scrape(server)
    assert last_activity() == before
    server.get("/api/agents")
    assert last_activity() > before


def test_health_says_overloaded_while_the_queue_is_full(server: LiveServer) -> None:
    put(server, concurrency=ONE_SLOT, queue={"kind": "fifo", "bound": 1})
    with Phx(server.url) as phx:
        phx.join("cortex:a", KEY)
        assert ask(phx, "runs", LONG) == "ok"
        assert server.get("/api/health")["status"] == "ready"
        assert ask(phx, "waits", LONG) == "ok"
        assert server.get("/api/health")["status"] == "overloaded"
        phx.push("cortex:a", "interrupt", {"ref": "waits"})
        phx.wait_ending("waits")
        assert server.get("/api/health")["status"] == "ready"


def test_a_service_that_has_stopped_leaves_no_timer_that_holds_it() -> None:
    async def run() -> None:
        options: dict[str, Any] = {"handlers": {"*": ["echo"]}, "trusted_handlers": []}
        service = Service(**options, authorizer=OpenDoor())
        await service.stop()
        metrics = weakref.ref(service.metrics)
        del service
        gc.collect()
        assert metrics() is None

    asyncio.run(run())


# By the clock of a test


def test_health_forgets_a_query_that_was_turned_away() -> None:
    node = Node(policies=Policies(concurrency=Fixed(1), queue=Fifo(bound=0)))
    metrics, _ = read(node)
    agent = node.agent("a")
    agent.query("runs")
    assert metrics.health == "ready", "a queue without places is not full"
    assert agent.refused("has no room")["reason"] == "overloaded"
    assert metrics.health == "overloaded"
    node.clock.advance(OVERLOAD_MEMORY)
    assert metrics.health == "ready"


def test_a_query_that_was_evicted_was_turned_away_too() -> None:
    node = Node(policies=Policies(concurrency=Fixed(1), queue=Fifo(bound=1, at_bound="evict-oldest")))
    metrics, _ = read(node)
    agent = node.agent("a")
    for ref in ("runs", "waits", "takes its place"):
        agent.query(ref)
    agent.interrupt("takes its place")
    assert node.scheduler.waiting == 0
    assert metrics.health == "overloaded"


def test_health_is_overloaded_from_nine_tenths_of_the_bound_on() -> None:
    node = Node(policies=Policies(concurrency=Fixed(1), queue=Fifo(bound=10)))
    metrics, _ = read(node)
    agent = node.agent("a")
    agent.query("runs")
    seen = []
    for number in range(10):
        agent.query(f"waits-{number}")
        seen.append(metrics.health)
    first = seen.index("overloaded") + 1
    assert first == NEARLY_FULL * 10
    assert set(seen[first:]) == {"overloaded"}


def test_health_says_draining_before_all_else() -> None:
    node = Node(policies=Policies(concurrency=Fixed(1), queue=Fifo(bound=1)))
    metrics, _ = read(node)
    agent = node.agent("a")
    for ref in ("runs", "waits"):
        agent.query(ref)
    node.cortex.drain()
    assert metrics.health == "draining"


def test_a_handler_with_rules_of_its_own_is_told_apart() -> None:
    own = HandlerPolicies(concurrency=Fixed(1), queue=Fifo(bound=1))
    node = Node(policies=Policies(handlers={"kernel": own}), handlers=HandlerAccess({"*": ["echo", "kernel"]}))
    metrics, value = read(node)
    agent = node.agent("a")
    agent.query("e1")
    for ref in ("runs", "waits"):
        agent.query(ref, handler="kernel")
    assert metrics.health == "overloaded", "one full queue is enough"
    agent.refused("no room", handler="kernel")
    assert [value(f"synapse_queries_running{{handler={name}}}") for name in ("*", "kernel")] == [1, 1]
    assert [value(f"synapse_queries_limit{{handler={name}}}") for name in ("*", "kernel")] == [100, 1]
    assert [value(f"synapse_queue_depth{{handler={name}}}") for name in ("*", "kernel")] == [0, 1]
    assert value("synapse_rejections_total{handler=kernel,policy=fifo,reason=overloaded}") == 1
    node.clock.advance(3)
    node.runner.finish("runs")
    assert value("synapse_queue_wait_seconds_sum{handler=kernel}") == 3
    assert value("synapse_queue_wait_seconds_count{handler=*}") == 1


def test_what_slow_readers_lose_is_counted_by_policy() -> None:
    node = Node()
    _, value = read(node)
    for messages, size in ((2, 300), (1, 50)):
        node.cortex.bus.emit(Dropped(0.0, "local", 1, messages, size, "drop-oldest"))
    assert value("synapse_mailbox_dropped_messages_total{policy=drop-oldest}") == 3
    assert value("synapse_mailbox_dropped_bytes_total{policy=drop-oldest}") == 350


def test_what_was_lost_is_charged_to_the_policy_that_dropped_it_also_after_a_replacement() -> None:
    node = Node(policies=Policies(mailbox=DropOldest(messages=1)))
    _, value = read(node)
    agent = node.agent("a")
    agent.query("q")
    node.cortex.replace(Policies(mailbox=DropNewest(messages=1)))
    agent.peer.transport.writable = False
    for number in range(4):
        node.runner.think("q", number)
        node.settle()
    dropped = value("synapse_mailbox_dropped_messages_total{policy=drop-oldest}")
    assert dropped == 3
    assert [value(f"synapse_mailbox{name}") for name in ("es", "_depth")] == [1, 1]
    assert value("synapse_mailbox_bytes") > 0
    agent.peer.transport.writable = True
    agent.peer.socket.flush()
    assert [value(f"synapse_mailbox{name}") for name in ("es", "_depth", "_bytes")] == [0, 0, 0]


def test_refusals_that_are_no_queries_are_counted_by_what_was_refused() -> None:
    node = Node(policies=Policies(connections=Connections(per_agent=1)), max_message=1000)
    _, value = read(node)
    agent = node.agent("a")
    agent.refused("large", q="x" * 1000)
    node.peer().ask("cortex:a", "phx_join")
    join = "{policy=connections.per_agent,reason=too_many_connections,what=join}"
    message = "{policy=max_message_bytes,reason=payload_too_large,what=message}"
    assert [value(f"synapse_refusals_total{labels}") for labels in (join, message)] == [1, 1]
    assert value("synapse_queries_total{status=rejected}") == 0


def test_latencies_fall_into_their_buckets() -> None:
    node = Node()
    _, value = read(node)
    agent = node.agent("a")
    agent.query("q")
    node.clock.advance(0.25)
    node.runner.think("q")
    node.clock.advance(2.0)
    node.runner.finish("q")
    assert value("synapse_first_thought_latency_seconds_bucket{le=0.1}") == 0
    assert value("synapse_first_thought_latency_seconds_bucket{le=0.25}") == 1, "a bound belongs to its bucket"
    assert value("synapse_first_thought_latency_seconds_sum") == 0.25
    assert value("synapse_result_latency_seconds_bucket{le=1.0}") == 0
    assert value("synapse_result_latency_seconds_bucket{le=2.5}") == 1
    assert value("synapse_result_latency_seconds_sum") == 2.25


def test_the_lag_of_the_loop_is_looked_at_until_the_end() -> None:
    node = Node()
    before = node.timers
    metrics, value = read(node)
    node.clock.advance(4 * LAG_EVERY)
    assert value("synapse_event_loop_lag_seconds_bucket{le=0.001}") == 4
    metrics.close()
    assert node.timers == before, "no timer is left"
    node.clock.advance(4 * LAG_EVERY)
    assert value("synapse_event_loop_lag_seconds_count") == 4


def test_services_of_one_process_share_no_number() -> None:
    node, other = Node(), Node()
    (_, value), (_, others) = read(node), read(other)
    node.agent("a").query("q")
    node.runner.finish("q")
    assert value("synapse_queries_total{status=success}") == 1
    assert others("synapse_queries_total{status=success}") == 0


# The dashboard


def test_the_dashboard_asks_for_every_metric_and_no_other() -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    families = {re.sub("_bucket$", "", name) for name in re.findall(r"synapse_\w+", asked)}
    assert families == {name for name, _ in ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8"))}


def test_the_dashboard_has_a_place_for_each_panel() -> None:
    panels = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24, "Grafana's grid has 24 columns"
    assert len({panel["id"] for panel in panels}) == len(panels)
