// The Dashboard: all of them, sharing one selection.

import { flow } from "./flow.js";
import { gauges } from "./gauges.js";
import { inspector } from "./inspector.js";
import { roster } from "./roster.js";
import { h } from "./dom.js";

export function dashboard(host, feed, options) {
  const places = ["gauges", "roster", "flow", "inspector"].map((name) => h("div", { class: `syn-place syn-place-${name}` }));
  host.append(h("div", { class: "syn-dashboard" }, ...places));
  const endings = [
    gauges(places[0], feed),
    roster(places[1], feed, { rows: 8 }),
    flow(places[2], feed, { ...options, lanes: options.lanes ?? 8 }),
    inspector(places[3], feed),
  ];
  return () => endings.forEach((end) => end());
}
