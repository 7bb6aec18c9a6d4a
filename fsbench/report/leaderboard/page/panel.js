// The panel of one row: its numbers, differences, classes, training, the command that repeats it, its files.

import { byId, copyFrom, linkTo, make } from "./dom.js";
import { accuracyText } from "./numbers.js";
import { classSection } from "./classes.js";
import { comparisonSection } from "./comparison.js";
import { curveSection } from "./curve.js";
import { commandsOf } from "./commands.js";
import { facts, section, withLinks } from "./parts.js";
import { publishedParts } from "./quotation.js";
import { nameOf } from "./rows.js";

/**
 * Show a row in the panel, or close it.
 *
 * @param {object | null} row
 * @param {{task: string, seed: string}} selected the protocol and the seed whose differences are shown
 * @param {object} data the data of the page
 * @param {import("./rows.js").Row[]} rows all rows, for links
 */
export function drawPanel(row, { task, seed }, data, rows) {
  const panel = byId("panel");
  if (!row) {
    if (panel.open) panel.close();
    return;
  }
  const key = row.cells.has(task) ? task : [...row.cells.keys()][0];
  byId("panel-title").textContent = row.raw.changes ? `${row.name}, ${row.raw.changes}` : row.name;
  byId("panel-body").replaceChildren(
    ...(row.published ? publishedParts(row, rows) : measuredParts(row, key, seed, data)).filter(Boolean),
  );
  if (!panel.open) panel.showModal();
}

/** Close with the button, the Escape key or a click beside the panel. @param {() => void} close */
export function listenToPanel(close) {
  const panel = byId("panel");
  panel.addEventListener("close", close);
  panel.addEventListener("click", (event) => {
    if (event.target === panel) panel.close();
    const button = event.target.closest("[data-copy]");
    if (button) copyFrom(button, button.dataset.copy);
  });
  byId("panel-close").addEventListener("click", () => panel.close());
}

function measuredParts(row, key, seed, data) {
  return [
    facts({
      table: row.table.heading,
      head: row.head,
      backbone: row.backbone,
      setting: row.setting,
      epochs: row.epochs,
    }),
    section(
      "Accuracy in %, with 95 % intervals",
      accuracyTable(row),
      make(
        "p",
        { class: "quiet" },
        "The numbers lead to the result files, which contain the score of every task. These links work where " +
          "the page lies in its results folder.",
      ),
    ),
    comparisonSection(row, key, seed, data),
    classSection(row, key),
    curveSection(row, data.checkpoints),
    reproduceSection(row, data.checkpoints),
    papersSection(row, data.papers),
  ];
}

function accuracyTable(row) {
  const keys = [...row.cells.keys()];
  const head = make(
    "tr",
    {},
    make("th", { scope: "col" }, "run"),
    ...keys.flatMap((key) => [
      make("th", { scope: "col" }, nameOf(key)),
      make("th", { scope: "col" }, "over new classes"),
    ]),
  );
  const line = (name, cells) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...cells.flatMap(accuracyCells));
  const runs = row.raw.runs.map((run) =>
    line(
      `seed ${run.seed}`,
      keys.map((key) => run.cells[row.table.keys.indexOf(key)]),
    ),
  );
  const mean =
    row.seeds > 1
      ? [
          line(
            `mean of ${row.seeds} seeds`,
            keys.map((key) => row.cells.get(key)),
          ),
        ]
      : [];
  return make(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Accuracy" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...mean, ...runs)),
  );
}

function accuracyCells(cell) {
  if (!cell) return [make("td", {}, "-"), make("td", {}, "-")];
  return [
    make("td", {}, linkTo(cell.href, accuracyText(cell))),
    make("td", {}, cell.classes === null ? "-" : `± ${cell.classes.toFixed(2)}`),
  ];
}

function reproduceSection(row, checkpoints) {
  const { trains, commands } = commandsOf(row, checkpoints);
  const intro = trains
    ? "In the folder of this page. Without --checkpoint, the command repeats the training first."
    : "In the folder of this page, with the checkpoint or feature file of this result.";
  return section(
    "Reproduce",
    make("p", { class: "quiet" }, intro),
    ...commands.map((text) =>
      make(
        "div",
        { class: "command" },
        make("pre", { tabindex: 0 }, text),
        make("button", { type: "button", "data-copy": text }, "Copy"),
      ),
    ),
  );
}

function papersSection(row, papers) {
  const texts = [
    papers.recipes[row.recipe] && `${row.recipe}: ${papers.recipes[row.recipe]}`,
    papers.heads[row.headName] && `${row.headName}: ${papers.heads[row.headName]}`,
  ];
  const shown = texts.filter(Boolean);
  return shown.length
    ? section("Papers", make("ul", {}, ...shown.map((text) => make("li", {}, ...withLinks(text)))))
    : null;
}
