// Where there is too much to draw one by one: counts by lane and pixel column. An event only bumps a number; drawing
// costs the same whatever the rate.

export const COLUMN = 2; // px
const KINDS = 4; // what is drawn apart: thoughts and starts, successes, failures, interrupts
const GROUP = [0, 0, 0, 0, 1, 2, 2, 3, 2]; // by KIND of world.js

export class Bins {
  constructor(ring) {
    this.ring = ring;
    this.cursor = -1;
    this.shape = "";
  }

  // Bring the counts up to date for these lanes (agents) and this window; from scratch if either has changed.
  update(lanes, start, end, columns) {
    const step = (end - start) / columns;
    const shape = `${columns} ${step.toPrecision(9)} ${lanes.map((agent) => agent.index).join()}`;
    const first = Math.floor(start / step), last = Math.floor(end / step);
    if (shape !== this.shape || first < this.first || first > this.last) {
      this.begin(lanes, columns, step, first, start, shape);
    } else {
      this.clear(this.last + 1, Math.min(last, this.last + this.columns));
    }
    this.first = first;
    this.last = Math.max(last, this.last);
    this.count(start);
  }

  begin(lanes, columns, step, first, start, shape) {
    this.shape = shape;
    this.step = step;
    this.columns = columns + 64; // a margin for events that are ahead of what is shown
    this.counts = new Uint16Array(lanes.length * this.columns * KINDS);
    this.lane = new Map(lanes.map((agent, place) => [agent.index, place]));
    this.lanes = lanes.length;
    this.first = first;
    this.last = first + columns;
    this.cursor = this.ring.from(start);
  }

  clear(from, to) {
    for (let column = from; column <= to; column++) {
      const place = (column % this.columns) * KINDS;
      for (let lane = 0; lane < this.lanes; lane++) {
        const at = lane * this.columns * KINDS + place;
        this.counts.fill(0, at, at + KINDS);
      }
    }
  }

  count(start) {
    const { ring, lane, counts, columns, step } = this;
    const newest = this.first + columns - 1;
    for (this.cursor = Math.max(this.cursor, ring.tail); this.cursor < ring.head; this.cursor++) {
      const place = this.cursor % ring.capacity;
      const time = ring.time[place];
      if (time < start) continue;
      const column = Math.floor(time / step);
      if (column > newest) break; // not yet
      if (column > this.last) {
        this.clear(this.last + 1, column);
        this.last = column;
      }
      const row = lane.get(ring.agent[place]);
      if (row === undefined) continue;
      const at = (row * columns + (column % columns)) * KINDS + GROUP[ring.kind[place]];
      if (counts[at] < 65535) counts[at]++;
    }
  }

  // Call `mark(column, kind, count)` for what there is in a lane, columns counted from the window's first.
  each(lane, columns, mark) {
    for (let column = 0; column < columns; column++) {
      const at = (lane * this.columns + ((this.first + column) % this.columns)) * KINDS;
      for (let kind = 0; kind < KINDS; kind++) {
        const count = this.counts[at + kind];
        if (count) mark(column, kind, count);
      }
    }
  }
}
