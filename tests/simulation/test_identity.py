"""A simulated node decides as the live server does: it is the same scheduler, with the same rules, by the same clock.

A live server is put under load over real sockets, and its scheduler's every word and deed is recorded. Then a simulated
node's scheduler is told the same at the same times. Every decision must be the same, to the last bit of every number.
"""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial
from itertools import takewhile
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from synapse.cortex import Scheduler
from synapse.policies import Policies, encode
from synapse.server.embedded import EmbeddedServer, start_embedded
from synapse.simulation import Environment, Scenario
from synapse.simulation.node import Try
from synapse.simulation.world import World
from tests.support.decisions import Recorder, play

AGENTS, QUERIES = 12, 40

RULES: dict[str, tuple[dict[str, Any], set[str]]] = {  # the rules, and what must have happened under them
    "a rate limit for each agent": (
        {"rate_limit": {"kind": "token-bucket", "rate": 20, "burst": 3, "per": "agent"}},
        {"rate_limited"},
    ),
    "a bounded queue": (
        {"queue": {"kind": "priority", "bound": 4}, "concurrency": {"kind": "fixed", "limit": 2}},
        {"overloaded", "waits"},
    ),
    "adaptive concurrency": (
        {
            "queue": {"kind": "codel", "bound": 30, "target": 0.01, "interval": 0.05},
            "concurrency": {"kind": "aimd", "initial": 6, "least": 1, "most": 12, "timeout": 0.02, "period": 0},
            "timeout": {"kind": "adaptive", "least": 0.05, "most": 0.5, "samples": 50, "warm_up": 10},
        },
        {"waits", "timeout", "limit changes"},
    ),
    "short timeouts": (
        {
            "queue": {"kind": "deadline", "bound": 50},
            "concurrency": {"kind": "fixed", "limit": 2},
            "timeout": {"kind": "fixed", "seconds": 0.02},
            "rate_limit": {"kind": "gcra", "rate": 300, "burst": 20, "per": "global"},
        },
        {"timeout", "waits"},
    ),
}
OTHERS = Policies.decode(
    {
        "queue": {"kind": "fair-share", "bound": 6},
        "concurrency": {"kind": "vegas", "initial": 2, "most": 9, "period": 0},
        "rate_limit": {"kind": "sliding-counter", "limit": 10, "window": 0.1, "per": "agent"},
    }
)
"""The rules that replace the first ones when half of all has been asked."""


