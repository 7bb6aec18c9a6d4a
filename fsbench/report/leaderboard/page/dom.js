// Elements from names, attributes and children. Texts become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SAFE = ["https:", "http:", "file:"]; // protocols of links
const texts = new WeakMap(); // of buttons that say "Copied", with the timer that ends it

/**
 * @param {string} tag
 * @param {Object<string, string | number | boolean | null | undefined>} [attributes] null, undefined and
 *   false leave an attribute out; true sets it without a value
 * @param {...(Node | string | null)} children
 */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for elements of SVG. */
export function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A link if there is an address, else the text. Only addresses of the web and of files. */
export function linkTo(href, text, attributes = {}) {
  return href && isSafe(href) ? make("a", { href, ...attributes }, text) : text;
}

function isSafe(href) {
  try {
    return SAFE.includes(new URL(href, document.baseURI).protocol); // as the browser reads it
  } catch {
    return false;
  }
}

/** Nodes with a separator between them. */
export function joined(nodes, separator) {
  return nodes.flatMap((node, i) => (i ? [separator, node] : [node]));
}

/** Copy a text when a button is clicked, which says so for two seconds. */
export async function copyFrom(button, text) {
  await copy(text);
  const { label = button.textContent, timer } = texts.get(button) ?? {};
  clearTimeout(timer);
  button.textContent = "Copied";
  const reset = () => {
    button.textContent = label;
    texts.delete(button);
  };
  texts.set(button, { label, timer: setTimeout(reset, 2000) });
}

/** Copy a text; the old command also works where the clipboard is closed, for example in frames. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "visually-hidden" }, text);
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
