// Accuracy on val classes during training, of those runs whose checkpoint and log lie in the results folder.

import { joined, linkTo, make, makeSvg } from "./dom.js";
import { axisOf } from "./figure.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [600, 220, 36, 28];

export function curveSection(row, checkpoints) {
  const runs = row.raw.runs
    .map((run) => ({ run, log: checkpoints[run.checkpoint] }))
    .filter(({ log }) => log?.curve.length > 1);
  if (!runs.length) return null;
  const links = runs.map(({ run, log }) => linkTo(log.file, `checkpoint of seed ${run.seed}`));
  return make(
    "section",
    {},
    make("h3", {}, "Training"),
    chart(runs.map(({ log }) => log.curve)),
    make(
      "p",
      { class: "quiet" },
      "Accuracy in % on val classes by epoch, one line per training seed. ",
      ...joined(links, ", "),
    ),
  );
}

/** @param {[number, number, number][][]} curves epoch, accuracy and half width */
function chart(curves) {
  const points = curves.flat();
  const last = Math.max(...points.map(([epoch]) => epoch));
  const axis = axisOf(
    points.map(([, mean, tasks]) => ({ cells: new Map([["val", { mean, tasks, classes: null }]]) })),
    "val",
  );
  const x = (epoch) => LEFT + ((WIDTH - LEFT - 8) * epoch) / last;
  const y = (value) =>
    HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - 8) * (value - axis.low)) / (axis.high - axis.low);
  const grid = Array.from(
    { length: Math.round((axis.high - axis.low) / axis.step) + 1 },
    (_, i) => axis.low + i * axis.step,
  ).flatMap((value) => [
    makeSvg("line", { x1: LEFT, x2: WIDTH - 8, y1: y(value), y2: y(value), class: "grid" }),
    makeSvg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)),
  ]);
  const epochs = [1, Math.round(last / 2), last].map((epoch) =>
    makeSvg("text", { x: x(epoch), y: HEIGHT - 8, "text-anchor": "middle" }, String(epoch)),
  );
  const lines = curves.map((curve) =>
    makeSvg("polyline", { points: curve.map(([epoch, value]) => `${x(epoch)},${y(value)}`).join(" ") }),
  );
  return makeSvg(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": "Accuracy on val classes by epoch",
      class: "curve",
    },
    ...grid,
    ...epochs,
    ...lines,
  );
}
