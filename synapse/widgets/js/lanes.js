// Draws lanes on a canvas: a query as a span (hollow while it waits, filled while it thinks, a tick for each thought,
// an ending by colour and by shape), or a lane's density where there are too many to tell apart.

import { Bins, COLUMN } from "./bins.js";
import { clock, duration } from "./dom.js";

export const LANE = 28; // px
export const AXIS = 22;
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400];
const NARROW = 2; // px; a shorter ending gets no symbol of its own

export class Lanes {
  constructor(world) {
    this.world = world;
    this.bins = new Bins(world.ring);
    this.shown = []; // {span, x, y, width, height} of what can be hit
  }

  // `view`: {pen, width, height, names (px), start, end, now, lanes, top (px), filter, selection, hover, colours, live}
  draw(view) {
    const { pen, width, height, names, colours } = view;
    this.shown = [];
    pen.clearRect(0, 0, width, height);
    this.scale = (width - names) / (view.end - view.start);
    const first = Math.max(0, Math.floor(view.top / LANE));
    const fits = Math.ceil((height - AXIS) / LANE) + 1;
    const lanes = view.lanes.slice(first, first + fits);
    const columns = Math.max(1, Math.floor((width - names) / COLUMN));
    if (view.filter.agentsOnly) this.bins.update(lanes, view.start, view.end, columns);
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, width, height - AXIS);
    pen.clip();
    lanes.forEach((agent, place) => {
      const y = AXIS + (first + place) * LANE - view.top;
      this.lane(view, agent, place, y, columns, (first + place) % 2 === 1);
    });
    pen.restore();
    this.axis(view);
    pen.fillStyle = colours.line;
    pen.fillRect(names - 0.5, 0, 1, height);
  }

  lane(view, agent, place, y, columns, odd) {
    const { pen, width, names, colours, selection } = view;
    const chosen = selection.agent === agent.name;
    if (odd || chosen) {
      pen.fillStyle = chosen ? colours.select : colours.band;
      pen.fillRect(0, y, width, LANE);
    }
    pen.save();
    pen.beginPath();
    pen.rect(names, y, width - names, LANE);
    pen.clip();
    const spans = this.visible(view, agent);
    if (spans === null) this.dense(view, place, y, columns);
    else for (const span of spans) this.span(view, span, y);
    pen.restore();
    this.name(view, agent, y, chosen);
  }

  // The spans of an agent that can be seen, or null if they are too many to be told apart.
  visible(view, agent) {
    const found = [], most = view.filter.agentsOnly ? Math.max(40, (view.width - view.names) / 5) : 2000;
    let past = 0;
    for (let place = agent.spans.length - 1; place >= agent.first; place--) {
      const span = agent.spans[place];
      if (span.submitted > view.end || span.submitted > view.now) continue;
      if (span.finished !== null && span.finished < view.start) {
        if (++past > 200) break; // older ones may be longer, but hardly by so many
        continue;
      }
      if (!view.filter.empty && !view.filter.span(span)) continue;
      found.push(span);
      if (found.length > most) return view.filter.agentsOnly ? null : found;
    }
    return found.reverse();
  }

  x(view, time) {
    return view.names + (time - view.start) * this.scale;
  }

  span(view, span, laneY) {
    const { pen, colours, now } = view;
    const over = span.finished !== null && span.finished <= now;
    const tracks = Math.max(1, Math.min(4, this.tracks(span.agent)));
    const height = (LANE - 6) / tracks, y = laneY + 3 + Math.min(span.track, tracks - 1) * height;
    const tall = Math.max(3, height - 1);
    const from = this.x(view, span.submitted);
    const to = Math.max(from + 1, this.x(view, over ? span.finished : now));
    const began = span.started !== null && span.started <= now ? this.x(view, span.started) : to;
    const chosen = view.selection.agent === span.agent.name && view.selection.ref === span.ref;
    this.shown.push({ span, x: from, y, width: to - from, height: tall });
    if (span.status === "rejected" && over) {
      this.cross(pen, from, y + tall / 2, Math.min(4, tall / 2), colours.rejected);
      if (chosen) this.outline(pen, from - 5, y - 1, 10, tall + 2, colours.accent);
      return;
    }
    if (began > from) {
      pen.fillStyle = colours.wait;
      pen.fillRect(from, y + tall / 2 - Math.min(2, tall / 2), began - from, Math.min(4, tall));
    }
    if (to > began) this.thinking(view, span, began, to, y, tall, over);
    if (over) this.ending(pen, span, Math.max(from, Math.min(began, to)), to, y, tall, colours);
    if (chosen || view.hover === span) this.outline(pen, from - 1.5, y - 1.5, to - from + 3, tall + 3, colours.accent);
  }

  thinking(view, span, began, to, y, tall, over) {
    const { pen, colours, now } = view;
    pen.fillStyle = over ? colours.of(span.status) : colours.think;
    pen.globalAlpha = over ? 0.3 : 0.38;
    pen.fillRect(began, y, to - began, tall);
    pen.globalAlpha = 1;
    if (to - began < 3 || !span.ticks.length) return;
    pen.fillStyle = colours.tick;
    let last = -9;
    for (const time of span.ticks) {
      if (time > now) break;
      const x = this.x(view, time);
      if (x - last < 2 || x < view.names) continue;
      pen.fillRect(x - 0.5, y + 1, 1, tall - 2);
      last = x;
    }
  }

  ending(pen, span, from, to, y, tall, colours) {
    const colour = colours.of(span.status);
    pen.fillStyle = colour;
    if (span.status === "interrupted") {
      pen.fillRect(from, y + tall - 2, to - from, 2);
      const half = Math.min(4, tall / 2);
      pen.fillRect(to - half, y + tall / 2 - half, 2 * half, 2 * half);
      return;
    }
    const cap = Math.max(NARROW, Math.min(4, to - from));
    pen.fillRect(to - cap, y, cap, tall);
    if (span.status === "error") this.cross(pen, to + 4, y + tall / 2, Math.min(3, tall / 2), colour);
    else if (span.status === "timeout") {
      pen.beginPath();
      pen.moveTo(to, y);
      pen.lineTo(to + Math.min(6, tall / 2), y + tall / 2);
      pen.lineTo(to, y + tall);
      pen.fill();
    }
  }

  cross(pen, x, y, half, colour) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.8;
    pen.beginPath();
    pen.moveTo(x - half, y - half);
    pen.lineTo(x + half, y + half);
    pen.moveTo(x + half, y - half);
    pen.lineTo(x - half, y + half);
    pen.stroke();
  }

  outline(pen, x, y, width, height, colour) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.strokeRect(x, y, width, height);
  }

  tracks(agent) {
    return agent.until?.length ?? agent.tracks.length;
  }

  dense(view, place, y, columns) {
    const { pen, names, colours } = view;
    const fills = [colours.think, colours.success, colours.error, colours.interrupted];
    const paths = fills.map(() => new Path2D());
    const floor = y + LANE - 3, room = LANE - 6;
    // Where the window begins within its first column: columns move by less than their width from frame to frame.
    const shift = (view.start / this.bins.step) % 1;
    this.bins.each(place, columns + 1, (column, kind, count) => {
      const tall = Math.min(room, 3 + 3.2 * Math.log2(1 + count)) * (kind === 0 ? 1 : 0.7);
      const x = names + (column - shift) * COLUMN;
      if (kind < 2) paths[kind].rect(x, floor - tall, COLUMN, tall);
      else paths[kind].rect(x, y + 3, COLUMN, Math.max(4, tall * 0.7));
    });
    paths.forEach((path, kind) => {
      pen.fillStyle = fills[kind];
      pen.globalAlpha = kind === 0 ? 0.45 : 0.85;
      pen.fill(path);
    });
    pen.globalAlpha = 1;
  }

  name(view, agent, y, chosen) {
    const { pen, names, colours } = view;
    pen.fillStyle = agent.online || !view.live ? colours.success : colours.lost;
    if (view.live) {
      pen.beginPath();
      pen.arc(10, y + LANE / 2, 3.2, 0, 7);
      pen.fill();
    }
    pen.font = `${chosen ? 600 : 400} 12px ${colours.font}`;
    pen.fillStyle = agent.online || !view.live ? colours.text : colours.dim;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.fillText(shortened(pen, agent.name, names - 26), view.live ? 19 : 10, y + LANE / 2 + 0.5);
  }

  axis(view) {
    const { pen, width, height, names, colours } = view;
    const step = STEPS.find((one) => one * this.scale >= 76) ?? STEPS.at(-1);
    pen.font = `11px ${colours.font}`;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    for (let time = Math.ceil(view.start / step) * step; time <= view.end; time += step) {
      const x = this.x(view, time);
      if (x < names) continue;
      pen.fillStyle = colours.faint;
      pen.fillRect(x, AXIS, 1, height - AXIS);
      pen.fillStyle = colours.dim;
      const text = view.live ? clock(time, step < 1) : duration(Math.abs(time) < 1e-9 ? 0 : time);
      if (x > names + 24 && x < width - 24) pen.fillText(text, x, AXIS / 2);
    }
    pen.fillStyle = colours.line;
    pen.fillRect(0, AXIS - 1, width, 1);
    if (view.now < view.end) {
      pen.fillStyle = colours.accent;
      pen.fillRect(this.x(view, view.now), AXIS, 1.5, height - AXIS);
    }
  }

  // The span at a point, or null.
  hit(x, y) {
    let best = null, nearest = 6;
    for (const one of this.shown) {
      if (y < one.y - 2 || y > one.y + one.height + 2) continue;
      const distance = Math.max(one.x - x, x - one.x - one.width, 0);
      if (distance <= nearest) [best, nearest] = [one.span, distance];
    }
    return best;
  }
}

const lengths = new Map();

function shortened(pen, text, room) {
  const key = `${pen.font} ${room} ${text}`;
  let short = lengths.get(key);
  if (short === undefined) {
    short = text;
    while (short.length > 1 && pen.measureText(short).width > room) short = `${short.slice(0, -2)}…`;
    if (lengths.size > 5000) lengths.clear();
    lengths.set(key, short);
  }
  return short;
}
