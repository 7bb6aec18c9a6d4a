// The leaderboard page. Data -> rows; address -> state; rows and state -> figure, table and panel.
//
// The parts are ES modules below page/. fsbench._util.html joins them into one script, so that the page is a
// single file that also works from a disk.

import { byId, copyFrom, make } from "./page/dom.js";
import { csvText, download } from "./page/csv.js";
import { drawFigure } from "./page/figure.js";
import { drawFilters, listenToFilters } from "./page/filters.js";
import { drawPanel, listenToPanel } from "./page/panel.js";
import { withLinks } from "./page/parts.js";
import { readRows, selectRows, shownProtocols, sortRows } from "./page/rows.js";
import { differ, format, parse } from "./page/state.js";
import { drawTable, nextSort, statusText } from "./page/table.js";
import { buildTabs, drawTabs } from "./page/tabs.js";
import { listenForTips } from "./page/tooltip.js";

const PANEL = ["row", "task", "seed"];
const FILTERS = ["dataset", "tasks", "rows", "head", "setting", "backbone", "recipe", "text", "memory"];
const ORDER = ["mixed", "sort", "page", "unfolded"];

function start() {
  const data = JSON.parse(byId("data").textContent);
  const rows = readRows(data);
  const byRow = new Map(rows.map((row) => [row.id, row]));
  const byDataset = groupByDataset(rows);
  const datasets = [...byDataset.keys()];
  const tabs = buildTabs(byId("tabs"), datasets, (dataset) => update({ dataset, page: 1, unfolded: "" }));
  let state = null;
  let shown = []; // the rows and protocols of the table, for the CSV file
  let keys = [];

  /** The state of the address; a row implies its data set. */
  function read() {
    const parsed = parse(location.hash);
    const dataset = byDataset.has(parsed.dataset)
      ? parsed.dataset
      : (byRow.get(parsed.row)?.table.dataset ?? datasets[0] ?? "");
    return { ...parsed, dataset };
  }

  /** Change the state and the address. Typing replaces the entry of the history, all else adds one. */
  function update(changes, { replace = false } = {}) {
    const next = { ...state, ...changes };
    history[replace ? "replaceState" : "pushState"](null, "", format(next));
    draw(next);
  }

  /** Draw the parts of the page that depend on what changed; what had the focus keeps it. */
  function draw(next) {
    const before = state;
    state = next;
    const ofDataset = byDataset.get(state.dataset) ?? [];
    const focus = document.activeElement?.dataset?.key;
    if (differ(before, state, [...FILTERS, "figure", ...ORDER])) {
      keys = shownProtocols(ofDataset, state.tasks);
      const selected = selectRows(ofDataset, state, keys);
      if (differ(before, state, FILTERS)) {
        drawTabs(tabs, state.dataset, countByDataset(byDataset, state));
        drawNotes(ofDataset, data);
        byId("status").textContent = statusText(selected, state);
      }
      if (differ(before, state, [...FILTERS, "mixed"])) drawFilters(ofDataset, state, keys);
      if (differ(before, state, [...FILTERS, "figure"])) drawFigure(selected, keys, state);
      if (differ(before, state, [...FILTERS, ...ORDER])) {
        shown = sortRows(selected, state);
        drawTable(shown, keys, state);
      }
    }
    if (differ(before, state, PANEL)) drawPanel(byRow.get(state.row) ?? null, state, data, rows);
    if (differ(before, state, ["row"])) byId("panel").scrollTop = 0;
    if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }

  listenToFilters(update);
  listenToPanel(() => {
    if (state.row) update({ row: "", task: "", seed: "" });
  });
  listenForTips((id) => byRow.get(id), data.level);
  listenToClicks(() => state, update);
  byId("csv").addEventListener("click", () => download(`fsbench-${state.dataset}.csv`, csvText(shown, keys)));
  byId("link").addEventListener("click", () => copyFrom(byId("link"), location.href));
  byId("panel-link").addEventListener("click", () => copyFrom(byId("panel-link"), location.href));
  byId("copy-citation").addEventListener("click", () =>
    copyFrom(byId("copy-citation"), byId("citation").textContent),
  );
  window.addEventListener("popstate", () => draw(read()));
  byId("filter-box").open = !window.matchMedia("(max-width: 48rem)").matches; // they fill the screen of a phone
  byId("papers").append(...paperItems(data.papers));
  byId("quoted").textContent = data.tables.some((table) => table.published) ? data.quoted : "";
  draw(read());
}

function groupByDataset(rows) {
  const groups = new Map();
  for (const row of rows) {
    const { dataset } = row.table;
    if (!groups.has(dataset)) groups.set(dataset, []);
    groups.get(dataset).push(row);
  }
  return groups;
}

function countByDataset(byDataset, state) {
  const count = (rows) => selectRows(rows, state, shownProtocols(rows, state.tasks)).length;
  return new Map([...byDataset].map(([dataset, rows]) => [dataset, count(rows)]));
}

/** Clicks on links to rows, headers, pages and seeds; other links stay ordinary links. */
function listenToClicks(state, update) {
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-row], [data-sort], [data-page], [data-unfold]");
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const { row, task, seed, sort, page, unfold } = target.dataset;
    event.preventDefault();
    if (row) update({ row, task: task ?? "", seed: seed ?? "" });
    else if (sort) update({ sort: nextSort(state().sort, sort), page: 1 });
    else if (page) update({ page: Number(page) });
    else if (unfold) update({ unfolded: toggled(state().unfolded, unfold) });
    if (page) byId("scroll").scrollTop = 0;
  });
  byId("figure-more").addEventListener("click", () =>
    update({ figure: state().figure === "all" ? "" : "all" }),
  );
}

function toggled(list, name) {
  const names = list.split(",").filter(Boolean);
  return (names.includes(name) ? names.filter((other) => other !== name) : [...names, name]).join(",");
}

/** Why published rows are higher, and how each measured table of the data set is to be read. */
function drawNotes(rows, data) {
  const tables = [...new Set(rows.map((row) => row.table))].filter((table) => !table.published);
  const dataset = rows[0]?.table.dataset;
  byId("why").textContent =
    data.why[dataset] ??
    (tables.length ? "" : "Nothing was measured on this data set; its rows are published numbers.");
  const notes = tables.flatMap((table) => [
    make("h2", {}, table.heading),
    make("p", {}, table.lead),
    table.notes ? make("p", {}, table.notes) : null,
  ]);
  byId("notes-body").replaceChildren(...notes.filter(Boolean));
  byId("notes").hidden = !tables.length;
}

function paperItems(papers) {
  const texts = { ...papers.recipes, ...papers.heads };
  return Object.entries(texts).map(([name, text]) => make("li", {}, `${name}: `, ...withLinks(text)));
}

start();
