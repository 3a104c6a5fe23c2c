// What the widgets share: elements, numbers for people, colours of the theme, sharp canvases, a loop that rests
// while no one can see it.

// An element: `h("button", {class: "syn-x", onclick}, "text", child)`.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const THIN = "\u202f";

// 1204 -> 1 204
export function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, THIN);
}

// A rate: 0, 0.4, 12, 1 204, 49.5 k
export function rate(number) {
  if (number >= 10_000) return `${(number / 1000).toFixed(1)}${THIN}k`;
  return number >= 10 || number === 0 ? count(number) : number.toFixed(1);
}

// A duration in s: 850 µs, 12.3 ms, 1.24 s, 3 min
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds === 0) return `0${THIN}s`;
  const [value, unit] =
    seconds >= 3600 ? [seconds / 3600, "h"] : seconds >= 120 ? [seconds / 60, "min"] : seconds >= 1 ? [seconds, "s"]
    : seconds >= 1e-3 ? [seconds * 1e3, "ms"] : [seconds * 1e6, "µs"];
  return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2).replace(/\.0+$/, "")}${THIN}${unit}`;
}

// A size in bytes: 312 B, 4.2 kB, 1.3 MB
export function size(bytes) {
  if (bytes < 1000) return `${bytes}${THIN}B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)}${THIN}kB` : `${(bytes / 1e6).toFixed(1)}${THIN}MB`;
}

// A time of day, local, of Unix time in s.
export function clock(time, fraction = false) {
  const date = new Date(time * 1000);
  const text = date.toLocaleTimeString([], { hour12: false });
  return fraction ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

// The colours that a widget draws with, from its style; read anew when the theme may have changed.
export class Colours {
  constructor(element) {
    this.element = element;
    this.read();
    this.watch = new MutationObserver(() => this.read());
    const theme = { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class", "style"] };
    this.watch.observe(document.body, theme);
    this.timer = setInterval(() => this.read(), 1000); // a theme's sheet may arrive later than its name
  }

  read() {
    const style = getComputedStyle(this.element);
    const names = ["text", "dim", "faint", "line", "ground", "band", "wait", "think", "tick", "success", "error",
      "timeout", "interrupted", "rejected", "lost", "select", "accent"];
    for (const name of names) this[name] = style.getPropertyValue(`--syn-${name}`).trim();
    this.font = style.fontFamily;
  }

  of(status) {
    return this[status] ?? this.think;
  }

  close() {
    clearInterval(this.timer);
    this.watch.disconnect();
  }
}

// Fit a canvas to its element at the screen's own resolution. Returns {pen, width, height} in CSS pixels.
export function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return { pen, width, height };
}

// Call `draw` up to `perSecond` times a second while the element can be seen. Returns the end of it.
export function loop(element, draw, perSecond = 60) {
  let seen = true, last = 0, frame = 0;
  const pause = 1000 / perSecond - 4;
  const watch = new IntersectionObserver((entries) => (seen = entries.at(-1).isIntersecting));
  watch.observe(element);
  const turn = (time) => {
    frame = requestAnimationFrame(turn);
    if (!seen || time - last < (perSecond >= 60 ? 0 : pause)) return;
    last = time;
    draw(time);
  };
  frame = requestAnimationFrame(turn);
  return () => {
    cancelAnimationFrame(frame);
    watch.disconnect();
  };
}

// A small line of values over an area, scaled to their largest.
export function spark(canvas, values, colour, floor = 0) {
  const { pen, width, height } = fit(canvas);
  pen.clearRect(0, 0, width, height);
  if (!width || values.length < 2) return;
  const top = Math.max(floor, ...values) || 1;
  const x = (place) => (place / (values.length - 1)) * width;
  const y = (value) => height - 1.5 - (value / top) * (height - 3);
  pen.beginPath();
  values.forEach((value, place) => pen.lineTo(x(place), y(value)));
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(0, height);
  pen.globalAlpha = 0.14;
  pen.fillStyle = colour;
  pen.fill();
  pen.globalAlpha = 1;
}

const STATUS = {
  live: "live", connecting: "connecting …", reconnecting: "connection lost, reconnecting …", trace: "recorded",
  refused: "not allowed", offline: "no connection",
};

// The dot and the word that say how the connection is, in the corner of every widget.
export function badge(feed) {
  const element = h("span", { class: "syn-badge", role: "status" });
  const show = () => {
    element.dataset.status = feed.status;
    const why = feed.status === "refused" && feed.why ? `: ${feed.why}` : "";
    element.textContent = (STATUS[feed.status] ?? feed.status) + why;
  };
  show();
  element.end = feed.on((what) => what === "status" && show());
  return element;
}

// The frame of a widget: a heading with its tools, and below it the body.
export function panel(title, feed, tools, ...body) {
  const mark = badge(feed);
  const head = h("div", { class: "syn-head" }, h("span", { class: "syn-title" }, title), mark, ...tools);
  return { element: h("section", { class: "syn-panel", "aria-label": title }, head, ...body), end: mark.end };
}
