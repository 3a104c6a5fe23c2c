// What makes an anywidget of a view: its feed, its frame in the page, its end.

import { acquire } from "./feed.js";

// The picture for those who cannot run this stands in an output of its own, below.
function hideStill(el, name, drawn) {
  const hide = () => {
    const below = el.closest(".jp-OutputArea-child")?.nextElementSibling;
    const still = document.querySelector(`.${name}`) ?? (drawn ? below?.querySelector("img") : null);
    const output = still?.closest(".jp-OutputArea-child, .output") ?? still;
    if (output) output.style.display = "none";
    return Boolean(output);
  };
  if (hide()) return;
  const area = el.closest(".jp-OutputArea") ?? document.body;
  const watch = new MutationObserver(() => hide() && watch.disconnect());
  watch.observe(area, { childList: true, subtree: true });
  setTimeout(() => watch.disconnect(), 10_000);
}

export function widget(view) {
  return {
    render({ model, el }) {
      el.classList.add("syn");
      const { feed, release } = acquire(model);
      const options = model.get("options") ?? {};
      const end = view(el, feed, options);
      hideStill(el, model.get("still"), model.get("source") === "trace");
      const forget = feed.on((what) => {
        if (what !== "selection" || !model.comm_live) return;
        model.set("selected", { ...feed.selection });
        model.save_changes();
      });
      return () => {
        forget();
        end();
        release();
      };
    },
  };
}
