// The shown rows as a CSV file, made in the browser.

import { make } from "./dom.js";
import { nameOf } from "./rows.js";

/** @returns {string} one line per row, in the order of the table */
export function csvText(rows, keys) {
  const named = [
    "kind",
    "data set",
    "table",
    "name",
    "changes",
    "head",
    "backbone",
    "setting",
    "epochs",
    "seeds",
    "source",
  ];
  const numbers = keys.flatMap((key) => {
    const name = nameOf(key);
    return [
      `${name} accuracy percent`,
      `${name} half width over tasks`,
      `${name} half width over classes`,
      `${name} rank`,
    ];
  });
  const lines = rows.map((row) => [
    ...namedValues(row),
    ...keys.flatMap((key) => cellValues(row.cells.get(key))),
  ]);
  return [[...named, ...numbers], ...lines].map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

function namedValues(row) {
  const { changes, runs } = row.raw;
  const from = row.published
    ? row.source.url
    : runs
        .flatMap((run) => run.cells)
        .filter(Boolean)
        .map((cell) => decodeURIComponent(cell.href))
        .join("; ");
  const kind = row.published ? "published" : "measured";
  return [
    kind,
    row.table.dataset,
    row.table.heading,
    row.name,
    changes ?? "",
    row.head,
    row.backbone,
    row.setting,
    row.epochs,
    row.seeds ?? "",
    from,
  ];
}

function cellValues(cell) {
  return cell ? [cell.mean, cell.tasks ?? "", cell.classes ?? "", cell.rank ?? ""] : ["", "", "", ""];
}

/** A field; a text that a spreadsheet would run as a formula gets an apostrophe in front. */
function field(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) && value !== "-" ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Save a text as a file. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the browser reads it after the click
}
