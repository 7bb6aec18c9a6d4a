
"use strict";
// Builds the tables from the JSON in the page; then sorts, filters and compares rows. Names are only set as text.

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const collator = new Intl.Collator("en", { numeric: true });
const filters = ["dataset", "backbone", "way", "shot", "kind", "recipe", "text"];
const comparisons = new WeakMap(); // cell -> the function that fills the tooltip and marks the column
let views = [];

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// The value of a named column is a text, or a list of pairs of text and address.

function plain(named) {
  return typeof named === "string" ? named : named.map(([text]) => text).join(", ");
}

function linked(named) {
  if (typeof named === "string") return [named];
  return named.flatMap(([text, href], i) => [i ? ", " : null, href ? make("a", { href }, text) : text]);
}

// Columns: the named ones, then for each protocol a rank (of measured rows) and an accuracy.

function columnsOf(table) {
  const named = table.named.map((name, i) => ({ name, css: "named", key: (row) => (row.named[i] === "-" ? null : plain(row.named[i])) }));
  const protocols = table.columns.flatMap(([way, shot], i) => {
    const name = `${way}-way ${shot}-shot`;
    const rank = { name, css: "rank", i, way, shot, key: (row) => row.cells[i]?.rank ?? null };
    const accuracy = { name, css: "accuracy", i, way, shot, falling: true, scale: scaleOf(table, i), key: (row) => row.cells[i]?.mean ?? null };
    return table.published ? [accuracy] : [rank, accuracy];
  });
  const behind = table.published ? named.splice(-1) : []; // the column of sources
  return [...named, ...protocols, ...behind];
}

function scaleOf(table, i) {
  const cells = table.rows.map((row) => row.cells[i]).filter((cell) => cell?.kind === "checkpoints");
  if (!cells.length) return null;
  const low = Math.max(0, Math.floor(Math.min(...cells.map((cell) => cell.mean - cell.half))));
  const high = Math.min(100, Math.ceil(Math.max(...cells.map((cell) => cell.mean + cell.half))));
  return { low, high: Math.max(high, low + 1) };
}

function viewOf(table, number) {
  const view = { table, columns: columnsOf(table), body: make("tbody") };
  view.heads = view.columns.map((column) => headOf(view, column));
  view.rows = table.rows.map((row, place) => rowOf(view, row, place));
  view.body.append(...view.rows.map((row) => row.element));
  const id = `table-${number}`;
  view.section = make(
    "section", { class: table.published ? "published" : null, "aria-labelledby": id },
    make("h3", { id }, ...(table.published ? [make("span", { class: "tag" }, "published"), " "] : []), table.heading),
    table.lead ? make("p", {}, table.lead) : null,
    make("div", { class: "scroll" },
      make("table", { role: "table" },
        make("caption", { class: "visually-hidden" }, table.heading),
        make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...view.heads)),
        view.body)),
    table.notes ? make("p", {}, table.notes) : null,
  );
  view.body.setAttribute("role", "rowgroup");
  return view;
}

function headOf(view, column) {
  const rank = column.css === "rank";
  const button = make("button", { type: "button", "aria-label": rank ? `rank ${column.name}` : null }, rank ? "rank" : column.name);
  const scale = column.scale ? make("small", {}, `whiskers ${column.scale.low} to ${column.scale.high} %`) : null;
  const head = make("th", { scope: "col", role: "columnheader", class: column.css }, button, scale);
  button.addEventListener("click", () => sort(view, column, head));
  return head;
}

function rowOf(view, row, place) {
  const cells = view.columns.map((column) => cellOf(view, row, place, column));
  const element = make("tr", { role: "row", class: row.memory ? "memory" : null }, ...cells);
  const text = `${view.table.heading} ${row.named.map(plain).join(" ")} ${row.changes} ${row.label}`.toLowerCase();
  return { row, place, cells, element, text };
}

function cellOf(view, row, place, column) {
  if (column.css === "named") {
    const named = linked(row.named[view.table.named.indexOf(column.name)]);
    if (column.name !== "recipe" && column.name !== "method") {
      return make("td", { role: "cell", "data-name": column.name }, ...named);
    }
    return make("th", { role: "rowheader", scope: "row" }, ...named, row.changes ? make("span", { class: "quiet" }, `, ${row.changes}`) : null);
  }
  const cell = row.cells[column.i];
  if (!cell || (column.css === "rank" && !cell.rank)) return make("td", { role: "cell", class: `${column.css} empty` }, cell ? "" : "-");
  const td = make("td", { role: "cell", class: column.css, "data-name": column.css === "rank" ? "rank" : column.name });
  if (column.css === "rank") {
    td.append(make("button", { type: "button", "aria-describedby": "tip" }, String(cell.rank)));
  } else {
    td.classList.toggle("best", cell.best ?? false);
    td.append(cell.href ? make("a", { href: cell.href, "aria-describedby": "tip" }, cell.text) : cell.text);
    if (cell.kind === "checkpoints") td.append(whisker(cell, column.scale));
  }
  if (cell.kind) comparisons.set(td, () => compare(view, column.i, place));
  return td;
}

