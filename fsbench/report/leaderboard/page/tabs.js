// One tab per data set, each with the number of its rows that pass the filters.

import { make } from "./dom.js";

const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/**
 * @param {HTMLElement} list the tab list
 * @param {string[]} datasets
 * @param {(dataset: string) => void} select
 */
export function buildTabs(list, datasets, select) {
  const tabs = datasets.map((dataset) => {
    const tab = make(
      "button",
      { type: "button", role: "tab", "data-dataset": dataset, "aria-controls": "view" },
      dataset,
      " ",
      make("span", { class: "count" }),
    );
    tab.addEventListener("click", () => select(dataset));
    return tab;
  });
  list.append(...tabs);
  list.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const place = tabs.indexOf(document.activeElement) + move;
    const next =
      tabs[Math.abs(move) === 1 ? (place + tabs.length) % tabs.length : move < 0 ? 0 : tabs.length - 1];
    next.focus();
    next.click();
  });
  return tabs;
}

/** Mark the selected tab, the only one that the Tab key reaches, and write the counts. */
export function drawTabs(tabs, selected, counts) {
  for (const tab of tabs) {
    const isSelected = tab.dataset.dataset === selected;
    tab.setAttribute("aria-selected", String(isSelected));
    tab.tabIndex = isSelected ? 0 : -1;
    tab.querySelector(".count").textContent = (counts.get(tab.dataset.dataset) ?? 0).toLocaleString("en");
  }
}
