// A JSON value as a tree that can be folded. Text only: nothing in it is ever taken for HTML.

import { h } from "./dom.js";

const MOST = 200; // entries of one object or list
const LONG = 2_000; // characters of one text

export function jsonTree(value, depth = 0) {
  if (value === null || typeof value !== "object") return leaf(value);
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  const [left, right] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return h("span", { class: "syn-json" }, left + right);
  const list = h("ul", {}, ...entries.slice(0, MOST).map(([name, inner]) =>
    h("li", {}, h("span", { class: "syn-json-key" }, `${name}: `), jsonTree(inner, depth + 1))));
  if (entries.length > MOST) list.append(h("li", {}, `… ${entries.length - MOST} more`));
  return h("details", { class: "syn-json", open: depth < 2 }, h("summary", {}, `${left} ${entries.length} ${right}`), list);
}

function leaf(value) {
  const text = typeof value === "string" ? JSON.stringify(value.length > LONG ? `${value.slice(0, LONG)}…` : value) : String(value);
  return h("span", { class: `syn-json syn-json-${value === null ? "null" : typeof value}` }, text);
}
