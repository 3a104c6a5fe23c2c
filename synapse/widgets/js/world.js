// What is known of a node: agents, queries as spans, and a ring of all events. Fed with telemetry, drawn by widgets.
// Pure: it touches no page and no clock. All times are Unix time in s.

export const KIND = {
  Other: 0, Submitted: 1, Started: 2, Thought: 3, success: 4, error: 5, timeout: 6, interrupted: 7, Rejected: 8,
};
const TICKS = 400; // thoughts of a query that are drawn one by one
const TRACKS = 4; // queries of one agent that are drawn side by side

// The recent events, as columns of numbers: 13 bytes each.
export class Ring {
  constructor(capacity) {
    this.capacity = capacity;
    this.time = new Float64Array(capacity);
    this.agent = new Uint32Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.head = 0; // events ever added
  }

  add(time, agent, kind) {
    const place = this.head++ % this.capacity;
    this.time[place] = time;
    this.agent[place] = agent;
    this.kind[place] = kind;
  }

  get tail() {
    return Math.max(0, this.head - this.capacity);
  }

  // The number of the first event that is not older than `time`; they come nearly in order.
  from(time) {
    let low = this.tail, high = this.head;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.time[middle % this.capacity] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

// Durations over the last minute, in bins of a tenth of a decade from 10 µs on.
export class Durations {
  constructor() {
    this.slices = Array.from({ length: 6 }, () => ({ of: -1, bins: new Uint32Array(80) }));
  }

  add(seconds, now) {
    const of = Math.floor(now / 10);
    const slice = this.slices[of % 6];
    if (slice.of !== of) {
      slice.of = of;
      slice.bins.fill(0);
    }
    slice.bins[Math.max(0, Math.min(79, Math.floor(10 * Math.log10(Math.max(seconds, 1e-9) / 1e-5))))]++;
  }

  // {bins, count, p50, p99}, the quantiles in s (to a tenth of a decade), null where there is nothing.
  read(now) {
    const bins = new Uint32Array(80), current = Math.floor(now / 10);
    for (const slice of this.slices) {
      if (current - slice.of < 6) for (let bin = 0; bin < 80; bin++) bins[bin] += slice.bins[bin];
    }
    const count = bins.reduce((sum, one) => sum + one, 0);
    return { bins, count, p50: quantile(bins, count, 0.5), p99: quantile(bins, count, 0.99) };
  }
}

function quantile(bins, count, share) {
  if (!count) return null;
  let rest = share * count;
  for (let bin = 0; bin < bins.length; bin++) {
    if (rest <= bins[bin]) return 1e-5 * 10 ** ((bin + rest / bins[bin]) / 10);
    rest -= bins[bin];
  }
  return 1e-5 * 10 ** (bins.length / 10);
}

// Counts for each of the last seconds.
export class Seconds {
  constructor(length = 120) {
    this.counts = new Uint32Array(length);
    this.last = 0;
  }

  at(time) {
    const second = Math.floor(time), length = this.counts.length;
    if (second > this.last) {
      for (let one = Math.max(this.last + 1, second - length + 1); one <= second; one++) this.counts[one % length] = 0;
      this.last = second;
    }
    return second % length;
  }

  add(time) {
    if (Math.floor(time) > this.last - this.counts.length) this.counts[this.at(time)]++;
  }

  // The last `length` whole seconds, the second that runs left out.
  read(now, length = 60) {
    this.at(now);
    const end = Math.floor(now), size = this.counts.length;
    return Array.from({ length }, (_, place) => this.counts[(((end - length + place) % size) + size) % size]);
  }
}

export class World {
  constructor({ events = 2 ** 20, spans = 100_000 } = {}) {
    this.ring = new Ring(events);
    this.most = spans;
    this.spans = []; // all, oldest first, from `first` on
    this.first = 0;
    this.agents = new Map();
    this.byIndex = [];
    this.total = 0; // events so far
    this.lost = 0; // events that did not reach us
    this.epoch = 0;
    this.at = 0; // the latest time that was heard of
    this.gauges = null;
    this.history = []; // of gauges
    this.policies = null;
    this.drops = 0;
    this.firstThought = new Durations();
    this.results = new Durations();
    this.rates = { events: new Seconds(), Submitted: new Seconds(), Thought: new Seconds(), ended: new Seconds() };
    this.rates.Rejected = new Seconds();
    this.rosterVersion = 0;
  }

  agent(name) {
    let agent = this.agents.get(name);
    if (!agent) {
      agent = {
        name, index: this.byIndex.length, online: false, onlineAt: null, connections: new Map(), status: "", load: null,
        running: 0, waiting: 0, ended: 0, last: 0, rtt: null, open: new Map(), spans: [], first: 0, tracks: [],
      };
      this.agents.set(name, agent);
      this.byIndex.push(agent);
      this.rosterVersion++;
    }
    return agent;
  }

  // A batch of telemetry, and how many events are missing before it.
  events(batch, dropped = 0) {
    this.lost += dropped;
    for (const event of batch) this.event(event);
  }

  event(event) {
    const at = event.at + this.epoch;
    if (at > this.at) this.at = at;
    this.total++;
    this.rates.events.add(at);
    const agent = event.agent === undefined ? null : this.agent(event.agent);
    if (agent) agent.last = at;
    switch (event.event) {
      case "Submitted": return this.submitted(agent, event, at);
      case "Started": return this.started(agent, event, at);
      case "Thought": return this.thought(agent, event, at);
      case "Finished": return this.finished(agent, event, at);
      case "Rejected": return this.rejected(agent, event, at);
      case "Dropped": this.drops += event.messages; return;
      case "Joined": agent.connections.set(event.connection, at); this.presence(agent); return;
      case "Left": agent.connections.delete(event.connection); this.presence(agent); return;
    }
  }

  presence(agent) {
    agent.online = agent.connections.size > 0;
    this.rosterVersion++;
  }

  submitted(agent, event, at) {
    this.ring.add(at, agent.index, KIND.Submitted);
    this.rates.Submitted.add(at);
    this.begin(agent, event.ref, at, event.priority, event.handler);
  }

  begin(agent, ref, at, priority, handler) {
    const old = agent.open.get(ref);
    if (old) this.end(agent, old, at, "lost", "");
    const span = {
      agent, ref, submitted: at, started: null, first: null, finished: null, status: null, reason: null,
      thoughts: 0, ticks: [], priority: priority ?? null, handler: handler ?? "", attempt: 1, track: free(agent.tracks),
    };
    agent.tracks[span.track] = span;
    agent.open.set(ref, span);
    agent.waiting++;
    this.keep(span);
    return span;
  }

  find(agent, ref, at) {
    return agent.open.get(ref) ?? this.begin(agent, ref, at); // its beginning did not reach us
  }

  started(agent, event, at) {
    const span = this.find(agent, event.ref, at);
    if (span.started === null) {
      span.started = at;
      agent.waiting--;
      agent.running++;
    }
    this.ring.add(at, agent.index, KIND.Started);
  }

  thought(agent, event, at) {
    const span = this.find(agent, event.ref, at);
    if (span.first === null) {
      span.first = at;
      this.firstThought.add(at - span.submitted, at);
    }
    span.thoughts = event.seq;
    if (span.ticks.length < TICKS) span.ticks.push(at);
    this.ring.add(at, agent.index, KIND.Thought);
    this.rates.Thought.add(at);
  }

  finished(agent, event, at) {
    const span = this.find(agent, event.ref, at);
    span.submitted = event.submitted + this.epoch;
    span.attempt = event.attempt;
    span.priority = event.priority;
    span.thoughts = event.thoughts;
    this.end(agent, span, at, event.status, event.reason);
    if (event.status !== "interrupted") this.results.add(at - span.submitted, at);
    this.ring.add(at, agent.index, KIND[event.status] ?? KIND.error);
    this.rates.ended.add(at);
  }

  end(agent, span, at, status, reason) {
    span.finished = at;
    span.status = status;
    span.reason = reason;
    if (agent.open.get(span.ref) === span) agent.open.delete(span.ref);
    if (agent.tracks[span.track] === span) agent.tracks[span.track] = undefined;
    if (span.started === null) agent.waiting--;
    else agent.running--;
    agent.ended++;
  }

  rejected(agent, event, at) {
    const open = agent.open.get(event.ref);
    const span = open ?? this.begin(agent, event.ref, at, event.priority);
    this.end(agent, span, at, "rejected", `${event.reason} (${event.policy})`);
    agent.ended--;
    this.ring.add(at, agent.index, KIND.Rejected);
    this.rates.Rejected.add(at);
  }

  keep(span) {
    this.spans.push(span);
    span.agent.spans.push(span);
    if (this.spans.length - this.first > this.most) {
      const oldest = this.spans[this.first];
      this.spans[this.first++] = undefined;
      oldest.agent.first++;
      shrink(this);
      shrink(oldest.agent);
    }
  }

  // Everything as it is now, from a node that we may have known before.
  snapshot(snapshot) {
    this.epoch = snapshot.epoch;
    const at = snapshot.at + snapshot.epoch;
    this.at = Math.max(this.at, at);
    this.policies = snapshot.policies;
    const here = new Set();
    for (const { agent: name, online_at, connections, metas } of snapshot.agents) {
      const agent = this.agent(name);
      here.add(agent);
      agent.connections = new Map(Array.from({ length: connections }, (_, place) => [`before-${place}`, at]));
      agent.online = true;
      agent.onlineAt = online_at;
      agent.last ||= at;
      this.metas(agent, metas);
    }
    for (const agent of this.agents.values()) if (!here.has(agent)) agent.online = false;
    this.unfinished(snapshot.queries, at);
    this.gauge(snapshot.gauges);
    this.rosterVersion++;
  }

  unfinished(queries, at) {
    const live = new Set();
    for (const query of queries) {
      const agent = this.agent(query.agent);
      const known = agent.open.get(query.ref);
      const span = known ?? this.begin(agent, query.ref, query.submitted + this.epoch, query.priority, query.handler);
      live.add(span);
      if (span.started === null && query.started !== null) {
        span.started = query.started + this.epoch;
        agent.waiting--;
        agent.running++;
      }
      if (query.first_thought !== null) span.first ??= query.first_thought + this.epoch;
      span.thoughts = query.thoughts;
    }
    for (const agent of this.agents.values()) {
      for (const span of [...agent.open.values()]) if (!live.has(span)) this.end(agent, span, at, "lost", "");
    }
  }

  gauge(gauges) {
    this.gauges = { ...gauges, at: gauges.at + this.epoch };
    this.at = Math.max(this.at, this.gauges.at);
    this.history.push(this.gauges);
    if (this.history.length > 120) this.history.shift();
    for (const [name, rtt] of Object.entries(gauges.rtt)) this.agent(name).rtt = rtt;
  }

  presenceState(state) {
    for (const agent of this.agents.values()) agent.metas = new Map();
    this.presenceDiff({ joins: state, leaves: {} });
  }

  presenceDiff({ joins, leaves }) {
    for (const [name, { metas }] of Object.entries(joins)) this.metas(this.agent(name), metas);
    for (const [name, { metas }] of Object.entries(leaves)) {
      const agent = this.agents.get(name);
      if (agent?.metas) for (const meta of metas) agent.metas.delete(meta.phx_ref);
      if (agent) this.settleMetas(agent);
    }
    this.rosterVersion++;
  }

  metas(agent, metas) {
    agent.metas ??= new Map();
    for (const meta of metas) {
      if (meta.phx_ref_prev) agent.metas.delete(meta.phx_ref_prev);
      agent.metas.set(meta.phx_ref, meta);
    }
    this.settleMetas(agent);
  }

  settleMetas(agent) {
    const metas = [...agent.metas.values()];
    agent.online = metas.length > 0;
    if (!metas.length) return;
    agent.onlineAt = Math.min(...metas.map((meta) => meta.online_at ?? Infinity));
    agent.status = [...new Set(metas.map((meta) => meta.status ?? ""))].join(", ");
    const loads = metas.map((meta) => meta.load).filter((load) => load !== undefined);
    agent.load = loads.length ? Math.max(...loads) : null;
  }
}

// The number of connections that an agent has.
export function connectionsOf(agent) {
  return agent.metas?.size ?? agent.connections.size;
}

function free(tracks) {
  for (let track = 0; track < TRACKS; track++) if (!tracks[track]) return track;
  return TRACKS - 1;
}

function shrink(holder) {
  if (holder.first > 1000 && holder.first * 2 > holder.spans.length) {
    holder.spans = holder.spans.slice(holder.first);
    holder.first = 0;
  }
}
