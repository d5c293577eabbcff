// Lists and tables of short entries in a form: what is written in them, and where a problem of the server's belongs.

import { button, h, iconButton, replace } from "./dom.js";

/**
 * A text area with one entry a line.
 * @param {string[]|string|undefined} entries @param {() => void} onchange @param {Record<string, any>} [props]
 * @returns {{control: HTMLTextAreaElement, read: () => string[]}}
 */
export function lines(entries, onchange, props = {}) {
  const given = typeof entries === "string" ? [entries] : (entries ?? []);
  const control = h("textarea", { rows: Math.max(2, Math.min(8, given.length + 1)), spellcheck: false, oninput: onchange, value: given.join("\n"), ...props });
  // The empty path is the whole document; a line that is empty by chance is none, so the root is written as "".
  return { control, read: () => control.value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => (line === '""' ? "" : line)) };
}

/**
 * Rows of controls, each of which can be taken away, and a button for another one.
 * @template T
 * @param {T[]} items @param {(item: T, changed: () => void) => {elements: any[], read: () => any}} make what a row is made of
 * @param {{name: string, fresh: () => T, onchange: () => void}} options name: of one row, for those who cannot see it
 * @returns {{element: HTMLElement, read: () => any[]}}
 */
export function rows(items, make, { name, fresh, onchange }) {
  const element = h("div", { class: "entry-rows" });
  let made = items.map(row);

  function row(item) {
    const { elements, read } = make(item, onchange);
    const one = { read, element: null };
    one.element = h("div", { class: "entry-row", role: "group", "aria-label": name }, elements, iconButton(`Remove this ${name}`, "×", () => {
      made = made.filter((other) => other !== one);
      draw();
      onchange();
    }));
    return one;
  }
  function draw() {
    replace(element, made.map((one) => one.element), button(`Add a ${name}`, () => {
      const one = row(fresh());
      made.push(one);
      draw();
      one.element.querySelector("input, select, textarea")?.focus();
    }, { class: "quiet" }));
  }
  draw();
  return { element, read: () => made.map((one) => one.read()) };
}

/** A short input for an entry. @param {string} label @param {any} value @param {() => void} onchange @param {Record<string, any>} [props] */
export function entry(label, value, onchange, props = {}) {
  const control = h("input", { value: value ?? "", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: false, oninput: onchange, ...props });
  return control;
}

/**
 * Which of the fields a problem is about, by the first step of its path.
 * @param {any} problem @param {string[]} names @returns {string|null}
 */
export function fieldOf(problem, names) {
  const path = String(problem?.data?.path ?? "");
  const first = path.split(/[.[]/, 1)[0];
  return names.includes(first) ? first : null;
}

/** Without what is empty. @param {Record<string, any>} given @returns {Record<string, any>} */
export function said(given) {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => {
    if (value === null || value === undefined || value === "") return false;
    if (Array.isArray(value)) return value.length > 0;
    return typeof value !== "object" || Object.keys(value).length > 0;
  }));
}
