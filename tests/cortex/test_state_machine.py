"""The whole core beside a model of it: whatever happens in whatever order, every frame is the one it should be.

Hypothesis plays several clients, the runner and the clock: it joins, leaves, asks, thinks, finishes, crashes,
interrupts, lags, disconnects and lets time pass. `Model` says in a hundred lines what each connection must
hear. After each step every connection has heard exactly that, in that order, and no more, so that each
accepted query has exactly one ending at each connection of its agent, and nothing after it. In the end all go,
and nothing is left behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.cortex import topic_of
from synapse.policies import Fixed, FixedTimeout, Policies, Priority
from synapse.telemetry import events
from tests.support.channels import KEY, KeyDoor, TestChannel
from tests.support.node import Node
from tests.support.peer import PRESENCE, Peer, timeless
from tests.support.presence import refs, sync

SLOTS, PLACES, PATIENCE, LINGER = 2, 1, 30.0, 5.0
INSTANT = 0.001  # s between steps, so that no two deadlines fall together

Heard = tuple[str, str, Any]  # topic, event, payload

agents = st.sampled_from(["a", "b"])
names = st.sampled_from([f"q{number}" for number in range(6)])
asked = st.tuples(names, st.integers(4, 6), st.sampled_from([1000, 8000, None]))  # ref, priority, timeout


class Asked:
    """An accepted query, as the model sees it."""

    def __init__(self, agent: str, ref: str, priority: int, deadline: float) -> None:
        self.agent, self.ref, self.priority, self.deadline = agent, ref, priority, deadline


class Model:
    """What the core must do, without frames, tables or timers.

    Attributes
    ----------
    hears : dict
        By connection, what it must hear next.
    members : dict
        By agent, the connections that are on its topic.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.draining = False
        self.waiting: list[Asked] = []
        self.running: list[Asked] = []
        self.absent: dict[str, float] = {}  # agents with queries and without a connection: until when they may
        self.members: dict[str, list[int]] = {"a": [], "b": []}
        self.hears: dict[int, list[Heard]] = defaultdict(list)
        self.accepted = self.rejected = self.ended = 0

    # What is said

    def reply(self, peer: int, agent: str, status: str, response: Any) -> None:
        self.say(peer, agent, "phx_reply", {"status": status, "response": response})

    def say(self, peer: int, agent: str, event: str, payload: Any) -> None:
        self.hears[peer].append((topic_of(agent), event, payload))

    def say_all(self, agent: str, event: str, payload: Any) -> None:
        for peer in self.members[agent]:
            self.say(peer, agent, event, payload)

    # Who is here

    def arrive(self, peer: int, agent: str) -> None:
        self.members[agent].append(peer)
        self.absent.pop(agent, None)

    def depart(self, peer: int, agent: str) -> None:
        self.members[agent].remove(peer)
        if not self.members[agent] and any(query.agent == agent for query in self.queries):
            self.absent[agent] = self.now + LINGER

    # The life of a query

    @property
    def queries(self) -> list[Asked]:
        return self.waiting + self.running

    def find(self, agent: str, ref: str) -> Asked | None:
        return next((query for query in self.queries if (query.agent, query.ref) == (agent, ref)), None)

    def submit(self, query: Asked) -> dict[str, Any] | None:
        """Why it is refused, None if it is accepted."""
        if self.draining:
            self.rejected += 1
            return {"reason": "shutting_down", "policy": "drain"}
        overloaded = {"reason": "overloaded", "policy": "priority"}
        full = len(self.running) == SLOTS and len(self.waiting) == PLACES
        worst = max(reversed(self.waiting), key=lambda waiting: waiting.priority, default=query)
        if full and worst.priority <= query.priority:
            self.rejected += 1
            return overloaded
        self.accepted += 1
        self.waiting.append(query)
        if full:
            self.end(worst, "error", overloaded)
        self.fill()
        return None

    def end(self, query: Asked, status: str, said: Any) -> None:
        """End a query: `said` are the result's data, or why it was interrupted."""
        (self.waiting if query in self.waiting else self.running).remove(query)
        self.ended += 1
        if status == "interrupted":
            self.say_all(query.agent, "interrupted", {"ref": query.ref, "reason": said})
        else:
            self.say_all(query.agent, "result", {"ref": query.ref, "status": status, "data": said})
        if not any(other.agent == query.agent for other in self.queries):
            self.absent.pop(query.agent, None)
        self.fill()

    def fill(self) -> None:
        while self.waiting and len(self.running) < SLOTS:
            query = min(self.waiting, key=lambda waiting: waiting.priority)
            self.waiting.remove(query)
            self.running.append(query)

    def interrupt_agent(self, agent: str, reason: str) -> None:
        """Those that wait first, so that none is started in vain."""
        for query in [query for query in self.queries if query.agent == agent]:
            self.end(query, "interrupted", reason)

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            deadlines = [(query.deadline, query) for query in self.queries]
            absences = [(when, agent) for agent, when in self.absent.items()]
            due: list[tuple[float, Any]] = [moment for moment in (*deadlines, *absences) if moment[0] <= until]
            if not due:
                break
            self.now, what = min(due, key=lambda moment: moment[0])
            if isinstance(what, Asked):
                self.end(what, "timeout", {"reason": "timeout"})
            else:
                del self.absent[what]
                self.interrupt_agent(what, "agent_gone")
        self.now = until


