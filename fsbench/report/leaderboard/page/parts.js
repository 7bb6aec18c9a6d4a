// Parts of panels: sections, lists of facts, and texts with links.

import { linkTo, make } from "./dom.js";

export function section(title, ...children) {
  return make("section", {}, make("h3", {}, title), ...children);
}

/** A list of names and values, without empty ones. */
export function facts(entries) {
  const shown = Object.entries(entries).filter(([, value]) => value && value !== "-");
  return make(
    "dl",
    {},
    ...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, ...[value].flat()))),
  );
}

/** A text whose arXiv numbers are links. */
export function withLinks(text) {
  return text
    .split(/(arXiv:\d+\.\d+)/)
    .map((part) =>
      part.startsWith("arXiv:") ? linkTo(`https://arxiv.org/abs/${part.slice(6)}`, part) : part,
    );
}
