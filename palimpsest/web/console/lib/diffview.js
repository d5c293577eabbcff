// What differs between two values, for the eye: side by side, and as the ops that lead from one to the other.

import { compare, fold } from "./compare.js";
import { describe } from "./delta.js";
import { button, empty, h, replace } from "./dom.js";
import { plural, shorten } from "./format.js";
import { kindOf, stringify } from "./json.js";
import { formatPath, namePath } from "./paths.js";
import { diffText } from "./textdiff.js";

const ROWS_STEP = 200;
const OPS_STEP = 200;
const VALUE_CHARACTERS_MAX = 4_000;
const LONG_TEXT_CHARACTERS = 40;
const AROUND_CHARACTERS = 80;

const SIGNS = { same: "", inside: "", changed: "≠", added: "+", removed: "−" };
const WORDS = { same: "the same", inside: "changed inside", changed: "changed", added: "added", removed: "removed" };

/**
 * Both views of a change, of which one is chosen.
 *
 * @param {{ops: any[], before: any, after: any, labels?: [string, string]}} change undefined as a value: nothing is there
 * @returns {HTMLElement}
 */
export function changeView({ ops, before, after, labels }) {
  const body = h("div", { class: "change-body" });
  const views = { side: ["Side by side", () => sideBySide(before, after, labels)], ops: [`As ${plural(ops.length, "op")}`, () => opsList(ops)] };
  const buttons = Object.entries(views).map(([name, [label]]) => button(label, () => show(name), { class: "small", "aria-pressed": "false" }));
  function show(name) {
    Object.keys(views).forEach((one, at) => buttons[at].setAttribute("aria-pressed", String(one === name)));
    replace(body, views[name][1]());
  }
  show("side");
  return h("div", { class: "change-view" }, h("div", { class: "button-group", role: "group", "aria-label": "How to show the change" }, buttons), body);
}

/**
 * @param {any} before undefined: nothing was there
 * @param {any} after undefined: nothing is there
 * @param {[string, string]} [labels]
 * @returns {HTMLElement}
 */
export function sideBySide(before, after, labels = ["Before", "After"]) {
  const rows = fold(compare(before, after));
  if (rows.length === 1 && rows[0].kind === "same") return empty("Both are the same.");
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { class: "side-by-side", role: "table", "aria-label": `What differs: ${labels.join(" and ")}` },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["Where", ...labels].map((label) => h("th", { scope: "col", role: "columnheader" }, label)))),
    body);
  return h("div", { class: "side-by-side-box", tabIndex: 0, role: "region", "aria-label": "Values side by side" }, table, inSteps(body, rows, ROWS_STEP, (row) => rowView(row, labels)));
}

/**
 * @param {any[]} ops
 * @returns {HTMLElement} in words, one after the other
 */
export function opsList(ops) {
  if (!ops.length) return empty("Nothing changes.");
  const list = h("ol", { class: "op-list" });
  return h("div", null, list, inSteps(list, ops, OPS_STEP, (op) => h("li", null, h("span", { class: ["op-sign", op.op], "aria-hidden": "true" }, signOf(op)), h("span", null, shorten(describe(op), 400)))));
}

/**
 * A value in a few lines, cut where it is long.
 *
 * @param {any} value undefined: nothing is there
 * @returns {HTMLElement}
 */
export function valueView(value) {
  if (value === undefined) return h("span", { class: "nothing" }, "nothing");
  const isText = kindOf(value) === "string" && isLong(value);
  return h("code", { class: ["value-shown", isText ? "text" : kindOf(value)] }, shorten(isText ? value : stringify(value, 2), VALUE_CHARACTERS_MAX));
}

/** Two texts, with what one side alone has marked on that side. @param {string} before @param {string} after @returns {[HTMLElement, HTMLElement]} */
export function textViews(before, after) {
  const pieces = diffText(before, after);
  const side = (hidden) =>
    h("code", { class: "value-shown text" }, pieces.filter((piece) => piece.kind !== hidden).map((piece, at, some) => pieceView(piece, at === 0, at === some.length - 1)));
  return [side("added"), side("removed")];
}

function pieceView({ kind, text }, isFirst, isLast) {
  if (kind === "added") return h("ins", null, text);
  if (kind === "removed") return h("del", null, text);
  const head = isFirst ? "" : text.slice(0, AROUND_CHARACTERS);
  const tail = isLast ? "" : text.slice(-AROUND_CHARACTERS);
  return text.length > 2 * AROUND_CHARACTERS + 40 ? [head, h("span", { class: "cut", title: plural(text.length - head.length - tail.length, "character") }, " ⋯ "), tail] : text;
}

function isLong(text) {
  return text.length > LONG_TEXT_CHARACTERS || text.includes("\n");
}

function rowView(row, labels) {
  const style = { "--depth": String(row.depth) };
  if (row.kind === "folded") {
    return h("tr", { class: "folded", role: "row" }, h("td", { colSpan: 3, role: "cell", style }, `${plural(row.count, "entry", "entries")} the same`));
  }
  const sides = sidesOf(row);
  return h("tr", { class: row.kind, role: "row" },
    h("th", { scope: "row", role: "rowheader", style, title: formatPath(row.path) },
      h("span", { class: "diff-sign", "aria-hidden": "true" }, SIGNS[row.kind]),
      h("span", { class: "diff-step" }, row.step === null ? namePath([]) : String(row.step)),
      h("span", { class: "sr-only" }, `, ${WORDS[row.kind]}`)),
    sides.map((side, at) => h("td", { role: "cell", class: at ? "after" : "before", dataset: { label: labels[at] } }, side)));
}

function sidesOf({ kind, before, after }) {
  if (kind === "inside") return [sizeOf(before), sizeOf(after)];
  if (kind === "changed" && kindOf(before) === "string" && kindOf(after) === "string" && (isLong(before) || isLong(after))) return textViews(before, after);
  return [valueView(before), valueView(after)];
}

function sizeOf(value) {
  return h("span", { class: "size" }, Array.isArray(value) ? plural(value.length, "item") : plural(Object.keys(value).length, "key"));
}

function signOf(op) {
  return { delete: "−", remove: "−", erase: "−", insert: "+", append: "+", increment: "±", move: "→", copy: "⧉", test: "?", absent: "?" }[op.op] ?? "≠";
}

/** Fills a list step by step; what it returns is the button for the next step. */
function inSteps(list, items, step, view) {
  let shown = 0;
  const more = button("", next, { class: "quiet more" });
  function next() {
    list.append(...items.slice(shown, shown + step).map(view));
    shown = Math.min(items.length, shown + step);
    more.hidden = shown >= items.length;
    more.textContent = more.hidden ? "" : `Show ${plural(Math.min(step, items.length - shown), "more row", "more rows")} of ${items.length}`;
  }
  next();
  return more;
}