class CoreAgainstModel(RuleBasedStateMachine):
    """The rules are what can happen; `settle` compares."""

    def __init__(self) -> None:
        super().__init__()
        policies = Policies(Priority(PLACES), Fixed(SLOTS), FixedTimeout(PATIENCE))
        mount = {"cortex:*": TestChannel}
        self.node = Node(policies=policies, linger=LINGER, authorizer=KeyDoor(), channels=mount)
        self.model = Model()
        self.peers: dict[int, Peer] = {}
        self.came = 0
        self.lagging: set[int] = set()
        self.views: dict[tuple[int, str], dict[str, Any]] = {}
        self.shuts_down = False

    @initialize(
        shuts_down=st.booleans(), queries=st.lists(asked, min_size=3, max_size=6, unique_by=lambda query: query[0])
    )
    def begin(self, shuts_down: bool, queries: list[tuple[str, int, int | None]]) -> None:
        """With two connections of one agent and something to do."""
        self.shuts_down = shuts_down
        self.come("a", v2=True)
        self.come("a", v2=False)
        self.ask_all(1, "a", queries)

    # Connections

    @precondition(lambda self: len(self.peers) < 4)
    @rule(agent=agents, v2=st.booleans())
    def come(self, agent: str, v2: bool) -> None:
        self.came += 1
        self.peers[self.came] = self.node.peer("2.0.0" if v2 else "1.0.0")
        self.join(self.came, agent, KEY)

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), how=st.sampled_from(["disconnect", "garbage", "disconnect_agent"]))
    def go(self, data: st.DataObject, how: str) -> None:
        """By itself, by a malformed message, or by the server's will with all connections of an agent."""
        gone = [data.draw(st.sampled_from(sorted(self.peers)))]
        match how:
            case "disconnect":
                self.peers[gone[0]].disconnect()
            case "garbage":
                self.peers[gone[0]].send_raw(b"{nope")
            case "disconnect_agent":
                agent = data.draw(agents)
                gone = list(self.model.members[agent])
                assert self.node.cortex.connections.disconnect(agent) == len(gone)
        for peer in gone:
            self.forget(peer)
        self.settle()

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def lag(self, data: st.DataObject) -> None:
        peer = data.draw(st.sampled_from(sorted(self.peers)))
        self.peers[peer].transport.writable = False
        self.lagging.add(peer)

    @precondition(lambda self: self.lagging)
    @rule()
    def catch_up(self) -> None:
        for peer in self.lagging:
            self.peers[peer].transport.writable = True
            self.peers[peer].socket.flush()
        self.lagging.clear()
        self.settle()

    # Channels

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), agent=agents, key=st.sampled_from([KEY, KEY, "wrong"]))
    def join_another(self, data: st.DataObject, agent: str, key: str) -> None:
        """Or the same again; a refused join ends the old channel too."""
        self.join(data.draw(st.sampled_from(sorted(self.peers))), agent, key)

    def join(self, peer: int, agent: str, key: str) -> None:
        self.peers[peer].send(topic_of(agent), "phx_join", {"api_key": key})
        again = peer in self.model.members[agent]
        if again:
            self.model.depart(peer, agent)
        if key == KEY:
            self.model.reply(peer, agent, "ok", {"agent_id": agent})
            self.model.arrive(peer, agent)
        else:
            self.model.reply(peer, agent, "error", {"reason": "unauthorized"})
        if again:
            self.model.say(peer, agent, "phx_close", {})
        self.settle()

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), event=st.sampled_from(["phx_leave", "test:crash", "test:stop"]))
    def leave(self, data: st.DataObject, event: str) -> None:
        peer, agent = data.draw(st.sampled_from(self.pairs))
        self.peers[peer].send(topic_of(agent), event)
        if event == "phx_leave":
            self.model.reply(peer, agent, "ok", {})
        if event == "test:crash":
            self.model.say(peer, agent, "phx_error", {"reason": "channel_crash"})
        else:
            self.model.say(peer, agent, "phx_close", {})
        self.model.depart(peer, agent)
        self.settle()

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), event=st.sampled_from(["query", "interrupt", "ping"]), ref=names)
    def speak_as_a_stranger(self, data: st.DataObject, event: str, ref: str) -> None:
        """On a topic that this connection has not joined."""
        strangers = [(peer, agent) for peer in self.peers for agent in "ab" if (peer, agent) not in self.pairs]
        if strangers:
            peer, agent = data.draw(st.sampled_from(strangers))
            self.peers[peer].send(topic_of(agent), event, {"q": "why?", "ref": ref})
            self.model.reply(peer, agent, "error", {"reason": "unmatched topic"})
            self.settle()

    # Queries

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), queries=st.lists(asked, min_size=1, max_size=3))
    def ask(self, data: st.DataObject, queries: list[tuple[str, int, int | None]]) -> None:
        self.ask_all(*data.draw(st.sampled_from(self.pairs)), queries)

    def ask_all(self, peer: int, agent: str, queries: list[tuple[str, int, int | None]]) -> None:
        for ref, priority, timeout in queries:
            payload = {"q": "why?", "ref": ref, "priority": priority, "timeout": timeout}
            self.peers[peer].send(topic_of(agent), "query", payload)
            if self.model.find(agent, ref) is not None:
                self.model.reply(peer, agent, "error", {"reason": f"ref already in use: {ref}", "field": "ref"})
            else:
                patience = PATIENCE if timeout is None else timeout / 1000
                refusal = self.model.submit(Asked(agent, ref, priority, self.model.now + patience))
                accepted = {"ref": ref, "status": "processing"}
                self.model.reply(peer, agent, *(("ok", accepted) if refusal is None else ("error", refusal)))
            self.settle()

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), known=st.booleans(), ref=names)
    def interrupt(self, data: st.DataObject, known: bool, ref: str) -> None:
        """A query of its own, or whatever has this ref: another agent's, or none at all."""
        peer, agent = data.draw(st.sampled_from(self.pairs))
        own = [query.ref for query in self.model.queries if query.agent == agent]
        ref = data.draw(st.sampled_from(own)) if known and own else ref
        self.peers[peer].send(topic_of(agent), "interrupt", {"ref": ref, "reason": "enough"})
        self.model.reply(peer, agent, "ok", {})
        query = self.model.find(agent, ref)
        if query is not None:
            self.model.end(query, "interrupted", "enough")
        self.settle()

    # The runner

    @precondition(lambda self: self.node.runner.running)
    @rule(data=st.data(), thought=st.integers(0, 99))
    def think(self, data: st.DataObject, thought: int) -> None:
        job = data.draw(st.sampled_from(self.node.runner.running))
        assert self.node.scheduler.think(job, thought)
        self.model.say_all(job.agent, "thought", {"ref": job.ref, "thought": thought})
        self.settle()

    @precondition(lambda self: self.node.runner.running)
    @rule(data=st.data(), how=st.sampled_from(["success", "error", "unspeakable"]))
    def finish(self, data: st.DataObject, how: str) -> None:
        """Well, badly, or with data that no one can write down."""
        job = data.draw(st.sampled_from(self.node.runner.running))
        status = "error" if how == "error" else "success"
        assert self.node.scheduler.finish(job, status, object() if how == "unspeakable" else how)
        self.node.runner.running.remove(job)
        query = self.model.find(job.agent, job.ref)
        assert query is not None
        if how == "unspeakable":
            self.model.end(query, "error", {"reason": "result has no JSON form"})
        else:
            self.model.end(query, status, how)
        self.settle()

    @precondition(lambda self: self.model.ended)
    @rule(data=st.data())
    def report_too_late(self, data: st.DataObject) -> None:
        over = [job for job in self.node.runner.started if job not in self.node.runner.running]
        if over:
            job = data.draw(st.sampled_from(over))
            assert not self.node.scheduler.think(job, "too late")
            assert not self.node.scheduler.finish(job, "success", "too late")
            self.settle()

    # The node

    @rule(seconds=st.sampled_from([0.0, 1.0, 1.0, 4.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.settle(seconds)

    @precondition(lambda self: self.model.accepted > 8)
    @rule()
    def drain(self) -> None:
        self.node.cortex.drain()
        self.model.draining = True

    # What must hold

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """The connections and the agents as which they have joined."""
        return [(peer, agent) for agent, members in self.model.members.items() for peer in members]

    def settle(self, seconds: float = 0.0) -> None:
        """Let some time pass, then compare what each connection heard with what the model says."""
        self.node.settle(seconds + INSTANT)
        self.model.pass_time(seconds + INSTANT)
        for number, peer in self.peers.items():
            if number not in self.lagging:
                self.compare(number, peer)

    def compare(self, number: int, peer: Peer) -> None:
        heard: list[Heard] = []
        for frame in peer.take():
            if frame.event in PRESENCE:
                self.views[number, frame.topic] = sync(self.views.get((number, frame.topic), {}), [frame])
            else:
                heard.append((frame.topic, frame.event, _predictable(frame.payload)))
        assert heard == self.model.hears.pop(number, [])

    def forget(self, peer: int) -> None:
        """A connection has ended: what it had not read is lost."""
        for agent, members in self.model.members.items():
            if peer in members:
                self.model.depart(peer, agent)
        self.model.hears.pop(peer, None)
        self.lagging.discard(peer)
        self.views = {(number, topic): view for (number, topic), view in self.views.items() if number != peer}
        del self.peers[peer]

    @invariant()
    def queries_are_conserved(self) -> None:
        scheduler, model = self.node.scheduler, self.model
        assert (scheduler.waiting, scheduler.running) == (len(model.waiting), len(model.running))
        assert scheduler.submitted == scheduler.rejected + scheduler.waiting + scheduler.running + scheduler.ended
        assert (scheduler.rejected, scheduler.ended) == (model.rejected, model.ended)
        assert len(self.node.runner.running) == len(model.running)

    @invariant()
    def every_table_holds_what_it_should_and_no_more(self) -> None:
        cortex, model = self.node.cortex, self.model
        assert sorted((job.agent, job.ref) for job in cortex.interrupts) == sorted(
            (q.agent, q.ref) for q in model.queries
        )
        assert {agent: len(cortex.connections.get(agent)) for agent in "ab"} == {
            agent: len(members) for agent, members in model.members.items()
        }
        assert len(cortex.sockets) == len(self.peers)
        assert self.node.timers == min(1, len(model.queries)) + len(model.absent)  # one for all deadlines

    @invariant()
    def everybody_knows_who_is_here(self) -> None:
        presence = self.node.cortex.endpoint.presence
        for agent, members in self.model.members.items():
            state = presence.list(topic_of(agent))
            assert sum(len(entry["metas"]) for entry in state.values()) == len(members)
            for peer in members:
                if peer not in self.lagging:
                    assert refs(self.views[peer, topic_of(agent)]) == refs(state)

    def teardown(self) -> None:
        """All go, one way or the other; then time passes until nothing is to come."""
        if self.shuts_down:
            self.node.cortex.shut_down(1012)
            self.node.settle()
        for peer in self.peers.values():
            peer.disconnect()
        self.node.clock.run_until_idle()
        assert self.node.leftovers() == {}
        endings = Counter((event.agent, event.ref, event.admitted) for event in self.node.announced(events.Finished))
        assert len(endings) == self.model.accepted
        assert set(endings.values()) <= {1}


def _predictable(payload: Any) -> Any:
    """A payload without times."""
    payload = timeless(payload)
    response = payload.get("response")
    if isinstance(response, dict):
        response.pop("retry_after_ms", None)
    return payload


CoreAgainstModel.TestCase.settings = settings(max_examples=200, stateful_step_count=50)
TestCoreAgainstModel = CoreAgainstModel.TestCase
