// What each class contributes to the accuracy of a row.

import { make } from "./dom.js";
import { fixed } from "./numbers.js";
import { nameOf } from "./rows.js";

export function classSection(row, key) {
  const values = row.raw.classes[row.table.keys.indexOf(key)];
  if (!values) return null;
  const highest = Math.max(100, ...values);
  const order = values.map((value, place) => ({ value, place })).sort((a, b) => b.value - a.value);
  const bars = order.map(({ value, place }) => {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--to", `${(100 * Math.max(0, value)) / highest}%`);
    return make(
      "li",
      {},
      make("span", { class: "quiet" }, `class ${place + 1}`),
      bar,
      make("span", {}, fixed(value, 1)),
    );
  });
  return make(
    "section",
    {},
    make("h3", {}, `Classes, ${nameOf(key)}`),
    make(
      "p",
      { class: "quiet" },
      "What each class contributes to the mean (jackknife values in %, whose mean is the accuracy, so some may " +
        "be above 100). Their spread gives the interval over new classes. Result files do not name the classes; " +
        "fsbench evaluate --details writes accuracy and confusions of each class by name.",
    ),
    make("ol", { class: "classes" }, ...bars),
  );
}
