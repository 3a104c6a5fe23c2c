// The bar that plays a recorded or simulated run.

import { duration, h, loop } from "./dom.js";

const SPEEDS = [0.001, 0.01, 0.1, 0.25, 0.5, 1, 2, 5, 10, 100, 1000, 10000];

export function playbar(feed, setSpan) {
  const { playback } = feed;
  const button = h("button", { class: "syn-button syn-play", type: "button", "aria-label": "Play", onclick: toggle }, "▶");
  const slider = h("input", {
    class: "syn-slider", type: "range", min: 0, max: 1000, value: 1000, step: 1, "aria-label": "Time in the run",
    oninput: () => playback.seek((slider.value / 1000) * playback.length),
  });
  const time = h("span", { class: "syn-time" });
  const known = SPEEDS.includes(playback.speed) ? SPEEDS : [...SPEEDS, playback.speed].sort((one, other) => one - other);
  const speed = h("select", {
    class: "syn-input", "aria-label": "Speed", onchange: () => (playback.speed = Number(speed.value)),
  }, ...known.map((one) => h("option", { value: one, selected: one === playback.speed }, `× ${one}`)));
  const spans = h("select", { class: "syn-input", "aria-label": "Length of the window", onchange: () => setSpan(Number(spans.value)) },
    ...[1, 2, 5, 10, 50, 100].map((part) => h("option", { value: playback.length / part || 1 },
      part === 1 ? "all" : duration(playback.length / part))));
  const bar = h("div", { class: "syn-playbar", role: "group", "aria-label": "Playback" }, button, slider, time, speed, spans);

  function toggle() {
    if (playback.playing) playback.pause();
    else playback.play();
  }

  bar.end = loop(bar, () => {
    const place = playback.length ? (playback.position / playback.length) * 1000 : 1000;
    if (document.activeElement !== slider || playback.playing) slider.value = place;
    const text = `${duration(playback.position)} of ${duration(playback.length)}`;
    if (time.textContent !== text) time.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    const sign = playback.playing ? "❚❚" : "▶";
    if (button.textContent !== sign) {
      button.textContent = sign;
      button.setAttribute("aria-label", playback.playing ? "Pause" : "Play");
    }
  }, 20);
  return bar;
}
