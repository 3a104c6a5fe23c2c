// The Roster: who is here, sorted and filtered. Only the rows that can be seen are in the page.

import { clock, count, duration, h, loop, panel } from "./dom.js";
import { Filter } from "./filter.js";
import { connectionsOf } from "./world.js";

const ROW = 30; // px
const MOST_ROWS = 12; // before the list scrolls

const COLUMNS = [
  { key: "agent", title: "Agent", of: (agent) => agent.name.toLowerCase() },
  { key: "status", title: "Status", of: (agent) => (agent.online ? agent.status || "active" : "\uffff") },
  { key: "load", title: "Load", of: (agent) => agent.load ?? -1 },
  { key: "running", title: "Thinking", of: (agent) => agent.running, hint: "queries that run" },
  { key: "waiting", title: "Queued", of: (agent) => agent.waiting, hint: "queries that wait for a slot" },
  { key: "connections", title: "Conn.", of: connectionsOf, hint: "connections" },
  { key: "rtt", title: "RTT", of: (agent) => agent.rtt ?? Infinity, hint: "round trip to the agent, as TCP measures it" },
  { key: "since", title: "Online since", of: (agent) => agent.onlineAt ?? Infinity },
  { key: "last", title: "Last seen", of: (agent) => -agent.last, hint: "since the last sign of it" },
];

export function roster(host, feed, { rows = MOST_ROWS } = {}) {
  const view = new RosterView(feed, rows);
  host.append(view.element);
  return () => view.close();
}

class RosterView {
  constructor(feed, rows) {
    this.feed = feed;
    this.most = rows;
    this.sort = { key: "agent", down: false };
    this.filter = new Filter();
    this.list = [];
    this.rows = new Map();
    this.build();
    this.endings = [
      feed.on((what) => what === "selection" && this.follow()),
      loop(this.element, () => this.refresh(), 5),
    ];
  }

  build() {
    this.total = h("span", { class: "syn-rate" });
    this.find = h("input", {
      class: "syn-input", type: "search", placeholder: "filter agents", "aria-label": "Filter agents",
      oninput: () => { this.filter = new Filter(this.find.value); this.refresh(); },
    });
    this.absent = h("input", { type: "checkbox", onchange: () => this.refresh() });
    const absent = h("label", { class: "syn-check" }, this.absent, "also who left");
    this.heads = COLUMNS.map((column) => h("div", { class: `syn-cell syn-c-${column.key}`, role: "columnheader" },
      h("button", { class: "syn-sort", type: "button", title: column.hint, onclick: () => this.sortBy(column.key) }, column.title)));
    const head = h("div", { class: "syn-row syn-row-head", role: "row" }, ...this.heads);
    this.body = h("div", { class: "syn-rows", role: "rowgroup" });
    this.scroller = h("div", { class: "syn-scroller", onscroll: () => this.paint() }, this.body);
    this.table = h("div", { class: "syn-table", role: "grid", tabindex: "0", "aria-label": "Agents", onkeydown: (event) => this.key(event) },
      head, this.scroller);
    this.note = h("div", { class: "syn-empty" }, "Nobody here yet. In a cell: ", h("code", {}, "agent = synapse.connect()"));
    const frame = panel("Roster", this.feed, [this.total, absent, this.find], h("div", { class: "syn-relative" }, this.table, this.note));
    this.element = frame.element;
    this.endBadge = frame.end;
    this.markSort();
  }

  sortBy(key) {
    this.sort = { key, down: this.sort.key === key && !this.sort.down };
    this.markSort();
    this.refresh();
  }

  markSort() {
    COLUMNS.forEach((column, place) => {
      const mine = column.key === this.sort.key;
      this.heads[place].setAttribute("aria-sort", mine ? (this.sort.down ? "descending" : "ascending") : "none");
    });
  }

  refresh() {
    const { world } = this.feed;
    const column = COLUMNS.find((one) => one.key === this.sort.key), sign = this.sort.down ? -1 : 1;
    const here = world.byIndex.filter((agent) => agent.online);
    const all = this.absent.checked ? world.byIndex : here;
    const keyed = all.filter((agent) => this.matches(agent)).map((agent) => [column.of(agent), agent]);
    keyed.sort(([one, a], [other, b]) => sign * (one < other ? -1 : one > other ? 1 : 0) || a.index - b.index);
    this.list = keyed.map(([, agent]) => agent);
    const text = `${count(here.length)} here`;
    if (this.total.textContent !== text) this.total.textContent = text;
    this.note.hidden = this.list.length > 0 || !this.filter.empty;
    this.table.setAttribute("aria-rowcount", this.list.length + 1);
    this.scroller.style.height = `${Math.max(2, Math.min(this.most, this.list.length)) * ROW}px`;
    this.body.style.height = `${this.list.length * ROW}px`;
    this.paint();
  }

