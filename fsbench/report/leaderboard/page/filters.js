// The form of filters: what it offers follows from the rows of the data set, what is selected from the state.

import { byId, make } from "./dom.js";
import { nameOf, optionsOf, protocolsOf } from "./rows.js";

const SELECTS = { head: "headName", setting: "setting", backbone: "backbone", recipe: "recipe" };
const BOXES = ["memory", "mixed"];
const CLEARED = {
  tasks: "",
  rows: "all",
  head: "",
  setting: "",
  backbone: "",
  recipe: "",
  text: "",
  memory: false,
  mixed: false,
};

/** Report every change of the form as changes of the state, which lead back to the first page. */
export function listenToFilters(update) {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("text").addEventListener("input", (event) =>
    update({ text: event.target.value, page: 1 }, { replace: true }),
  );
  form.addEventListener("change", ({ target: { name, value, type, checked } }) => {
    if (name === "tasks") update({ tasks: checkedTasks(form), page: 1 });
    else if (name && name !== "text") update({ [name]: type === "checkbox" ? checked : value, page: 1 });
  });
  byId("clear").addEventListener("click", () => update({ ...CLEARED, page: 1 }));
}

function checkedTasks(form) {
  return [...form.querySelectorAll("[name=tasks]:checked")].map((box) => box.value).join(",");
}

/** Show the state in the form. @param {string[]} shown the shown protocols */
export function drawFilters(rows, state, shown) {
  for (const [name, column] of Object.entries(SELECTS)) {
    drawSelect(byId(name), optionsOf(rows, column), state[name]);
  }
  byId("rows").value = state.rows;
  if (byId("text").value !== state.text) byId("text").value = state.text; // leaves the cursor in place
  for (const name of BOXES) byId(name).checked = state[name];
  drawTasks(protocolsOf(rows).keys, shown);
}

function drawSelect(select, options, selected) {
  const every = options.includes(selected) || !selected ? options : [...options, selected];
  const texts = every.map((value) => make("option", { value }, value));
  select.replaceChildren(make("option", { value: "" }, "all"), ...texts);
  select.value = selected;
}

function drawTasks(keys, shown) {
  const focused = document.activeElement?.name === "tasks" ? document.activeElement.value : null;
  const boxes = keys.map((key) => {
    const box = make("input", { type: "checkbox", name: "tasks", value: key });
    box.checked = shown.includes(key);
    return make("label", { class: "chip" }, box, nameOf(key));
  });
  byId("tasks").replaceChildren(...boxes);
  if (focused) byId("tasks").querySelector(`[value="${focused}"]`)?.focus();
}
