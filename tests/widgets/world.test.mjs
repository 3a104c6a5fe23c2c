// What the pages know of a node, fed by hand.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

// The package's modules say nothing of their kind, so they are read from a copy that does.
const folder = mkdtempSync(join(tmpdir(), "widgets-"));
cpSync(new URL("../../synapse/widgets/js/", import.meta.url), folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{"type": "module"}');
const { Durations, KIND, Ring, Seconds, World } = await import(join(folder, "world.js"));
const { Bins } = await import(join(folder, "bins.js"));
const { Filter } = await import(join(folder, "filter.js"));
const { Playback } = await import(join(folder, "playback.js"));

const on = (event, at, agent = "a", ref = "q1", more = {}) => ({ event, at, node: "n", agent, ref, ...more });
const finished = (at, submitted, status = "success", agent = "a", ref = "q1") =>
  on("Finished", at, agent, ref, { submitted, status, reason: null, priority: 5, attempt: 1, thoughts: 1 });
const gauges = { at: 0, rtt: {}, refusals: {} };
const snapshot = (at, agents, queries, epoch = 0) => ({ at, epoch, node: "n", agents, queries, policies: {}, gauges });
const present = (agent, connections = 1) => ({ agent, connections, online_at: 1, metas: [{ phx_ref: agent, online_at: 1, status: "active" }] });
const unfinished = (agent, ref, submitted, started = null) =>
  ({ agent, ref, handler: "echo", priority: 5, attempt: 1, submitted, started, first_thought: null, thoughts: 0 });

test("a query is a span from its submission to its ending", () => {
  const world = new World();
  world.events([on("Submitted", 1), on("Admitted", 1), on("Started", 2), on("Thought", 3, "a", "q1", { seq: 1 }), finished(4, 1)]);
  const [span] = world.spans;
  assert.deepEqual([span.submitted, span.started, span.first, span.finished, span.status], [1, 2, 3, 4, "success"]);
  const agent = world.agents.get("a");
  assert.deepEqual([agent.running, agent.waiting, agent.open.size, agent.ended], [0, 0, 0, 1]);
});

test("queries of one agent at once lie side by side", () => {
  const world = new World();
  world.events([on("Submitted", 1, "a", "q1"), on("Submitted", 1, "a", "q2"), on("Started", 1, "a", "q1"), finished(2, 1), on("Submitted", 3, "a", "q3")]);
  assert.deepEqual(world.spans.map((span) => span.track), [0, 1, 0]);
});

test("a refusal is a span of no length, and no query of the agent's is open after it", () => {
  const world = new World();
  world.events([on("Submitted", 1), on("Rejected", 1, "a", "q1", { reason: "overloaded", policy: "priority" })]);
  assert.deepEqual([world.spans.length, world.spans[0].status, world.spans[0].reason], [1, "rejected", "overloaded (priority)"]);
  assert.equal(world.agents.get("a").waiting, 0);
});

test("the end of a query whose beginning did not reach us is shown all the same", () => {
  const world = new World();
  world.events([finished(4, 1)]);
  assert.deepEqual([world.spans[0].submitted, world.spans[0].finished], [1, 4]);
});

test("times are Unix time by the snapshot's epoch", () => {
  const world = new World();
  world.snapshot(snapshot(10, [present("a")], [unfinished("a", "q1", 9, 9.5)], 1000));
  assert.deepEqual([world.spans[0].submitted, world.spans[0].started, world.at], [1009, 1009.5, 1010]);
  world.events([on("Thought", 11, "a", "q1", { seq: 1 })]);
  assert.equal(world.spans[0].first, 1011);
});

test("a second snapshot ends what it does not know, and keeps what it does", () => {
  const world = new World();
  world.snapshot(snapshot(1, [present("a"), present("b")], [unfinished("a", "q1", 0), unfinished("b", "q1", 0, 0)]));
  world.snapshot(snapshot(5, [present("a")], [unfinished("a", "q1", 0, 2)]));
  assert.deepEqual([world.agents.get("a").online, world.agents.get("b").online], [true, false]);
  assert.deepEqual(world.spans.map((span) => span.status), [null, "lost"]);
  assert.deepEqual([world.agents.get("a").running, world.agents.get("a").waiting, world.agents.get("b").running], [1, 0, 0]);
});

test("presence: a meta that changes takes the place of the old one; the last to leave is the end", () => {
  const world = new World();
  world.presenceState({ a: { metas: [{ phx_ref: "1", online_at: 5, status: "active" }] } });
  const meta = { phx_ref: "2", phx_ref_prev: "1", online_at: 5, status: "busy", load: 0.5 };
  world.presenceDiff({ joins: { a: { metas: [meta] } }, leaves: { a: { metas: [{ phx_ref: "1" }] } } });
  const agent = world.agents.get("a");
  assert.deepEqual([agent.online, agent.status, agent.load, agent.metas.size], [true, "busy", 0.5, 1]);
  world.presenceDiff({ joins: {}, leaves: { a: { metas: [meta] } } });
  assert.equal(agent.online, false);
});

test("who was here before us and leaves is gone, whether presence or telemetry says so first", () => {
  for (const order of [["presence", "telemetry"], ["telemetry", "presence"]]) {
    const world = new World();
    world.snapshot(snapshot(1, [present("a")], []));
    for (const says of order) {
      if (says === "presence") world.presenceDiff({ joins: {}, leaves: { a: { metas: [{ phx_ref: "a" }] } } });
      else world.events([{ event: "Left", at: 2, node: "n", agent: "a", connection: 3, reason: "left" }]);
    }
    const agent = world.agents.get("a");
    assert.deepEqual([agent.online, agent.connections.size], [false, 0]);
  }
});

test("no more spans are kept than there is room for; the oldest go, from their agents too", () => {
  const world = new World({ spans: 10 });
  for (let number = 0; number < 5000; number++) {
    const ref = `q${number}`, agent = `a${number % 3}`;
    world.events([on("Submitted", number, agent, ref), finished(number + 1, number, "success", agent, ref)]);
  }
  assert.equal(world.spans.length - world.first, 10);
  const kept = [...world.agents.values()].flatMap((agent) => agent.spans.slice(agent.first));
  assert.deepEqual(kept.map((span) => span.submitted).sort((one, other) => one - other), [...Array(10).keys()].map((number) => 4990 + number));
  assert.ok(world.spans.length < 4000, "what is gone takes no memory");
});

test("every event counts, and so does what did not reach us", () => {
  const world = new World();
  world.events([on("Submitted", 1), on("Admitted", 1)], 7);
  assert.deepEqual([world.total, world.lost], [2, 7]);
});

test("the ring keeps the latest events and finds them by time", () => {
  const ring = new Ring(8);
  for (let time = 0; time < 20; time++) ring.add(time, 0, KIND.Thought);
  assert.deepEqual([ring.tail, ring.head, ring.from(15), ring.from(0), ring.from(99)], [12, 20, 15, 12, 20]);
});

test("quantiles are right to a tenth of a decade, and forget after a minute", () => {
  const durations = new Durations();
  for (let number = 1; number <= 1000; number++) durations.add(number / 1000, 5);
  const { count, p50, p99 } = durations.read(6);
  assert.equal(count, 1000);
  assert.ok(Math.abs(Math.log10(p50 / 0.5)) < 0.1 && Math.abs(Math.log10(p99 / 0.99)) < 0.1, `${p50} ${p99}`);
  assert.equal(durations.read(70).count, 0);
});

test("counts by second leave the running one out and forget the old ones", () => {
  const seconds = new Seconds(10);
  for (const time of [1.1, 1.9, 2.5, 4.2]) seconds.add(time);
  assert.deepEqual(seconds.read(4.9, 4), [0, 2, 1, 0]);
  assert.deepEqual(seconds.read(30, 4), [0, 0, 0, 0]);
});

test("bins count by lane and column, and go on counting what comes", () => {
  const ring = new Ring(1000), bins = new Bins(ring), lanes = [{ index: 4 }, { index: 2 }];
  ring.add(0.5, 2, KIND.Thought);
  ring.add(1.5, 4, KIND.error);
  ring.add(1.6, 9, KIND.error); // of no lane that is shown
  const seen = (lane) => {
    const found = [];
    bins.each(lane, 10, (column, kind, count) => found.push([column, kind, count]));
    return found;
  };
  bins.update(lanes, 0, 10, 10);
  assert.deepEqual([seen(0), seen(1)], [[[1, 2, 1]], [[0, 0, 1]]]);
  ring.add(9.5, 2, KIND.Thought);
  ring.add(9.6, 2, KIND.Thought);
  bins.update(lanes, 0, 10, 10);
  assert.deepEqual(seen(1), [[0, 0, 1], [9, 0, 2]]);
});

test("bins of a window that moves are those of a window that was there from the start", () => {
  const ring = new Ring(10_000), moving = new Bins(ring), lanes = [{ index: 0 }];
  let random = 1;
  const next = () => (random = (random * 48271) % 2147483647) / 2147483647;
  for (let now = 0; now < 60; now += 0.016) {
    for (let many = 0; many < 3; many++) ring.add(now + next() * 0.001, 0, KIND.Thought);
    moving.update(lanes, now - 10, now, 200);
  }
  const fresh = new Bins(ring), read = (bins) => {
    const found = [];
    bins.each(0, 200, (...mark) => found.push(mark.join()));
    return found;
  };
  const end = 59.9, width = 10;
  moving.update(lanes, end - width, end, 200);
  fresh.update(lanes, end - width, end, 200);
  assert.deepEqual(read(moving).slice(2, -2), read(fresh).slice(2, -2)); // but for the edges, which are cut
});

test("a filter's words must all be there; a field narrows one", () => {
  const world = new World();
  world.events([on("Submitted", 1, "ada", "q1"), finished(2, 1, "interrupted", "ada", "q1"), on("Submitted", 1, "bob", "q7")]);
  const [ada, bob] = world.spans;
  const fits = (text) => [ada, bob].map((span) => new Filter(text).span(span));
  assert.deepEqual(fits(""), [true, true]);
  assert.deepEqual(fits("ada"), [true, false]);
  assert.deepEqual(fits("agent:ada event:interrupted"), [true, false]);
  assert.deepEqual(fits("ref:q7"), [false, true]);
  assert.deepEqual(fits("event:finished"), [true, false]);
  assert.deepEqual(fits("bob interrupted"), [false, false]);
  assert.deepEqual([new Filter("agent:a").agentsOnly, new Filter("a").agentsOnly], [true, false]);
});

test("a table is played: it begins at its end, and plays from the start", () => {
  const bytes = (Type, ...values) => new DataView(Type.from(values).buffer);
  const table = {
    rows: 2, start: 100, duration: 5, agents: ["a", "b"], statuses: ["success", "rejected"], refs: ["q1", "q2"], reasons: [null, "overloaded"],
    columns: {
      agent: bytes(Uint32Array, 0, 1), status: bytes(Uint8Array, 0, 1), thoughts: bytes(Uint32Array, 3, 0), priority: bytes(Uint8Array, 5, 5),
      submitted: bytes(Float64Array, 0, 1), started: bytes(Float64Array, 1, NaN), first_thought: bytes(Float64Array, 2, NaN), finished: bytes(Float64Array, 5, 1),
    },
  };
  const playback = new Playback(table);
  assert.deepEqual([playback.now(0), playback.playing], [5, false]);
  assert.deepEqual(playback.world.spans.map((span) => [span.agent.name, span.status, span.first]), [["a", "success", 2], ["b", "rejected", null]]);
  playback.play();
  playback.since = 0;
  playback.speed = 2;
  assert.equal(playback.now(1), 2);
  playback.seek(99);
  assert.equal(playback.now(1), 5);
  playback.now(2);
  assert.equal(playback.playing, false);
});
