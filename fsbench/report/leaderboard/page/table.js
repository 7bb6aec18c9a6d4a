// The table: one row per configuration, a hundred to a page; unfolding a row shows its training seeds.

import { byId, make } from "./dom.js";
import { linesOf } from "./lines.js";
import { count } from "./numbers.js";
import { nameOf } from "./rows.js";

export const PAGE = 100; // rows of a page

const NAMED = [
  { column: "name", text: "recipe or method" },
  { column: "head", text: "head" },
  { column: "backbone", text: "backbone" },
  { column: "setting", text: "setting" },
  { column: "epochs", text: "epochs" },
  { column: "seeds", text: "seeds" },
];

/** @param {import("./rows.js").Row[]} rows sorted rows of all pages */
export function drawTable(rows, keys, state) {
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(state.page, pages);
  const shown = rows.slice((page - 1) * PAGE, page * PAGE);
  const unfolded = new Set(state.unfolded.split(","));
  const table = byId("table");
  table.replaceChildren(
    make("caption", { class: "visually-hidden" }, `Results on ${state.dataset}`),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...headsOf(keys, state))),
    ...bodiesOf(shown, keys, state, unfolded),
  );
  drawPager(page, pages);
  byId("empty").hidden = rows.length > 0;
  byId("scroll").hidden = rows.length === 0;
}

function headsOf(keys, state) {
  const columns = [...NAMED, ...keys.map((key) => ({ column: key, text: nameOf(key), accuracy: true }))];
  return columns.map(({ column, text, accuracy }) => {
    const falling = state.sort === `-${column}`;
    const sorted = falling ? "descending" : state.sort === column ? "ascending" : null;
    const button = make(
      "button",
      { type: "button", "data-sort": column, "data-key": `sort-${column}` },
      text,
    );
    const unit = accuracy ? make("small", {}, "% ± over tasks, rank") : null;
    return make(
      "th",
      { scope: "col", role: "columnheader", class: accuracy ? "accuracy" : column, "aria-sort": sorted },
      button,
      unit,
    );
  });
}

/** The sort order after a click: accuracies and seeds begin with the highest, a third click ends sorting. */
export function nextSort(sort, column) {
  const first = /^\d|^seeds$/.test(column) ? `-${column}` : column;
  const second = first === column ? `-${column}` : column;
  return sort === first ? second : sort === second ? "" : first;
}

/** One body per table of comparable rows, with its heading; one body alone if tables are mixed. */
function bodiesOf(rows, keys, state, unfolded) {
  const bodies = [];
  for (const row of rows) {
    const last = bodies.at(-1);
    if (last && (state.mixed || last.table === row.table)) last.rows.push(row);
    else bodies.push({ table: row.table, rows: [row] });
  }
  return bodies.map((body) =>
    make(
      "tbody",
      { role: "rowgroup", class: body.table.published && !state.mixed ? "published" : null },
      state.mixed ? null : headingOf(body.table, NAMED.length + keys.length),
      ...body.rows.flatMap((row) => linesOf(row, keys, unfolded.has(row.id))),
    ),
  );
}

function headingOf(table, columns) {
  const kind = make("span", { class: "tag" }, table.published ? "published" : "measured");
  return make(
    "tr",
    { role: "row", class: "heading" },
    make(
      "th",
      { role: "rowheader", scope: "rowgroup", colspan: columns },
      make("span", {}, kind, " ", table.heading),
    ),
  );
}

function drawPager(page, pages) {
  const pager = byId("pager");
  pager.hidden = pages === 1;
  const button = (text, target) =>
    make(
      "button",
      {
        type: "button",
        "data-page": target,
        "data-key": `page-${text}`,
        disabled: target < 1 || target > pages,
      },
      text,
    );
  pager.replaceChildren(
    button("Previous", page - 1),
    make("span", {}, `Page ${page} of ${pages}`),
    button("Next", page + 1),
  );
}

/** What is shown, in one sentence. */
export function statusText(rows, state) {
  if (!rows.length) return "No row fits these filters.";
  const measured = rows.filter((row) => !row.published);
  const runs = measured.reduce((sum, row) => sum + row.seeds, 0);
  const parts = [];
  if (measured.length)
    parts.push(`${count(measured.length, "measured configuration")} (${count(runs, "run")})`);
  if (rows.length > measured.length) parts.push(count(rows.length - measured.length, "published row"));
  return `${parts.join(" and ")} on ${state.dataset}.`;
}
