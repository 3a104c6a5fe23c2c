// A recorded or simulated table of queries as a world, and a clock that can be played, stopped and set.

import { KIND, World } from "./world.js";

export class Playback {
  // `table`: rows, agents (names), start (Unix time or 0), and columns of numbers as buffers. NaN: it did not come to that.
  constructor(table) {
    const column = (name, Type) => {
      const view = table.columns[name];
      return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    };
    this.start = 0;
    this.length = table.duration;
    this.origin = table.start;
    this.position = this.length;
    this.playing = false;
    this.speed = nice(this.length / 20 || 1);
    this.since = 0;
    this.world = build(table, column);
  }

  now(clock) {
    if (this.playing) {
      this.position = Math.min(this.length, this.position + (clock - this.since) * this.speed);
      if (this.position >= this.length) this.playing = false;
    }
    this.since = clock;
    return this.position;
  }

  play() {
    if (this.position >= this.length) this.position = 0;
    this.since = performance.now() / 1000;
    this.playing = true;
  }

  pause() {
    this.playing = false;
  }

  seek(position) {
    this.position = Math.max(0, Math.min(this.length, position));
  }
}

function build(table, column) {
  const rows = table.rows;
  const world = new World({ events: Math.max(16, 4 * rows), spans: rows + 1 });
  const agent = column("agent", Uint32Array), status = column("status", Uint8Array);
  const submitted = column("submitted", Float64Array), started = column("started", Float64Array);
  const first = column("first_thought", Float64Array), finished = column("finished", Float64Array);
  const thoughts = column("thoughts", Uint32Array), priority = column("priority", Uint8Array);
  const refs = table.refs, reasons = table.reasons;
  for (const name of table.agents) world.agent(name).online = true;
  const marks = [];
  for (let row = 0; row < rows; row++) {
    const owner = world.byIndex[agent[row]], ending = table.statuses[status[row]];
    const span = world.begin(owner, refs[row], submitted[row], priority[row], "");
    place(owner, span, finished[row]);
    span.started = known(started[row]);
    span.first = known(first[row]);
    span.ticks = span.first === null ? [] : [span.first];
    span.finished = finished[row];
    span.status = ending;
    span.reason = reasons[row] ?? null;
    span.thoughts = thoughts[row];
    owner.open.delete(span.ref);
    owner.waiting = 0;
    owner.ended++;
    marks.push([submitted[row], owner.index, KIND.Submitted]);
    if (span.first !== null) marks.push([span.first, owner.index, KIND.Thought]);
    marks.push([finished[row], owner.index, ending === "rejected" ? KIND.Rejected : KIND[ending] ?? KIND.error]);
  }
  marks.sort((one, other) => one[0] - other[0]);
  for (const mark of marks) world.ring.add(...mark);
  world.total = marks.length;
  world.at = table.duration;
  return world;
}

// The first track of an agent that is free by then; `tracks` holds until when each is taken.
function place(owner, span, until) {
  owner.until ??= [];
  let track = 0;
  while (track < 3 && (owner.until[track] ?? -1) > span.submitted) track++;
  owner.until[track] = until;
  owner.tracks = owner.until.map(() => undefined);
  span.track = track;
}

function known(value) {
  return Number.isNaN(value) ? null : value;
}

function nice(speed) {
  return 10 ** Math.round(Math.log10(speed));
}
