// The rows of the page: measured configurations and published rows in one shape; then filtered and sorted.

/**
 * @typedef {object} Cell Numbers in %.
 * @property {number} mean
 * @property {number | null} tasks half width over tasks; of published rows, the printed one
 * @property {number | null} classes half width over new classes
 * @property {number | null} rank
 * @property {boolean} best
 * @property {boolean} [compared] of means over seeds: whether it is compared with other means
 * @property {string} [text] as a source prints it
 *
 * @typedef {object} Row
 * @property {string} id
 * @property {object} table
 * @property {object} raw the row as the page contains it
 * @property {boolean} published
 * @property {Map<string, Cell>} cells by key of the protocol, such as "5w1s"
 * @property {string} search
 */

const collator = new Intl.Collator("en", { numeric: true });

export const keyOf = ([way, shot]) => `${way}w${shot}s`;

export const nameOf = (key) => key.replace(/^(\d+)w(\d+)s$/, "$1-way $2-shot");

/** @returns {Row[]} all rows of all tables */
export function readRows(data) {
  return data.tables.flatMap((table, place) => {
    table.place = place;
    table.keys = table.columns.map(keyOf);
    table.tasksDiffer = !table.published && new Set(table.rows.flatMap(tasksOf)).size > 1;
    return table.rows.map((source) =>
      table.published ? publishedRow(table, source, data.sources) : measuredRow(table, source),
    );
  });
}

/** The numbers of tasks of a measured row. */
const tasksOf = (row) => row.runs.flatMap((run) => run.cells.filter(Boolean).map((cell) => cell.n));

function measuredRow(table, source) {
  const seeds = source.runs.map((run) => run.seed).join(" ");
  return {
    ...shared(table, source),
    epochs: source.epochs,
    seeds: source.runs.length,
    search: lower(
      table.heading,
      source.name,
      source.changes,
      source.headText,
      source.backbone,
      source.setting,
      seeds,
      ...source.runs.map((run) => run.name),
    ),
    cells: cellsOf(table, source.cells ?? source.runs[0].cells),
  };
}

function publishedRow(table, source, sources) {
  const [name, url] = sources[source.source];
  return {
    ...shared(table, source),
    epochs: "-",
    seeds: null,
    source: { name, url },
    search: lower(
      "published",
      table.heading,
      source.name,
      source.venue,
      source.backbone,
      source.setting,
      source.recipe,
      name,
    ),
    cells: cellsOf(
      table,
      source.cells.map(
        (cell) => cell && { ...cell, tasks: cell.half, classes: null, rank: null, best: false },
      ),
    ),
  };
}

function shared(table, source) {
  const { id, name, backbone, setting, recipe } = source;
  const head = source.headText ?? "-";
  return {
    id,
    table,
    raw: source,
    published: table.published,
    name,
    backbone,
    setting,
    recipe,
    head,
    headName: source.head ?? "",
  };
}

function cellsOf(table, cells) {
  return new Map(table.keys.map((key, i) => [key, cells[i]]).filter(([, cell]) => cell));
}

const lower = (...texts) => texts.filter(Boolean).join(" ").toLowerCase();

const protocols = new WeakMap(); // of the rows of a data set, which never change

/** The protocols of a data set, measured ones first, then by ways and shots. */
export function protocolsOf(rows) {
  if (!protocols.has(rows)) protocols.set(rows, listProtocols(rows));
  return protocols.get(rows);
}

function listProtocols(rows) {
  const tables = [...new Set(rows.map((row) => row.table))];
  const keys = [...new Set(tables.flatMap((table) => table.keys))];
  const measured = new Set(tables.filter((table) => !table.published).flatMap((table) => table.keys));
  keys.sort((a, b) => measured.has(b) - measured.has(a) || collator.compare(a, b));
  return { keys, measured };
}

/** The protocols that are shown: those of the address, else the measured ones, else the usual ones. */
export function shownProtocols(rows, selected) {
  const { keys, measured } = protocolsOf(rows);
  const selectedKeys = selected.split(",").filter((key) => keys.includes(key));
  if (selectedKeys.length) return keys.filter((key) => selectedKeys.includes(key));
  if (measured.size) return keys.filter((key) => measured.has(key)).slice(0, 4);
  const usual = keys.filter((key) => key === "5w1s" || key === "5w5s");
  return usual.length ? usual : keys.slice(0, 2);
}

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function passes(row, state, words) {
  return (
    (state.rows === "all" || (state.rows === "published") === row.published) &&
    (state.memory || !row.raw.memory) &&
    (!state.head || row.headName === state.head) &&
    (!state.setting || row.setting === state.setting) &&
    (!state.backbone || row.backbone === state.backbone) &&
    (!state.recipe || row.recipe === state.recipe) &&
    words.every((word) => row.search.includes(word))
  );
}

/** Rows of one data set that pass the filters and have an accuracy in one of the shown protocols. */
export function selectRows(rows, state, keys) {
  const words = wordsOf(state.text);
  return rows.filter((row) => passes(row, state, words) && keys.some((key) => row.cells.has(key)));
}

/**
 * Sort by one column; tables stay apart unless `mixed`. Rows without a value stay last in both directions,
 * and equal rows keep the order of the page.
 */
export function sortRows(rows, { sort, mixed }) {
  const falling = sort.startsWith("-");
  const column = falling ? sort.slice(1) : sort;
  const value = column ? valuesOf(rows, column) : () => null;
  const order = rows.map((row, place) => ({
    row,
    place,
    group: mixed ? 0 : row.table.place,
    value: value(row),
  }));
  order.sort((a, b) => a.group - b.group || compare(a.value, b.value, falling) || a.place - b.place);
  return order.map(({ row }) => row);
}

function compare(a, b, falling) {
  if (a === null || b === null) return (a === null) - (b === null);
  return falling ? b - a : a - b;
}

/** A function from row to number; texts are replaced by their place in order, which compares faster. */
function valuesOf(rows, column) {
  if (/^\d+w\d+s$/.test(column)) return (row) => row.cells.get(column)?.mean ?? null;
  if (column === "seeds") return (row) => row.seeds;
  const texts = [...new Set(rows.map((row) => String(row[column] ?? "-")))].sort(collator.compare);
  const places = new Map(texts.map((text, place) => [text, place]));
  return (row) => (String(row[column] ?? "-") === "-" ? null : places.get(String(row[column])));
}

/** The distinct values of a column, in order, for a filter. */
export function optionsOf(rows, column) {
  return [...new Set(rows.map((row) => row[column]).filter((value) => value && value !== "-"))].sort(
    collator.compare,
  );
}
