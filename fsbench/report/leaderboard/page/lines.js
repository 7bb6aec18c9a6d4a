// The lines of the table: a configuration or published row, and the training seeds of an unfolded one.

import { linkTo, make } from "./dom.js";
import { accuracyText } from "./numbers.js";
import { nameOf } from "./rows.js";

/** The line of a row, followed by those of its seeds if it is unfolded. */
export function linesOf(row, keys, isUnfolded) {
  const line = make(
    "tr",
    { role: "row", class: row.published ? "published" : null },
    nameCell(row),
    cell("head", row.head),
    cell("backbone", ...breakable(row.backbone)),
    cell("setting", row.setting),
    cell("epochs", row.epochs),
    make("td", { role: "cell", class: "seeds", "data-name": "seeds" }, seedsOf(row, isUnfolded)),
    ...keys.map((key) => accuracyCell(row, key)),
  );
  return isUnfolded && row.seeds > 1 ? [line, ...row.raw.runs.map((run) => runLine(row, run, keys))] : [line];
}

function nameCell(row) {
  const { changes, venue, memory } = row.raw;
  const link = make(
    "a",
    { href: `#row=${row.id}`, "data-row": row.id, "data-key": `name-${row.id}` },
    ...breakable(row.name),
  );
  const details = row.published
    ? [
        venue || null,
        linkTo(row.source.url, memory ? "from memory, not verified" : "source", { title: row.source.name }),
      ]
    : [changes || null];
  const quiet = details.filter((part) => part !== null).flatMap((part, i) => (i ? [" · ", part] : [part]));
  return make(
    "th",
    { role: "rowheader", scope: "row", class: "name" },
    make("span", { class: row.published ? "mark printed" : "mark", "aria-hidden": "true" }),
    link,
    row.published ? make("span", { class: "visually-hidden" }, " (published)") : null,
    quiet.length ? make("span", { class: "quiet details" }, ...quiet) : null,
  );
}

function cell(name, ...texts) {
  const classes = texts[0] === "-" ? `${name} empty` : name;
  return make("td", { role: "cell", class: classes, "data-name": name }, ...texts);
}

/** A name that may break after a dot or underscore, such as pretrained.mobilenet_v2. */
function breakable(name) {
  const parts = name.split(/([^._]*[._])/).filter(Boolean);
  return parts.flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
}

function seedsOf(row, isUnfolded) {
  if (row.seeds === null) return "-";
  if (row.seeds === 1) return "1";
  return make(
    "button",
    {
      type: "button",
      class: "unfold",
      "data-unfold": row.id,
      "data-key": `unfold-${row.id}`,
      "aria-expanded": String(isUnfolded),
      "aria-label": `${row.seeds} seeds of ${row.name}, ${row.head}`,
    },
    String(row.seeds),
  );
}

function accuracyCell(row, key) {
  const accuracy = row.cells.get(key);
  if (!accuracy) return make("td", { role: "cell", class: "accuracy empty" }, "-");
  const tasks = row.table.tasksDiffer ? ` (${accuracy.n.toLocaleString("en")})` : "";
  const link = make(
    "a",
    {
      href: `#row=${row.id}&task=${key}`,
      "data-row": row.id,
      "data-task": key,
      "data-tip": row.id,
      "data-key": `${key}-${row.id}`,
    },
    accuracyText(accuracy) + tasks,
  );
  const rank = accuracy.rank
    ? make(
        "span",
        { class: "rank", title: "rank" },
        make("span", { class: "visually-hidden" }, "rank "),
        String(accuracy.rank),
      )
    : null;
  return make(
    "td",
    { role: "cell", class: accuracy.best ? "accuracy best" : "accuracy", "data-name": nameOf(key) },
    link,
    rank,
  );
}

/** A training seed below its configuration; its accuracies link to result files. */
function runLine(row, run, keys) {
  const cells = keys.map((key) => {
    const accuracy = run.cells[row.table.keys.indexOf(key)];
    if (!accuracy) return make("td", { role: "cell", class: "accuracy empty" }, "-");
    const link = linkTo(accuracy.href, accuracyText(accuracy), { title: "result file" });
    return make(
      "td",
      { role: "cell", class: "accuracy", "data-name": nameOf(key) },
      link,
      accuracy.rank
        ? make(
            "span",
            { class: "rank" },
            make("span", { class: "visually-hidden" }, "rank among single runs "),
            String(accuracy.rank),
          )
        : null,
    );
  });
  const name = make(
    "th",
    { role: "rowheader", scope: "row", class: "name" },
    make(
      "a",
      {
        href: `#row=${row.id}&seed=${encodeURIComponent(run.seed)}`,
        "data-row": row.id,
        "data-seed": run.seed,
        "data-key": `seed-${run.seed}-${row.id}`,
      },
      `seed ${run.seed}`,
    ),
  );
  const blank = ["head", "backbone", "setting"].map((column) =>
    make("td", { role: "cell", class: `${column} empty` }),
  );
  return make(
    "tr",
    { role: "row", class: "run" },
    name,
    ...blank,
    cell("epochs", run.epochs),
    make("td", { role: "cell", class: "seeds empty" }),
    ...cells,
  );
}
