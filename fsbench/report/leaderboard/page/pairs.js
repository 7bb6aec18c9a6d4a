// Differences between the rows of a table. Means over seeds are compared with means, runs with runs.

/**
 * @typedef {object} Member One accuracy of a column that takes part in a comparison.
 * @property {object} row as the page contains it
 * @property {object} cell
 * @property {object | null} run null for a mean over seeds
 */

/** The members of a column, in the order in which the page stores their pairs. @returns {Member[]} */
export function membersOf(table, i, kind) {
  return table.rows.flatMap((row) => {
    if (kind === "recipes") return row.cells?.[i]?.compared ? [{ row, cell: row.cells[i], run: null }] : [];
    return row.runs.filter((run) => run.cells[i]).map((run) => ({ row, cell: run.cells[i], run }));
  });
}

/**
 * Compare one member of a column with all others.
 *
 * Pairs are lower triangles, row by row, of whole ten-thousandths; null where no claim is made.
 *
 * @returns {{other: Member, difference: number, tasks: ?number, classes: ?number, p: ?number}[] | null}
 *   highest difference first; numbers in points, p in ten-thousandths; null if the page lacks the pairs
 */
export function differences(table, i, kind, isSelf) {
  const pairs = table[kind][i];
  const members = membersOf(table, i, kind);
  const self = members.findIndex(isSelf);
  if (!pairs || self < 0) return null;
  const pick = (values, k) => {
    const [low, high] = [Math.min(self, k), Math.max(self, k)];
    return values[(high * (high - 1)) / 2 + low];
  };
  const points = (value) => (value === null ? null : value / 100);
  return members
    .map(
      (other, k) =>
        k !== self && {
          other,
          difference: (pick(pairs.difference, k) * (self > k ? 1 : -1)) / 100,
          tasks: points(pick(pairs.tasks, k)),
          classes: points(pick(pairs.classes, k)),
          p: pick(pairs.p, k),
        },
    )
    .filter(Boolean)
    .sort((a, b) => b.difference - a.difference);
}

/** What a pair claims: "better", "worse", "similar", or "unclaimed" without a p-value. */
export function verdict({ difference, p }, level) {
  if (p === null) return "unclaimed";
  if (p >= level) return "similar";
  return difference > 0 ? "better" : "worse";
}

/**
 * How a configuration is compared for one protocol: the run of a seed, else the mean if there are enough
 * seeds, else the first run.
 */
export function comparisonOf({ raw }, i, seed = "") {
  const ofSeed = raw.runs.find((run) => run.seed === seed && run.cells[i]);
  if (!ofSeed && raw.cells?.[i]?.compared) return { kind: "recipes", isSelf: (member) => member.row === raw };
  const run = ofSeed ?? raw.runs.find((candidate) => candidate.cells[i]);
  return { kind: "checkpoints", isSelf: (member) => member.run === run, run };
}