  matches(agent) {
    return this.filter.parts.every(({ field, word }) =>
      agent.name.toLowerCase().includes(word) || (field !== "agent" && agent.status.toLowerCase().includes(word)));
  }

  paint() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - 2);
    const shown = this.list.slice(first, first + this.most + 6);
    const names = new Set(shown.map((agent) => agent.name));
    for (const [name, row] of this.rows) {
      if (!names.has(name)) {
        row.element.remove();
        this.rows.delete(name);
      }
    }
    shown.forEach((agent, place) => this.row(agent).show(first + place, this.feed));
  }

  row(agent) {
    let row = this.rows.get(agent.name);
    if (!row) {
      row = new Row(agent, () => this.feed.select(agent.name));
      this.rows.set(agent.name, row);
      this.body.append(row.element);
    }
    return row;
  }

  follow() {
    const place = this.list.findIndex((agent) => agent.name === this.feed.selection.agent);
    const top = this.scroller.scrollTop, room = this.scroller.clientHeight;
    if (place >= 0 && (place * ROW < top || (place + 1) * ROW > top + room)) {
      this.scroller.scrollTop = place * ROW - room / 2;
    }
    this.paint();
  }

  key(event) {
    const place = this.list.findIndex((agent) => agent.name === this.feed.selection.agent);
    const last = this.list.length - 1;
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: last, PageDown: place + 10, PageUp: place - 10 }[event.key];
    if (event.key === "Escape") this.feed.select(null);
    else if (next === undefined || event.target.tagName === "INPUT") return;
    else if (last >= 0) this.feed.select(this.list[Math.max(0, Math.min(last, next))].name);
    event.preventDefault();
    event.stopPropagation();
  }

  close() {
    for (const end of this.endings) end();
    this.endBadge();
  }
}

// One line of the list; only what has changed is written.
class Row {
  constructor(agent, choose) {
    this.agent = agent;
    this.cells = COLUMNS.map((column) => h("div", { class: `syn-cell syn-c-${column.key}`, role: "gridcell" }));
    this.dot = h("i", { class: "syn-dot" });
    this.name = h("span", { class: "syn-name", title: agent.name }, agent.name);
    this.cells[0].append(this.dot, this.name);
    this.bar = h("i", {});
    this.cells[2].append(h("div", { class: "syn-load", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "load" }, this.bar));
    this.element = h("div", { class: "syn-row", role: "row", "data-agent": agent.name, onclick: choose }, ...this.cells);
    this.was = {};
  }

  show(place, feed) {
    const { agent } = this;
    const chosen = feed.selection.agent === agent.name;
    this.set("place", place, () => {
      this.element.style.transform = `translateY(${place * ROW}px)`;
      this.element.setAttribute("aria-rowindex", place + 2);
      this.element.classList.toggle("syn-odd", place % 2 === 1);
    });
    this.set("chosen", chosen, () => this.element.setAttribute("aria-selected", chosen));
    const state = !agent.online ? "gone" : agent.running ? "busy" : agent.waiting ? "queued" : agent.status === "active" ? "idle" : "own";
    this.set("state", state, () => (this.element.dataset.state = state));
    this.text(1, agent.online ? agent.status || "active" : "left");
    const load = agent.load === null ? null : Math.round(100 * agent.load);
    this.set("load", load, () => {
      this.bar.style.width = `${load ?? 0}%`;
      this.bar.parentElement.setAttribute("aria-valuenow", load ?? 0);
      this.bar.parentElement.title = load === null ? "" : `${load} %`;
    });
    this.text(3, agent.running ? count(agent.running) : "·");
    this.text(4, agent.waiting ? count(agent.waiting) : "·");
    this.text(5, String(connectionsOf(agent)));
    this.text(6, duration(agent.rtt));
    this.text(7, agent.onlineAt === null ? "–" : clock(agent.onlineAt));
    const ago = feed.now() - agent.last;
    this.text(8, !agent.last ? "–" : ago < 1.5 ? "now" : `${duration(Math.round(ago))} ago`);
  }

  set(name, value, write) {
    if (this.was[name] !== value) {
      this.was[name] = value;
      write();
    }
  }

  text(place, text) {
    this.set(place, text, () => (this.cells[place].textContent = text));
  }
}
