// The state of the page as part of its address, so that every view can be shared.

/**
 * @typedef {typeof DEFAULTS} State
 */
export const DEFAULTS = Object.freeze({
  dataset: "",
  tasks: "", // protocols, such as "5w1s,5w5s"
  rows: "all", // or "measured", "published"
  head: "",
  setting: "",
  backbone: "",
  recipe: "",
  text: "",
  memory: false, // whether to show published rows that were not verified
  mixed: false, // whether rows of different tables are sorted together
  sort: "", // a column, with "-" in front for falling order
  page: 1,
  unfolded: "", // identifiers of rows whose seeds are shown
  figure: "", // "all": every row is in the figure
  row: "", // identifier of the row in the panel
  task: "", // its protocol
  seed: "", // its training seed
});

/** @returns {State} */
export function parse(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...DEFAULTS };
  for (const [name, value] of Object.entries(DEFAULTS)) {
    const text = parameters.get(name);
    if (text !== null) state[name] = typed(text, value);
  }
  return state;
}

function typed(text, like) {
  if (typeof like === "boolean") return text === "1";
  if (typeof like === "number") return Math.max(1, Number.parseInt(text, 10) || 1);
  return text;
}

/** The address of a state; what has its default is left out. */
export function format(state) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (state[name] !== value) parameters.set(name, state[name] === true ? "1" : String(state[name]));
  }
  return `#${parameters}`;
}

/** Whether two states differ in one of these names. */
export function differ(before, after, names) {
  return before === null || names.some((name) => before[name] !== after[name]);
}
