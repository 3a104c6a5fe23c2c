// The Gauges: how much, how fast, how long, and what was turned away.

import { Colours, count, duration, fit, h, loop, panel, rate, size, spark } from "./dom.js";

export function gauges(host, feed) {
  const view = new GaugesView(feed);
  host.append(view.element);
  return () => view.close();
}

class GaugesView {
  constructor(feed) {
    this.feed = feed;
    this.cards = {};
    const cards = h("div", { class: "syn-cards" },
      this.card("rate", "Queries", "a second, over the last minute"),
      this.card("thoughts", "Thoughts", "a second, over the last minute"),
      this.card("slots", "Slots", "queries that run, of those that may"),
      this.card("queue", "Queue", "queries that wait for a slot"),
      this.card("first", "First thought", "from asking, over the last minute"),
      this.card("result", "Result", "from asking, over the last minute"),
      this.card("refusals", "Refused", "a second, and by which rule"),
      this.card("mailbox", "Slow readers", "messages that wait for them, and that they have lost"),
      this.card("lag", "Event loop", "how late its timers are"));
    const frame = panel("Gauges", feed, [], cards);
    this.element = frame.element;
    this.endBadge = frame.end;
    this.colours = new Colours(this.element);
    this.end = loop(this.element, () => this.refresh(), 4);
  }

  card(key, title, hint) {
    const value = h("div", { class: "syn-value" }, "–");
    const more = h("div", { class: "syn-more" });
    const canvas = h("canvas", { class: "syn-chart", role: "img", "aria-label": `${title}, ${hint}` });
    this.cards[key] = { value, more, canvas };
    return h("div", { class: "syn-card", "data-gauge": key, title: hint }, h("div", { class: "syn-label" }, title), value, canvas, more);
  }

  set(key, value, more = "") {
    const card = this.cards[key];
    if (card.value.textContent !== value) card.value.textContent = value;
    if (card.more.textContent !== more) card.more.textContent = more;
    return card.canvas;
  }

  refresh() {
    const { world } = this.feed, { colours } = this, now = this.feed.now();
    const asked = world.rates.Submitted.read(now), ended = world.rates.ended.read(now);
    const thoughts = world.rates.Thought.read(now), refused = world.rates.Rejected.read(now);
    spark(this.set("rate", `${rate(mean(asked))}/s`, `${rate(mean(ended))}/s ended`), asked, colours.think, 1);
    spark(this.set("thoughts", `${rate(mean(thoughts))}/s`), thoughts, colours.accent, 1);
    this.latency("first", world.firstThought.read(now));
    this.latency("result", world.results.read(now));
    const gauges = world.gauges;
    if (!gauges) return;
    const past = (of) => world.history.slice(-60).map(of);
    meter(this.set("slots", `${count(gauges.running)} of ${count(gauges.limit)}`, `${count(gauges.agents)} agents, ${count(gauges.connections)} connections`),
      gauges.running / Math.max(1, gauges.limit), colours);
    spark(this.set("queue", count(gauges.waiting), queueBound(world)), past((one) => one.waiting), colours.timeout, 1);
    const by = Object.entries(gauges.refusals).sort((one, other) => other[1] - one[1]);
    spark(this.set("refusals", `${rate(mean(refused))}/s`, by.map(([rule, many]) => `${rule} ${count(many)}`).join(", ") || "none since you watch"),
      refused, colours.error, 1);
    const { mailboxes } = gauges;
    spark(this.set("mailbox", count(mailboxes.messages), mailboxes.messages || world.drops
      ? `${count(mailboxes.connections)} readers, ${size(mailboxes.bytes)}, ${count(world.drops)} lost` : "nobody lags"),
      past((one) => one.mailboxes.messages), colours.interrupted, 1);
    spark(this.set("lag", duration(gauges.lag), gauges.lag === null ? "not measured here" : "late at worst in the last second"),
      past((one) => one.lag ?? 0), colours.success, 0.01);
  }

  latency(key, { bins, count: many, p50, p99 }) {
    const { colours } = this;
    const canvas = this.set(key, many ? duration(p50) : "–", many ? `p99 ${duration(p99)}` : "none in the last minute");
    const { pen, width, height } = fit(canvas);
    pen.clearRect(0, 0, width, height);
    if (!many || !width) return;
    const used = [...bins.keys()].filter((bin) => bins[bin]);
    const low = Math.max(0, Math.min(used[0] - 3, 60)), high = Math.max(used.at(-1) + 3, low + 16);
    const top = Math.max(...bins), wide = width / (high - low + 1);
    const x = (seconds) => (10 * Math.log10(seconds / 1e-5) - low) * wide;
    pen.fillStyle = colours.think;
    pen.globalAlpha = 0.75;
    for (const bin of used) {
      const tall = Math.max(2, (bins[bin] / top) * (height - 4));
      pen.fillRect((bin - low) * wide + 0.5, height - tall, Math.max(1, wide - 1), tall);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colours.accent;
    pen.fillRect(x(p50) - 0.75, 0, 1.5, height);
    pen.fillStyle = colours.error;
    pen.fillRect(x(p99) - 0.75, 0, 1.5, height);
  }

  close() {
    this.end();
    this.endBadge();
    this.colours.close();
  }
}

function queueBound(world) {
  const bound = world.policies?.queue?.bound;
  return bound === undefined ? "waiting" : `of at most ${count(bound)}`;
}

function mean(counts) {
  const recent = counts.slice(-5);
  return recent.reduce((sum, one) => sum + one, 0) / recent.length;
}

function meter(canvas, share, colours) {
  const { pen, width, height } = fit(canvas);
  pen.clearRect(0, 0, width, height);
  const y = height / 2 - 4;
  pen.fillStyle = colours.faint;
  pen.beginPath();
  pen.roundRect(0, y, width, 8, 4);
  pen.fill();
  pen.fillStyle = share > 0.9 ? colours.error : share > 0.7 ? colours.timeout : colours.success;
  pen.beginPath();
  pen.roundRect(0, y, Math.max(share ? 8 : 0, Math.min(1, share) * width), 8, 4);
  pen.fill();
}
