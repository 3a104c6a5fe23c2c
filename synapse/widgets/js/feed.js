// A feed: one world with its clock and its selection, shared by all widgets of a page that look at the same cortex.
// What comes in is frames, whether by WebSocket from the page's own server or relayed by the kernel.

import { Phoenix } from "./phoenix.js";
import { World } from "./world.js";
import { Playback } from "./playback.js";

const BEHIND = 0.08; // s that the view lags, so that what it shows has arrived
const ALIVE = 5_000; // ms between two signs of life to the kernel
const INTERVAL = 33; // ms between two batches of the server

const shared = (globalThis[Symbol.for("synapse.widgets 1")] ??= { feeds: new Map() });

// The feed of a widget's model; call `release` when the widget goes.
export function acquire(model) {
  const kind = model.get("source");
  const key = kind === "trace" ? `trace ${model.get("still")}` : `${kind} ${model.get("cortex")}`;
  let entry = shared.feeds.get(key);
  if (!entry) shared.feeds.set(key, (entry = { feed: kind === "trace" ? new TraceFeed(model) : new LiveFeed(kind), users: 0 }));
  entry.users++;
  clearTimeout(entry.closing);
  const leave = entry.feed.carry(model);
  return {
    feed: entry.feed,
    release() {
      leave();
      if (--entry.users === 0) {
        entry.closing = setTimeout(() => {
          shared.feeds.delete(key);
          entry.feed.close();
        }, 1000); // a cell that is run again finds what was there
      }
    },
  };
}

class Feed {
  constructor(world) {
    this.world = world;
    this.selection = { agent: null, ref: null };
    this.status = "connecting";
    this.why = "";
    this.listeners = new Set();
  }

  // Call `listener(what)` when the "selection" or the "status" has changed. Returns the end of it.
  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }

  select(agent, ref = null) {
    this.selection = { agent, ref };
    this.tell("selection");
  }

  // A query by the selection, the latest of that ref.
  selected() {
    const { agent: name, ref } = this.selection;
    const agent = name === null ? null : this.world.agents.get(name);
    if (!agent || ref === null) return null;
    return agent.open.get(ref) ?? agent.spans.findLast((span) => span?.ref === ref) ?? null;
  }

  said(status, why = "") {
    if (status === this.status && why === this.why) return;
    this.status = status;
    this.why = why;
    this.tell("status");
  }

  carry() {
    return () => {};
  }
}

class LiveFeed extends Feed {
  constructor(kind) {
    super(new World());
    this.kind = kind;
    this.live = true;
    this.offset = null;
    this.carriers = [];
    this.pending = new Map();
    this.number = 0;
    const url = kind === "page" ? pageSocket() : null;
    if (url) {
      const topics = { "cortex:monitor": { interval_ms: INTERVAL }, "cortex:presence": {} };
      this.phoenix = new Phoenix(url, topics, (frame) => this.frame(frame), (status, why) => this.connection(status, why));
    } else {
      this.relaying = true;
    }
  }

  // The server's clock, as far as we know it, a moment ago.
  now() {
    return this.offset === null ? Date.now() / 1000 : performance.now() / 1000 + this.offset - BEHIND;
  }

  heardAt(time) {
    const offset = time - performance.now() / 1000;
    if (this.offset === null || offset > this.offset || this.offset - offset > 2) this.offset = offset;
    else this.offset += (offset - this.offset) * 0.002; // clocks drift, and a long way is not for ever
  }

  frame([, , topic, event, payload]) {
    const world = this.world;
    if (topic === "cortex:presence") {
      if (event === "presence_state") world.presenceState(payload);
      else if (event === "presence_diff") world.presenceDiff(payload);
    } else if (event === "events") {
      world.events(payload.events, payload.dropped);
      this.heardAt(world.at);
    } else if (event === "gauges") {
      world.gauge(payload);
      this.heardAt(payload.at + world.epoch);
    } else if (event === "snapshot") {
      world.snapshot(payload);
      this.offset = null;
      this.heardAt(payload.at + payload.epoch);
      this.tell("snapshot");
    } else if (event === "dropped") {
      world.lost += payload.events;
    }
  }

  connection(status, why) {
    if (status === "live" && this.relaying) this.goodbye(); // the straight way is open after all
    const hopeless = status === "refused" || (status === "connecting" && this.phoenix?.tries > 1);
    if (hopeless && !this.relaying) {
      this.relaying = true; // the kernel may know another way
      this.hello();
    }
    if (!this.relaying || this.status !== "live") this.said(status, why);
  }

  async push(event, payload) {
    if (!this.relaying) return this.phoenix.push("cortex:monitor", event, payload);
    const carrier = this.carriers[0];
    if (!carrier) return { status: "lost", response: {} };
    const id = ++this.number;
    carrier.send({ kind: "push", id, event, payload });
    return new Promise((resolve) => {
      this.pending.set(id, resolve);
      setTimeout(() => this.reply(id, { status: "lost", response: {} }), 10_000);
    });
  }

  reply(id, reply) {
    this.pending.get(id)?.(reply);
    this.pending.delete(id);
  }

  // A widget whose comm may carry frames from the kernel. One of them does.
  carry(model) {
    const hear = (message, buffers) => this.relayed(model, message, buffers);
    model.on("msg:custom", hear);
    this.carriers.push(model);
    if (this.carriers[0] === model) this.hello();
    return () => {
      model.off("msg:custom", hear);
      const first = this.carriers[0] === model;
      if (first && this.relaying) model.send({ kind: "bye" });
      this.carriers = this.carriers.filter((one) => one !== model);
      if (first) this.hello();
    };
  }

  hello() {
    if (!this.relaying || !this.carriers.length) return;
    clearInterval(this.alive);
    this.carriers[0].send({ kind: "hello" });
    this.alive = setInterval(() => this.carriers[0]?.send({ kind: "alive" }), ALIVE);
  }

  goodbye() {
    this.relaying = false;
    clearInterval(this.alive);
    this.carriers[0]?.send({ kind: "bye" });
  }

  relayed(model, message, buffers) {
    if (model !== this.carriers[0] || !this.relaying) return;
    if (message.kind === "reply") this.reply(message.id, message.reply);
    else if (message.kind === "status") this.said(message.status, message.why);
    else if (message.kind === "frames") {
      for (const frame of JSON.parse(text(buffers[0]))) this.frame(frame);
    }
  }

  close() {
    clearInterval(this.alive);
    this.phoenix?.close();
  }
}

// A table of queries, played.
class TraceFeed extends Feed {
  constructor(model) {
    super(null);
    this.live = false;
    this.status = "trace";
    this.playback = new Playback(model.get("table"));
    this.world = this.playback.world;
  }

  now() {
    return this.playback.now(performance.now() / 1000);
  }

  async push() {
    return { status: "lost", response: {} };
  }

  close() {}
}

function text(buffer) {
  return new TextDecoder().decode(buffer);
}

// The page's own cortex; null where the page is no Jupyter server's.
function pageSocket() {
  const element = document.getElementById("jupyter-config-data");
  if (!element) return null;
  const { baseUrl, wsUrl } = JSON.parse(element.textContent);
  if (!baseUrl) return null;
  const here = new URL(baseUrl, location.href);
  const base = wsUrl || `${here.protocol === "https:" ? "wss" : "ws"}://${here.host}${here.pathname}`;
  return new URL("cortex/websocket", base.endsWith("/") ? base : `${base}/`).href;
}
