// The figure: one line per configuration, and for each protocol a dot with its intervals.

import { byId, make } from "./dom.js";
import { accuracyText, fixed } from "./numbers.js";
import { nameOf, sortRows } from "./rows.js";

const MOST = { measured: 24, published: 12 }; // until all rows are selected
const MOST_LINES = 400; // of each kind
const STEPS = [1, 2, 5, 10, 20, 25];
const MOST_TICKS = 6;

/** Draw the measured rows, then the published ones, which are not comparable with them. */
export function drawFigure(rows, keys, state) {
  const key = keys.find((one) => rows.some((row) => row.cells.has(one)));
  const groups = [
    groupOf(rows, key, "measured", state),
    groupOf(rows, key, "published", state),
  ].filter((group) => group.all.length);
  const lines = groups.flatMap((group) => group.shown);
  byId("figure").hidden = lines.length === 0;
  if (!lines.length) return;
  const axes = keys.map((one) => axisOf(lines, one));
  const chart = byId("chart");
  chart.style.setProperty("--panels", String(keys.length));
  chart.replaceChildren(
    headOf(keys, axes),
    ...groups.flatMap((group) => [
      make("li", { class: "group" }, capitalized(textOf(group)) + orderOf(group)),
      ...group.shown.map((row) => lineOf(row, keys, axes)),
    ]),
  );
  byId("figure-title").textContent =
    `${capitalized(groups.map(textOf).join(", and "))}, by ${nameOf(key)} accuracy`;
  const reach = groups.reduce((sum, group) => sum + Math.min(group.all.length, MOST_LINES), 0);
  const more = byId("figure-more");
  more.hidden = state.figure !== "all" && lines.length === reach;
  const every = reach < rows.length ? `Show ${reach} of ${rows.length} rows` : `Show all ${rows.length} rows`;
  more.textContent = state.figure === "all" ? "Show fewer rows" : every;
}

/** Rows of one kind: inductive ones first, so that like is beside like; the highest first in each part. */
function groupOf(rows, key, kind, state) {
  const ofKind = rows.filter((row) => row.published === (kind === "published"));
  const order = sortRows(ofKind, { sort: `-${key}`, mixed: true });
  const all = [...order.filter(isInductive), ...order.filter((row) => !isInductive(row))];
  return { kind, all, shown: all.slice(0, state.figure === "all" ? MOST_LINES : MOST[kind]) };
}

const isInductive = (row) => row.setting.startsWith("inductive");

/** What a group shows, such as "the 12 highest inductive published rows". */
function textOf({ kind, shown, all }) {
  if (shown.length === all.length) return `${kind} rows`;
  if (!all.some(isInductive)) return `the ${shown.length} highest ${kind} rows`;
  if (shown.every(isInductive)) return `the ${shown.length} highest inductive ${kind} rows`;
  return `${shown.length} of ${all.length} ${kind} rows`;
}

function orderOf({ shown }) {
  const inductive = shown.filter(isInductive).length;
  return inductive && inductive < shown.length ? ", inductive ones first" : "";
}

const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** An axis that begins and ends at a tick, around all intervals of the lines. */
export function axisOf(lines, key) {
  const cells = lines.map((row) => row.cells.get(key)).filter(Boolean);
  if (!cells.length) return null;
  const reach = (cell) => cell.classes ?? cell.tasks ?? 0;
  const lowest = Math.max(0, Math.min(...cells.map((cell) => cell.mean - reach(cell))));
  const highest = Math.min(100, Math.max(...cells.map((cell) => cell.mean + reach(cell))));
  const step = STEPS.find((size) => (highest - lowest) / size <= MOST_TICKS - 1) ?? 50;
  const low = Math.floor(lowest / step) * step;
  const high = Math.max(Math.ceil(highest / step) * step, low + step);
  return { low, high, step };
}

const share = (axis, value) =>
  `${(100 * (Math.min(axis.high, Math.max(axis.low, value)) - axis.low)) / (axis.high - axis.low)}%`;

function headOf(keys, axes) {
  const panels = keys.map((key, i) => {
    const ticks =
      axes[i] === null
        ? []
        : ticksOf(axes[i]).map((value) => {
            const tick = make("span", { class: "tick" }, String(value));
            tick.style.setProperty("--at", share(axes[i], value));
            return tick;
          });
    return make(
      "div",
      { class: "panel-head" },
      make("strong", {}, `${nameOf(key)}, %`),
      make("div", { class: "ticks" }, ...ticks),
    );
  });
  return make("li", { class: "line head", "aria-hidden": "true" }, make("span", {}), ...panels);
}

function ticksOf({ low, high, step }) {
  return Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
}

function lineOf(row, keys, axes) {
  const plots = keys.map((key, i) => plotOf(row, row.cells.get(key), key, i, axes[i]));
  return make("li", { class: row.published ? "line published" : "line" }, labelOf(row), ...plots);
}

function labelOf(row) {
  const detail = row.published
    ? [row.raw.venue, row.backbone, row.setting === "inductive" ? "" : row.setting]
    : [
        row.raw.changes,
        row.head,
        row.name.startsWith(row.backbone) ? "" : row.backbone,
        row.epochs === "-" ? "" : `${row.epochs} epochs`,
      ];
  return make(
    "span",
    { class: "label" },
    make("a", { href: `#row=${row.id}`, "data-row": row.id, "data-key": `figure-${row.id}` }, row.name),
    " ",
    make("span", { class: "quiet" }, detail.filter((text) => text && text !== "-").join(" · ")),
  );
}

/** A dot with its intervals, and the number; single seeds are short marks. */
function plotOf(row, cell, key, i, axis) {
  if (!cell || !axis) return make("span", { class: "plot empty" });
  const plot = make("span", { class: "plot" });
  plot.style.setProperty("--steps", String((axis.high - axis.low) / axis.step));
  if (cell.classes !== null) plot.append(bar("over-classes", axis, cell.mean, cell.classes));
  if (cell.tasks !== null) plot.append(bar("over-tasks", axis, cell.mean, cell.tasks));
  if (row.seeds > 1) {
    const place = row.table.keys.indexOf(key);
    for (const run of row.raw.runs)
      if (run.cells[place]) plot.append(spot("seed", axis, run.cells[place].mean));
  }
  plot.append(spot("dot", axis, cell.mean));
  const text = `${nameOf(key)}: ${accuracyText(cell)} %`;
  return make(
    "span",
    { class: "panel", "data-tip": row.id, "data-task": key },
    plot,
    make("span", { class: "number", "aria-hidden": "true" }, fixed(cell.mean, 1)),
    make("span", { class: "visually-hidden" }, text),
  );
}

function bar(name, axis, mean, half) {
  const element = make("span", { class: name });
  element.style.setProperty("--from", share(axis, mean - half));
  element.style.setProperty("--to", share(axis, mean + half));
  return element;
}

function spot(name, axis, value) {
  const element = make("span", { class: name });
  element.style.setProperty("--at", share(axis, value));
  return element;
}
