// The Inspector: all messages of the query that is selected, as they went over the wire.

import { clock, count, duration, h, loop, panel, size } from "./dom.js";
import { jsonTree } from "./json.js";

export function inspector(host, feed) {
  const view = new InspectorView(feed);
  host.append(view.element);
  return () => view.close();
}

class InspectorView {
  constructor(feed) {
    this.feed = feed;
    this.body = h("div", { class: "syn-inspector" });
    const frame = panel("Inspector", feed, [], this.body);
    this.element = frame.element;
    this.endBadge = frame.end;
    this.endings = [
      feed.on((what) => (what === "selection" || what === "snapshot") && this.choose()),
      loop(this.element, () => this.refresh(), 2),
    ];
    this.choose();
  }

  choose() {
    const span = this.feed.selected();
    if (span === this.span && span !== null) return;
    this.span = span;
    this.trace = null;
    this.settled = false;
    this.asked = 0;
    this.open = new Set();
    if (span) this.refresh();
    else this.empty();
  }

  empty() {
    const { agent } = this.feed.selection;
    this.body.replaceChildren(h("div", { class: "syn-note" }, agent === null
      ? "Click a query in the Flow to see all its messages."
      : `${agent} is selected. Click one of its queries in the Flow, or press N there.`));
  }

  // Ask again while the query goes on, and once after its ending.
  async refresh() {
    const { span } = this;
    if (!span || this.settled || this.asking) return;
    this.show();
    const over = span.finished !== null;
    if (!this.feed.live) return void (this.settled = true);
    if (performance.now() - this.asked < 900 && !over) return;
    this.asking = true;
    this.asked = performance.now();
    const reply = await this.feed.push("trace", { agent: span.agent.name, ref: span.ref });
    this.asking = false;
    if (span !== this.span) return;
    if (reply.status === "ok") {
      this.trace = reply.response;
      this.settled = over;
    }
    this.show();
  }

  show() {
    const { span, trace } = this;
    const now = this.feed.now();
    const version = `${span.status} ${span.thoughts} ${trace?.messages.length} ${span.finished ?? Math.floor(now)}`;
    if (version === this.version && this.shownSpan === span) return;
    this.version = version;
    this.shownSpan = span;
    const word = span.status ?? (span.started === null ? "waiting" : "thinking");
    const head = h("div", { class: "syn-story" },
      h("strong", {}, span.agent.name), h("code", {}, span.ref), h("span", { class: "syn-chip", "data-status": word }, word),
      span.reason ? h("span", { class: "syn-dim" }, span.reason) : null);
    this.body.replaceChildren(head, this.facts(now), this.life(now), this.messages());
  }

  facts(now) {
    const { span } = this, live = this.feed.live;
    const pairs = [
      ["submitted", live ? clock(span.submitted, true) : duration(span.submitted)],
      ["waited", span.started === null ? "–" : duration(span.started - span.submitted)],
      ["first thought", span.first === null ? "–" : duration(span.first - span.submitted)],
      [span.finished === null ? "so far" : "took", duration((span.finished ?? now) - span.submitted)],
      ["thoughts", count(span.thoughts)],
      ["priority", span.priority ?? "–"],
      ["handler", span.handler || "–"],
    ];
    return h("div", { class: "syn-facts", role: "list" }, ...pairs.map(([name, value]) =>
      h("div", { role: "listitem" }, h("div", { class: "syn-label" }, name), String(value))));
  }

  // The query's life on one line: waiting, thinking, each thought.
  life(now) {
    const { span } = this;
    const end = span.finished ?? now, whole = Math.max(end - span.submitted, 1e-6);
    const part = (time) => `${Math.max(0, Math.min(100, (100 * (time - span.submitted)) / whole))}%`;
    const bar = h("div", { class: "syn-life", "data-status": span.status ?? "thinking", role: "img",
      "aria-label": `waited ${duration((span.started ?? end) - span.submitted)} of ${duration(whole)}` });
    const thinking = h("i", { class: "syn-life-think" });
    thinking.style.left = part(span.started ?? end);
    bar.append(thinking);
    for (const time of span.ticks.slice(0, 200)) {
      const tick = h("i", { class: "syn-life-tick" });
      tick.style.left = part(time);
      bar.append(tick);
    }
    return bar;
  }

  messages() {
    const { trace, span } = this;
    if (!this.feed.live) return h("div", { class: "syn-note" }, "A recorded query: its messages were not kept.");
    if (!trace) return h("div", { class: "syn-note" }, "asking the server …");
    if (!trace.messages.length) return h("div", { class: "syn-note" }, "The server no longer has its messages.");
    const origin = span.submitted - this.feed.world.epoch;
    const note = trace.complete ? null : h("div", { class: "syn-note" }, "Its first messages are no longer there.");
    const total = trace.messages.reduce((sum, one) => sum + one.bytes, 0);
    const caption = h("div", { class: "syn-dim" }, `${count(trace.messages.length)} messages, ${size(total)}`);
    const list = h("ol", { class: "syn-messages" }, ...trace.messages.map((one, place) => this.message(one, place, origin)));
    return h("div", {}, caption, note, list);
  }

  message(message, place, origin) {
    const out = message.direction === "out";
    const summary = h("summary", {},
      h("span", { class: "syn-when" }, `+${duration(Math.max(0, message.at - origin))}`),
      h("span", { class: "syn-way", title: out ? "from the server" : "from the agent" }, out ? "◀" : "▶"),
      h("span", { class: "syn-event", "data-event": message.event }, message.event),
      h("span", { class: "syn-gist" }, gist(message.frame[4])),
      h("span", { class: "syn-dim" }, size(message.bytes)));
    const details = h("details", { open: this.open.has(place) }, summary);
    const fill = () => details.append(h("div", { class: "syn-detail" },
      h("div", {}, h("div", { class: "syn-label" }, "payload"), jsonTree(message.frame[4])),
      h("div", {}, h("div", { class: "syn-label" }, "frame"), h("pre", {}, JSON.stringify(message.frame)))));
    if (details.open) fill();
    details.addEventListener("toggle", () => {
      if (details.open) this.open.add(place);
      else this.open.delete(place);
      if (details.open && details.childElementCount === 1) fill();
    });
    return h("li", {}, details);
  }

  close() {
    for (const end of this.endings) end();
    this.endBadge();
  }
}

// What a message says, in one line.
function gist(payload) {
  const inner = payload?.thought ?? payload?.q ?? payload?.data ?? payload?.reason ?? payload?.response ?? payload;
  const text = inner?.content ?? inner?.reason ?? inner;
  return typeof text === "string" ? text : JSON.stringify(text);
}
