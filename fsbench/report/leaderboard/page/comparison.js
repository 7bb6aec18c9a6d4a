// The differences of one row from the other rows of its table, as a table.

import { make } from "./dom.js";
import { signed, pText } from "./numbers.js";
import { comparisonOf, differences, verdict } from "./pairs.js";
import { nameOf } from "./rows.js";

const VERDICTS = { better: "better", worse: "worse", similar: "not different", unclaimed: "no claim" };

/** @param {string} seed the run to compare; empty for the mean over seeds */
export function comparisonSection(row, key, seed, data) {
  const place = row.table.keys.indexOf(key);
  const { kind, isSelf, run } = comparisonOf(row, place, seed);
  const pairs = differences(row.table, place, kind, isSelf);
  const intro = make("p", { class: "quiet" }, introduction(row, kind));
  const body =
    pairs === null
      ? make(
          "p",
          {},
          `This column has more than ${data.mostCompared} rows; fsbench compare prints the differences of two of them.`,
        )
      : pairs.length
        ? differencesTable(pairs, row, data.level)
        : make("p", {}, "There is no other row to compare it with.");
  return make(
    "section",
    { class: "differences" },
    make("h3", {}, "Differences from the other rows of its table"),
    choices(row, key, run?.seed ?? ""),
    pairs?.length ? intro : null,
    body,
  );
}

/** Links to the other protocols, and to the mean and the runs of a configuration with several seeds. */
function choices(row, key, seed) {
  const place = row.table.keys.indexOf(key);
  const chip = (text, task, ofSeed, isCurrent) =>
    make(
      "a",
      {
        href: `#row=${row.id}&task=${task}&seed=${encodeURIComponent(ofSeed)}`,
        "data-row": row.id,
        "data-task": task,
        "data-seed": ofSeed,
        "data-key": `chip-${text}`,
        class: "chip",
        "aria-current": isCurrent ? "true" : null,
      },
      text,
    );
  const protocols = [...row.cells.keys()].map((other) => chip(nameOf(other), other, seed, other === key));
  const runs = row.raw.runs
    .filter((run) => run.cells[place])
    .map((run) => chip(`seed ${run.seed}`, key, run.seed, run.seed === seed));
  const mean = row.raw.cells?.[place]?.compared ? [chip("mean over seeds", key, "", seed === "")] : [];
  return make(
    "div",
    { class: "choices" },
    ...protocols,
    row.seeds > 1 ? make("span", { class: "quiet" }, "of") : null,
    ...(row.seeds > 1 ? [...mean, ...runs] : []),
  );
}

function introduction({ table }, kind) {
  const claim =
    table.over === "classes" ? "new classes with their images" : "other tasks from the same images";
  const who =
    kind === "recipes"
      ? "Means over three or more training seeds; ± and p also cover training seeds."
      : "Single runs, compared with all single runs of the table; comparing recipes needs three seeds of each.";
  const p = `p: claim over ${table.over} (${claim}), adjusted by Holm over all pairs of the column.`;
  return `${who} Differences in points, this row minus the other. ${p}`;
}

function differencesTable(pairs, row, level) {
  const heads = ["other row", "difference", "± over classes", "± over tasks", "p", "this row is"];
  const lines = pairs.map((pair) => {
    const claim = verdict(pair, level);
    const half = (value) => (value === null ? "-" : value.toFixed(2));
    const texts = [
      signed(pair.difference),
      half(pair.classes),
      half(pair.tasks),
      pair.p === null ? "-" : pText(pair.p),
      VERDICTS[claim],
    ];
    return make(
      "tr",
      { class: claim },
      otherCell(pair.other, row),
      ...texts.map((text) => make("td", {}, text)),
    );
  });
  return make(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Differences" },
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...lines),
    ),
  );
}

function otherCell({ row: other, run }, row) {
  const seed = run ? `&seed=${encodeURIComponent(run.seed)}` : "";
  const ofSeed = run && run.seed !== "-" ? `, seed ${run.seed}` : "";
  const backbone = other.backbone === row.backbone ? "" : other.backbone;
  const text = [other.name, other.changes, other.headText, backbone].filter(Boolean).join(", ") + ofSeed;
  return make(
    "th",
    { scope: "row" },
    make("a", { href: `#row=${other.id}${seed}`, "data-row": other.id, "data-seed": run?.seed }, text),
  );
}
