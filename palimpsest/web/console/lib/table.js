// Tables, in a region that scrolls by itself where they are wider than the page, also by the keyboard.

import { h } from "./dom.js";

/** @param {string} label of the region @param {any} content @param {string} [more] a class @returns {HTMLElement} */
export function scrolling(label, content, more) {
  return h("div", { class: ["table-scroll", more], tabIndex: 0, role: "region", "aria-label": label }, content);
}

/**
 * @param {string} label @param {any[]} columns what stands above each @param {any[][]} rows of cells
 * @returns {HTMLElement}
 */
export function table(label, columns, rows) {
  return of(label, columns, rows.map((cells) => cells.map((cell) => h("td", null, cell))));
}

/** As `table`, where the first cell of a row names it. @param {string} label @param {any[]} columns @param {any[][]} rows @returns {HTMLElement} */
export function namedTable(label, columns, rows) {
  return of(label, columns, rows.map(([name, ...cells]) => [h("th", { scope: "row" }, name), cells.map((cell) => h("td", null, cell))]));
}

function of(label, columns, rows) {
  return scrolling(label, h("table", null,
    h("thead", null, h("tr", null, columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, rows.map((cells) => h("tr", null, cells)))));
}
