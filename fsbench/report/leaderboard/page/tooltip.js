// A tooltip of at most six lines; the panel has the rest.

import { byId, make } from "./dom.js";
import { accuracyText, fixed } from "./numbers.js";
import { comparisonOf, differences, membersOf, verdict } from "./pairs.js";
import { nameOf } from "./rows.js";

/** @returns {string[]} */
export function tipLines(row, key, level) {
  const cell = row.cells.get(key);
  if (row.published) {
    return [
      `${accuracyText(cell)} %, ${nameOf(key)}, as printed`,
      row.source.name,
      "Published rows are not ranked.",
    ];
  }
  const place = row.table.keys.indexOf(key);
  const lines = [cell.seeds ? seedsLine(cell) : `${accuracyText(cell)} %, one training seed`];
  if (cell.tasks !== null)
    lines.push(`± ${fixed(cell.tasks)} over ${cell.n.toLocaleString("en")} tasks from these images`);
  if (cell.classes !== null) lines.push(`± ${fixed(cell.classes)} over new classes and their images`);
  lines.push(...rankLines(row, place, level));
  return [...lines, "Select it for all differences."];
}

function seedsLine(cell) {
  return `${fixed(cell.mean)} %, mean of ${cell.seeds} training seeds (${fixed(cell.low)} to ${fixed(cell.high)})`;
}

function rankLines(row, place, level) {
  const { kind, isSelf } = comparisonOf(row, place);
  const noun = kind === "recipes" ? "means over seeds" : "single runs";
  const { rank } = row.cells.get(row.table.keys[place]);
  if (!rank) return [];
  const first = `Rank ${rank} of ${membersOf(row.table, place, kind).length} ${noun}`;
  const pairs = differences(row.table, place, kind, isSelf);
  if (!pairs?.length) return [first];
  const number = (claim) => pairs.filter((pair) => verdict(pair, level) === claim).length;
  return [
    first,
    `Significantly better than ${number("better")}, worse than ${number("worse")}, not different from ${number("similar")}`,
  ];
}

/** Show the tip while a cell is pointed at or focused. @param {(id: string) => object} rowById */
export function listenForTips(rowById, level) {
  const tip = byId("tip");
  let shown = null;
  const show = (cell) => {
    if (cell === shown) return;
    hide();
    const row = rowById(cell.dataset.tip);
    if (!row) return;
    tip.replaceChildren(...tipLines(row, cell.dataset.task, level).map((line) => make("div", {}, line)));
    tip.hidden = false;
    cell.setAttribute("aria-describedby", "tip");
    shown = cell;
    place(tip, cell.getBoundingClientRect());
  };
  const hide = () => {
    tip.hidden = true;
    shown?.removeAttribute("aria-describedby");
    shown = null;
  };
  const cellOf = (target) => (target instanceof Element ? target.closest("[data-tip]") : null);
  document.addEventListener("pointerover", (event) => {
    const cell = cellOf(event.target) ?? cellOf(document.activeElement);
    if (cell) show(cell);
    else hide();
  });
  document.addEventListener("focusin", (event) =>
    cellOf(event.target) ? show(cellOf(event.target)) : hide(),
  );
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener(
    "scroll",
    () => {
      if (shown) place(tip, shown.getBoundingClientRect());
    },
    { capture: true, passive: true },
  );
  document.addEventListener("click", hide);
}

/** To the left of the cell, so that its column stays in view; below it where there is no room. */
function place(tip, box) {
  const { offsetWidth: width, offsetHeight: height } = tip;
  const beside = box.left > width + 8;
  const left = beside ? box.left - width - 4 : Math.min(box.left, window.innerWidth - width - 8);
  const top = beside ? box.top : box.bottom + 4;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(top, window.innerHeight - height - 8))}px`;
}
