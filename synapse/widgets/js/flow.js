// The Flow: a lane per agent over a moving window of time.

import { Colours, clock, count, duration, fit, h, loop, panel, rate, spark } from "./dom.js";
import { Filter } from "./filter.js";
import { Lanes } from "./lanes.js";
import { playbar } from "./playbar.js";
import { AXIS, LANE } from "./sizes.js";

const WINDOWS = [1, 2, 5, 10, 30, 60, 120, 300, 600]; // s
const MOST_LANES = 16; // before the lanes scroll

export function flow(host, feed, { lanes: most = MOST_LANES, window: wide = 10 } = {}) {
  const view = new FlowView(feed, most, wide);
  host.append(view.element);
  return () => view.close();
}

class FlowView {
  constructor(feed, most, wide) {
    this.feed = feed;
    this.most = most;
    this.lanes = new Lanes(feed.world);
    this.filter = new Filter();
    this.width = feed.live ? wide : feed.playback.length || 1;
    this.paused = false;
    this.end = null; // the right edge while paused or scrolled back
    this.order = [];
    this.build();
    this.endings = [feed.on((what) => what === "selection" && this.selected()), loop(this.canvas, () => this.draw())];
    this.colours = new Colours(this.canvas);
    this.listen();
  }

  build() {
    const { feed } = this;
    this.rateText = h("span", { class: "syn-rate" });
    this.spark = h("canvas", { class: "syn-spark", "aria-hidden": "true" });
    this.find = h("input", {
      class: "syn-input", type: "search", placeholder: "filter: agent, ref, event …", "aria-label": "Filter the flow",
      title: "Words to look for; agent:ada, ref:q1, event:interrupted narrow it", oninput: () => this.refilter(),
    });
    this.widths = h("select", { class: "syn-input", "aria-label": "Length of the window", onchange: () => this.chooseWidth() },
      ...WINDOWS.map((one) => h("option", { value: one, selected: one === this.width }, duration(one))));
    this.pauseButton = h("button", { class: "syn-button", type: "button", onclick: () => this.toggle() });
    const tools = feed.live ? [this.spark, this.rateText, this.find, this.widths, this.pauseButton] : [this.find];
    this.canvas = h("canvas", {
      class: "syn-flow", tabindex: "0", role: "img",
      "aria-label": "Flow of queries. Space pauses, arrow keys move, plus and minus zoom, N and P choose a query.",
    });
    this.spacer = h("div", { class: "syn-spacer" });
    this.scroller = h("div", { class: "syn-scroller" }, this.canvas, this.spacer);
    this.tip = h("div", { class: "syn-tip", hidden: true });
    this.news = h("div", { class: "syn-hidden", "aria-live": "polite" });
    this.emptyNote = h("div", { class: "syn-empty" }, "No agent yet. In a cell: ", h("code", {}, "synapse.connect().ask(\"Hello\")"));
    const frame = panel("Flow", feed, tools, h("div", { class: "syn-relative" }, this.scroller, this.tip, this.emptyNote),
      legend(), this.news);
    if (!feed.live) frame.element.insertBefore(playbar(feed, (span) => this.setSpan(span)), frame.element.children[1]);
    this.element = frame.element;
    this.endBadge = frame.end;
    this.showPause();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("pointermove", (event) => this.hovered(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointerup", (event) => this.drop(event));
  }

  // Time

  get now() {
    return this.feed.now();
  }

  get right() {
    if (this.end !== null) return this.end;
    return this.feed.live ? this.now : Math.max(this.width, this.feed.playback.playing ? this.now : this.width);
  }

  toggle() {
    if (this.paused) this.resume();
    else this.pause();
  }

  pause() {
    if (this.paused) return;
    if (!this.feed.live) return this.feed.playback.playing ? this.feed.playback.pause() : this.feed.playback.play();
    this.paused = true;
    this.frozen = this.now;
    this.end ??= this.frozen;
    this.before = this.feed.world.total + this.feed.world.lost;
    this.showPause();
    this.say("paused");
  }

  resume() {
    this.paused = false;
    this.end = null;
    this.showPause();
    this.say("live again");
  }

  get unseen() {
    return this.paused ? this.feed.world.total + this.feed.world.lost - this.before : 0;
  }

  showPause() {
    const text = this.paused ? `▶ ${count(this.unseen)} new` : "❚❚ Pause";
    if (this.pauseButton.textContent === text) return;
    this.pauseButton.textContent = text;
    this.pauseButton.setAttribute("aria-pressed", this.paused);
    this.pauseButton.setAttribute("aria-label", this.paused ? `Resume: ${this.unseen} new events` : "Pause");
  }

  move(seconds) {
    if (this.feed.live && !this.paused) this.pause();
    const oldest = this.feed.live ? this.oldest() : 0;
    const newest = this.feed.live ? this.frozen : this.feed.playback.length;
    this.end = Math.min(Math.max(this.right + seconds, Math.min(oldest + this.width, newest)), Math.max(newest, this.width));
  }

  oldest() {
    const { ring, spans, first } = this.feed.world;
    const event = ring.head ? ring.time[ring.tail % ring.capacity] : this.now;
    return Math.min(event, spans[first]?.submitted ?? event);
  }

  zoom(factor) {
    this.setSpan(Math.min(3600, Math.max(0.05, this.width * factor)));
  }

  setSpan(width) {
    this.width = width;
    if (![...this.widths.options].some((option) => Number(option.value) === width)) {
      this.widths.querySelector("[data-own]")?.remove();
      this.widths.append(h("option", { value: width, "data-own": true }, duration(width)));
    }
    this.widths.value = String(width);
  }

  chooseWidth() {
    this.width = Number(this.widths.value);
  }

  // What is shown

  refilter() {
    this.filter = new Filter(this.find.value);
    this.orderVersion = null;
  }

  arrange() {
    const { world } = this.feed;
    const version = `${world.rosterVersion} ${this.filter.text} ${Math.floor(this.now)}`;
    if (version === this.orderVersion) return;
    this.orderVersion = version;
    const start = this.right - this.width;
    this.order = world.byIndex.filter((agent) => this.filter.agent(agent) && this.belongs(agent, start));
  }

  belongs(agent, start) {
    const last = agent.spans.at(-1);
    const recent = agent.open.size > 0 || (last !== undefined && (last.finished ?? Infinity) > start);
    if (this.filter.agentsOnly) return agent.online || recent;
    return agent.spans.some((span) => span !== undefined && this.filter.span(span));
  }

  draw() {
    this.arrange();
    const shown = Math.max(3, Math.min(this.order.length, this.most));
    const tall = AXIS + shown * LANE;
    if (this.tall !== tall) this.scroller.style.height = `${(this.tall = tall)}px`;
    this.canvas.style.height = `${tall}px`;
    this.spacer.style.height = `${Math.max(0, (this.order.length - shown) * LANE)}px`;
    this.emptyNote.hidden = this.order.length > 0 || !this.filter.empty;
    const { pen, width, height } = fit(this.canvas);
    if (!width) return;
    this.names = width < 560 ? 84 : Math.min(190, Math.max(110, width * 0.14));
    const end = this.right, now = this.paused && this.feed.live ? this.frozen : this.now;
    this.lanes.draw({
      pen, width, height, names: this.names, start: end - this.width, end, now, lanes: this.order,
      top: this.scroller.scrollTop, filter: this.filter, selection: this.feed.selection, hover: this.hover,
      colours: this.colours, live: this.feed.live,
    });
    this.heading();
  }

  heading() {
    if (!this.feed.live) return;
    if (this.paused) this.showPause();
    const tick = Math.floor(performance.now() / 250);
    if (tick === this.tick) return;
    this.tick = tick;
    const { world } = this.feed;
    const seconds = world.rates.events.read(this.now);
    const text = `${rate(seconds.at(-1))} events/s`;
    if (this.rateText.textContent !== text) this.rateText.textContent = text;
    this.rateText.title = `${count(world.total)} events so far${world.lost ? `, ${count(world.lost)} not received` : ""}`;
    spark(this.spark, seconds, this.colours.accent);
    Object.assign(this.element.dataset, { events: world.total, lost: world.lost, paused: this.paused, unseen: this.unseen,
      spans: world.spans.length - world.first, lanes: this.order.length });
  }

  // Choosing

  selected() {
    const { agent, ref } = this.feed.selection;
    if (agent === null) return;
    const place = this.order.findIndex((one) => one.name === agent);
    const top = this.scroller.scrollTop, room = this.scroller.clientHeight - AXIS;
    if (place >= 0 && (place * LANE < top || (place + 1) * LANE > top + room)) {
      this.scroller.scrollTop = Math.max(0, place * LANE - room / 2);
    }
    const span = this.feed.selected();
    this.say(span ? `${agent}, query ${ref}, ${span.status ?? "running"}, ${duration((span.finished ?? this.now) - span.submitted)}` : `agent ${agent}`);
  }

  say(text) {
    this.news.textContent = text;
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  laneAt(y) {
    return y < AXIS ? null : this.order[Math.floor((y - AXIS + this.scroller.scrollTop) / LANE)] ?? null;
  }

  grab(event) {
    this.grabbed = { x: event.clientX, end: this.right, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  drop(event) {
    const { grabbed } = this;
    this.grabbed = null;
    if (!grabbed || grabbed.moved) return;
    const [x, y] = this.point(event);
    const span = x > this.names ? this.lanes.hit(x, y) : null;
    if (span) this.feed.select(span.agent.name, span.ref);
    else this.feed.select(this.laneAt(y)?.name ?? null);
  }

  hovered(event) {
    const [x, y] = this.point(event);
    if (this.grabbed) {
      const moved = event.clientX - this.grabbed.x;
      if (Math.abs(moved) > 4) this.grabbed.moved = true;
      if (this.grabbed.moved) this.move(this.grabbed.end - this.right - (moved * this.width) / (this.canvas.clientWidth - this.names));
      return;
    }
    this.hover = x > this.names ? this.lanes.hit(x, y) : null;
    this.canvas.style.cursor = this.hover || x < this.names ? "pointer" : "grab";
    this.tip.hidden = !this.hover;
    if (!this.hover) return;
    this.tip.textContent = describe(this.hover, this.now, this.feed.live);
    this.tip.style.left = `${Math.min(x + 14, this.canvas.clientWidth - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = `${y + 16}px`;
  }

  leave() {
    this.hover = null;
    this.tip.hidden = true;
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.move(((event.deltaX || event.deltaY) * this.width) / 800);
    } else return; // lanes scroll by themselves
    event.preventDefault();
  }

  key(event) {
    const action = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.move(-this.width / 5),
      ArrowRight: () => this.move(this.width / 5),
      Home: () => this.move(-Infinity),
      End: () => (this.feed.live ? this.resume() : this.move(Infinity)),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      ArrowUp: () => this.step(-1),
      ArrowDown: () => this.step(1),
      n: () => this.next(1),
      p: () => this.next(-1),
      Escape: () => this.feed.select(null),
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these
    action();
  }

  step(by) {
    const place = this.order.findIndex((agent) => agent.name === this.feed.selection.agent);
    const agent = this.order[Math.max(0, Math.min(this.order.length - 1, place + by))];
    if (agent) this.feed.select(agent.name);
  }

  next(by) {
    const agent = this.feed.world.agents.get(this.feed.selection.agent) ?? this.order[0];
    if (!agent) return;
    const spans = agent.spans.slice(agent.first).filter((span) => this.filter.span(span));
    const place = spans.indexOf(this.feed.selected());
    const span = place < 0 ? spans.at(-1) : spans[Math.max(0, Math.min(spans.length - 1, place + by))];
    if (span) this.feed.select(agent.name, span.ref);
  }

  close() {
    for (const end of this.endings) end();
    this.endBadge();
    this.colours.close();
  }
}

function describe(span, now, live) {
  const lines = [`${span.agent.name} · ${span.ref}`];
  const over = span.finished !== null && span.finished <= now;
  const word = over ? span.status : span.started !== null && span.started <= now ? "thinking" : "waiting";
  lines.push(`${word}${over && span.reason ? `: ${span.reason}` : ""}`);
  lines.push(`at ${live ? clock(span.submitted, true) : duration(span.submitted)}, took ${duration((over ? span.finished : now) - span.submitted)}`);
  if (span.started !== null && span.started > span.submitted) lines.push(`waited ${duration(span.started - span.submitted)}`);
  lines.push(`${count(span.thoughts)} thought${span.thoughts === 1 ? "" : "s"}${span.first === null ? "" : `, the first after ${duration(span.first - span.submitted)}`}`);
  return lines.join("\n");
}

function legend() {
  const entry = (kind, word) => h("span", {}, h("i", { class: `syn-key syn-key-${kind}` }), word);
  return h("div", { class: "syn-legend", "aria-hidden": "true" }, entry("wait", "waiting"), entry("think", "thinking, a tick per thought"),
    entry("success", "success"), entry("error", "error"), entry("timeout", "timeout"), entry("interrupted", "interrupted"),
    entry("rejected", "rejected"));
}
