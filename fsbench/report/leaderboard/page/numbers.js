// Numbers as people read them.

export const fixed = (value, digits = 2) => value.toFixed(digits);

export const count = (value, noun) => `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;

/** The text of a cell: as printed by the source, or accuracy ± half width over tasks. */
export function accuracyText(cell) {
  if (cell.text) return cell.text;
  return cell.tasks === null ? fixed(cell.mean) : `${fixed(cell.mean)} ± ${fixed(cell.tasks)}`;
}

/** A difference in points, with its sign. */
export const signed = (value) => `${value < 0 ? "−" : "+"}${fixed(Math.abs(value))}`;

/** p as a whole number of ten-thousandths. */
export const pText = (p) => (p === 0 ? "< 0.0001" : (p / 10000).toFixed(4));