function whisker(cell, { low, high }) {
  const element = make("span", { class: "whisker", "aria-hidden": "true" });
  const spots = { "--from": cell.mean - cell.half, "--at": cell.mean, "--to": cell.mean + cell.half };
  for (const [name, value] of Object.entries(spots)) {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low);
    element.style.setProperty(name, `${(100 * share).toFixed(2)}%`);
  }
  return element;
}

// Sorting: missing values stay last in both directions, and equal values keep their order.

function sort(view, column, head) {
  const before = head.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : Boolean(column.falling);
  for (const other of view.heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const order = (a, b) => {
    const [x, y] = [column.key(a.row), column.key(b.row)];
    if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
    const rising = typeof x === "number" ? x - y : collator.compare(x, y);
    return (descending ? -rising : rising) || a.place - b.place;
  };
  view.body.append(...[...view.rows].sort(order).map((row) => row.element));
}

// Filtering: ways and shots select columns, the other filters rows. Empty tables and data sets are hidden.

function filter() {
  const selected = Object.fromEntries(filters.map((name) => [name, at(name).value]));
  const words = selected.text.toLowerCase().split(/\s+/).filter(Boolean);
  const counts = { measured: 0, published: 0 };
  at("memory").disabled = !at("published").checked;
  for (const view of views) {
    const { published, dataset } = view.table;
    const here = (!selected.dataset || dataset === selected.dataset) && (!published || at("published").checked);
    const fits = view.columns.map(({ way, shot }) => !way || ((!selected.way || way === +selected.way) && (!selected.shot || shot === +selected.shot)));
    view.heads.forEach((head, i) => { head.hidden = !fits[i]; });
    let rows = 0;
    for (const { row, cells, element, text } of view.rows) {
      const shown = here && ["backbone", "kind", "recipe"].every((name) => !selected[name] || row[name] === selected[name])
        && (!row.memory || at("memory").checked) && words.every((word) => text.includes(word))
        && view.columns.some((column, i) => fits[i] && column.css === "accuracy" && row.cells[column.i]);
      element.hidden = !shown;
      if (shown) {
        rows += 1;
        cells.forEach((cell, i) => { cell.hidden = !fits[i]; });
      }
    }
    view.section.hidden = !rows;
    counts[published ? "published" : "measured"] += rows;
  }
  for (const heading of document.querySelectorAll("h2")) {
    heading.parentElement.hidden = !views.some((view) => heading.parentElement.contains(view.section) && !view.section.hidden);
  }
  const shown = Object.entries(counts).filter(([, rows]) => rows).map(([name, rows]) => `${rows} ${name}`);
  at("status").textContent = shown.length ? `Rows: ${shown.join(", ")}` : "No row fits these filters.";
}

// Comparing: checkpoints with checkpoints, recipes with recipes. Differences, half widths and p-values of a
// column are lower triangles of whole ten-thousandths; null where no claim is made.

function compare(view, i, place) {
  const { kind } = view.rows[place].row.cells[i];
  const inside = view.rows.filter(({ row }) => row.cells[i]?.kind === kind);
  const mine = inside.findIndex((row) => row.place === place);
  const pairs = view.table[kind][i];
  const pick = (values, other) => {
    const [low, high] = [Math.min(mine, other), Math.max(mine, other)];
    return values[(high * (high - 1)) / 2 + low];
  };
  const spot = view.columns.findIndex((column) => column.i === i && column.css === "accuracy");
  const { row } = inside[mine];
  const lists = { significant: [], similar: [], unclaimed: [] };
  inside.forEach((other, k) => {
    if (k === mine) return;
    const p = pick(pairs.p, k);
    const group = p === null ? "unclaimed" : p < data.level ? "significant" : "similar";
    if (p !== null) other.cells[spot].classList.add(group);
    const difference = (pick(pairs.difference, k) * (mine > k ? 1 : -1)) / 100;
    const widths = ["tasks", "classes"].filter((over) => pick(pairs[over], k) !== null)
      .map((over) => `± ${(pick(pairs[over], k) / 100).toFixed(2)} over ${over}`);
    const size = p === null ? "" : p ? `, p = ${(p / 10000).toFixed(4)}` : ", p < 0.0001";
    const sign = difference < 0 ? "-" : "+";
    lists[group].push(make("li", {}, `${other.row.label}: ${sign}${Math.abs(difference).toFixed(2)} ${widths.join(", ")}${size}`));
  });
  inside[mine].cells[spot].classList.add("shown");
  const heads = {
    significant: "Significantly different from",
    similar: "Not significantly different from",
    unclaimed: "No claim about",
  };
  return [
    make("p", {}, make("strong", {}, row.label)),
    ...ownIntervals(row.cells[i], inside.length).map((text) => make("p", {}, text)),
    ...Object.entries(lists).filter(([, list]) => list.length)
      .flatMap(([group, list]) => [make("p", {}, heads[group]), make("ul", {}, ...list)]),
    inside.length > 1 ? make("p", { class: "quiet" }, legend(view.table.over, kind)) : "",
  ];
}

function ownIntervals(cell, count) {
  const rank = cell.rank ? `, rank ${cell.rank} of ${count}` : "";
  if (cell.kind === "recipes") return [`${cell.text}${rank}`];
  const text = `${cell.text.split(" (")[0]} % over ${cell.tasks.toLocaleString("en")} tasks${rank}`; // without the number in brackets
  return cell.classes ? [text, `± ${cell.classes} % over new classes and their images`] : [text];
}

function legend(over, kind) {
  const claim = over === "classes" ? "new classes with their images" : "other tasks from the same images";
  const seeds = kind === "recipes" ? ", each ± and p also over training seeds" : "";
  return `Differences in points: this row minus the other${seeds}. p: claim over ${over} (${claim}), adjusted by Holm over all pairs of ${kind} in the column.`;
}

function showTip(cell) {
  hideTip();
  const tip = at("tip");
  tip.replaceChildren(...comparisons.get(cell)());
  tip.hidden = false;
  const box = cell.getBoundingClientRect();
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const beside = box.left > width; // to the left, so that the marks in the column stay visible; else below
  const top = beside ? Math.max(8, Math.min(box.top, window.innerHeight - height - 8)) : box.bottom - 1;
  tip.style.left = `${window.scrollX + (beside ? box.left - width + 1 : 8)}px`;
  tip.style.top = `${window.scrollY + top}px`;
}

function hideTip() {
  at("tip").hidden = true;
  for (const name of ["significant", "similar", "shown"]) {
    for (const cell of document.querySelectorAll(`td.${name}`)) cell.classList.remove(name);
  }
}

function comparedCell(target) {
  const cell = target instanceof Element ? target.closest("td") : null;
  return cell && comparisons.has(cell) ? cell : null;
}

function listen() {
  for (const name of ["pointerover", "focusin", "click"]) {
    document.addEventListener(name, (event) => {
      const cell = comparedCell(event.target);
      const focused = comparedCell(document.activeElement);
      if (cell) showTip(cell);
      else if (at("tip").hidden || at("tip").contains(event.target)) return;
      else if (focused) showTip(focused);
      else hideTip();
    });
  }
  document.addEventListener("focusout", hideTip);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  at("text").addEventListener("input", filter);
  at("filters").addEventListener("change", filter);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("show-all").addEventListener("click", () => { at("filters").reset(); filter(); });
}

function start() {
  views = data.tables.map(viewOf);
  for (const dataset of new Set(data.tables.map((table) => table.dataset))) {
    const sections = views.filter((view) => view.table.dataset === dataset).map((view) => view.section);
    document.querySelector("main").append(make("div", {}, make("h2", {}, dataset), ...sections));
  }
  const options = {
    dataset: data.tables.map((table) => table.dataset),
    backbone: data.tables.flatMap((table) => table.rows.map((row) => row.backbone)),
    kind: data.tables.flatMap((table) => table.rows.map((row) => row.kind)),
    way: data.tables.flatMap((table) => table.columns.map(([way]) => way)),
    shot: data.tables.flatMap((table) => table.columns.map(([, shot]) => shot)),
    recipe: data.tables.flatMap((table) => table.rows.map((row) => row.recipe).filter(Boolean)),
  };
  for (const [name, values] of Object.entries(options)) {
    const sorted = [...new Set(values)].sort((a, b) => collator.compare(a, b));
    at(name).append(...sorted.map((value) => make("option", { value }, String(value))));
  }
  at("quoted").textContent = data.quoted;
  for (const element of document.querySelectorAll(".about-published")) {
    element.hidden = !data.tables.some((table) => table.published);
  }
  listen();
  filter();
}

start();