@pytest.mark.parametrize("name", RULES)
def test_a_simulated_node_takes_every_decision_that_a_live_one_took(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, expected = RULES[name]
    policies = Policies.decode(table)
    live = record_live(policies, monkeypatch)
    simulated = replay_simulated(policies, live, monkeypatch)
    assert kinds(simulated.scheduler) == kinds(live.scheduler)
    assert type(simulated.scheduler) is Scheduler
    assert sum(step.what == "submit" for step in live.steps) == AGENTS * QUERIES
    assert expected | {"success", "interrupted"} <= happened(live)
    assert any(step.what == "replace" for step in live.steps)
    for ours, theirs in zip(simulated.steps, live.steps, strict=True):
        assert ours == theirs


def record_live(policies: Policies, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What the scheduler of a server under load was told, and what it did."""
    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr("synapse.cortex.schedulers.Scheduler", recorder.make)
        asyncio.run(load(policies))
    return recorder


def replay_simulated(policies: Policies, live: Recorder, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The same, told to the scheduler of a simulated node."""
    recorder = Recorder()
    rules = {part: encode(getattr(policies, part)) for part in ("queue", "concurrency", "timeout", "rate_limit")}
    scenario = Scenario(agents={"count": 1, "arrivals": {"kind": "poisson", "rate": 1}}, node=rules)
    with monkeypatch.context() as patch:
        patch.setattr("synapse.simulation.node.Scheduler", recorder.make)
        patch.setattr("synapse.simulation.world.Environment", partial(Environment, live.born))
        world = World(scenario, queries=True)  # somebody listens, as in the live server
    assert recorder.scheduler is world.cluster.nodes[0].scheduler

    def make(**asked: Any) -> Try:
        own = {name: asked.pop(name) for name in ("agent", "priority", "key", "attempt")}
        job = Try(world.populations[0], 0, **own, asked=world.env.time())
        for name, value in {**asked, "demand": 1e9}.items():
            setattr(job, name, value)
        return job

    play(live.steps, recorder, partial(setattr, world.env, "_now"), make)
    return recorder


def kinds(scheduler: Scheduler) -> list[type]:
    """The classes that decide."""
    parts = (scheduler, scheduler.gate, scheduler._queue, scheduler._concurrency, scheduler._timeout)
    return [type(part) for part in (*parts, scheduler._deadlines)]


def happened(recorder: Recorder) -> set[str]:
    """What sort of things were decided under the first rules."""
    steps = list(takewhile(lambda step: step.what != "replace", recorder.steps))
    seen = {step.answer.reason for step in steps if step.what == "submit" and step.answer is not None}
    seen |= {deed[2] for step in steps for deed in step.did if deed[0] == "ends"}
    seen |= {"waits"} if any(waiting for _, waiting, *_ in (step.then for step in steps)) else set()
    seen |= {"limit changes"} if len({limit for _, _, limit, *_ in (step.then for step in steps)}) > 1 else set()
    return seen


# The load


async def load(policies: Policies) -> None:
    """Agents on sockets of their own ask a live server, all at once; half-way it gets other rules."""
    server = await start_embedded(policies=policies, handlers={"*": ["echo"]}, trusted_handlers=[])
    try:
        half = asyncio.Barrier(AGENTS + 1)
        async with asyncio.TaskGroup() as group:
            for number in range(AGENTS):
                group.create_task(agent(server, number, half))
            await half.wait()
            server.service.replace(OTHERS)
    finally:
        await server.stop()


async def agent(server: EmbeddedServer, number: int, half: asyncio.Barrier) -> None:
    """Ask in bursts, with pauses between; call some of it off; wait until all has ended."""
    dice, topic = random.Random(number), f"cortex:agent-{number}"
    async with connect(f"{server.url}?vsn=2.0.0") as socket:
        await send(socket, "join", topic, "phx_join", {"api_key": server.api_key})
        await socket.recv()
        for part in range(2):
            refs = {f"{part}-{place}" for place in range(QUERIES // 2)}
            listening = asyncio.ensure_future(until_ended(socket, refs))
            for ref in sorted(refs):
                script = f"thoughts={dice.randrange(4)} delay_ms={dice.choice([0, 1, 5, 20])}"
                more = {"timeout": dice.choice([10, 50])} if dice.random() < 0.2 else {}
                query = {"q": script, "ref": ref, "priority": dice.randrange(10), **more}
                await send(socket, ref, topic, "query", query)
                if dice.random() < 0.2:
                    await send(socket, "stop", topic, "interrupt", {"ref": ref})
                if dice.random() < 0.7:
                    await asyncio.sleep(dice.expovariate(100))  # a pause of the load's, awaited for no one
            await listening
            if part == 0:
                await half.wait()


async def send(socket: ClientConnection, ref: str, topic: str, event: str, payload: dict[str, Any]) -> None:
    await socket.send(json.dumps(["1", ref, topic, event, payload]))


async def until_ended(socket: ClientConnection, refs: set[str]) -> None:
    """Read until each query was refused or has ended."""
    open_refs = set(refs)
    while open_refs:
        _, ref, _, event, payload = json.loads(await socket.recv())
        if event in ("result", "interrupted"):
            open_refs.discard(payload["ref"])
        elif event == "phx_reply" and payload["status"] == "error" and ref != "stop":
            open_refs.discard(ref)
