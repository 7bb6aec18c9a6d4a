// The panel of a published row: what the source prints, and where.

import { joined, linkTo, make } from "./dom.js";
import { facts, section } from "./parts.js";
import { nameOf } from "./rows.js";

export function publishedParts(row, rows) {
  const { paper, venue, size, reportedBy, memory } = row.raw;
  const printed = [...row.cells].map(([key, cell]) => make("li", {}, `${nameOf(key)}: ${cell.text}`));
  const related = rows.filter(
    (other) =>
      !other.published &&
      row.recipe &&
      other.recipe === row.recipe &&
      other.table.dataset === row.table.dataset,
  );
  return [
    facts({
      "data set": row.table.heading,
      method: [linkTo(paper, row.name)],
      venue,
      backbone: row.backbone,
      setting: row.setting,
      "image size": size ? `${size} px` : "",
      source: [linkTo(row.source.url, row.source.name)],
      "reported in": reportedBy ? [linkTo(reportedBy, "another paper")] : "",
    }),
    section(
      "Accuracy in %, as the source prints it",
      make("ul", {}, ...printed),
      make(
        "p",
        { class: "quiet" },
        memory
          ? "From memory, not verified at the source."
          : "Tasks, crops and training differ between sources, so published rows are neither ranked nor compared.",
      ),
    ),
    related.length
      ? section(
          "Measured with the same recipe",
          make(
            "p",
            {},
            ...joined(
              related.map((other) =>
                make("a", { href: `#row=${other.id}`, "data-row": other.id }, `${other.name}, ${other.head}`),
              ),
              "; ",
            ),
          ),
        )
      : null,
  ];
}
