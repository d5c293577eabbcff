// A JSON value as a tree: rows are made as they come into view, and very long lists and maps are cut into parts that are opened one by one.

import { button, h } from "./dom.js";
import { number, plural, shorten } from "./format.js";
import { kindOf, stringify } from "./json.js";
import { contains, formatPath, namePath, parsePath } from "./paths.js";
import { RowWindow } from "./window.js";

const ROW_PX = 28;
/** A list or map with more entries than that is cut into parts of so many. */
const PART_ENTRIES = 1_000;
/** What is opened at first, level by level, as long as so many rows are enough. */
const ROWS_OPEN_AT_FIRST = 60;
const TEXT_SHOWN_MAX = 300;

/**
 * @typedef {object} Row
 * @property {string} id of the row: its path as text, or that of a part
 * @property {import("./paths.js").Path} path of the value that it shows, or of what it is a part of
 * @property {string|number|null} key null: the root
 * @property {any} value
 * @property {number} level from 1
 * @property {number} position among its siblings, from 1
 * @property {number} siblings
 * @property {[number, number]|null} part which entries, where the row is a part: from, to (not included)
 * @property {boolean} isOpen
 * @property {boolean} isBranch whether it can be opened
 */

/**
 * The rows of value, given what is open. Pure.
 * @param {any} value @param {Set<string>} open ids
 * @returns {Row[]}
 */
export function rowsOf(value, open) {
  const rows = [];
  const visit = (one, path, key, level, position, siblings) => {
    const id = formatPath(path);
    const size = sizeOf(one);
    const isOpen = size > 0 && open.has(id);
    rows.push({ id, path, key, value: one, level, position, siblings, part: null, isOpen, isBranch: size > 0 });
    if (isOpen) visitEntries(one, path, level + 1, size, id);
  };
  const visitEntries = (holder, path, level, size, id) => {
    const keys = Array.isArray(holder) ? null : Object.keys(holder);
    if (size <= PART_ENTRIES) return visitPart(holder, keys, path, level, 0, size, size);
    const parts = Math.ceil(size / PART_ENTRIES);
    for (let part = 0; part < parts; part += 1) {
      const from = part * PART_ENTRIES;
      const to = Math.min(size, from + PART_ENTRIES);
      const name = partId(id, from);
      const isOpen = open.has(name);
      rows.push({ id: name, path, key: null, value: holder, level, position: part + 1, siblings: parts, part: [from, to], isOpen, isBranch: true });
      if (isOpen) visitPart(holder, keys, path, level + 1, from, to, to - from);
    }
  };
  const visitPart = (holder, keys, path, level, from, to, siblings) => {
    for (let at = from; at < to; at += 1) {
      const key = keys ? keys[at] : at;
      visit(holder[key], [...path, key], key, level, at - from + 1, siblings);
    }
  };
  visit(value, [], null, 1, 1, 1);
  return rows;
}

/** @param {any} value @returns {Set<string>} what is opened at first: level by level, as far as it stays on one screen */
export function openAtFirst(value) {
  const open = new Set();
  let level = [[[], value]];
  let rows = 1;
  while (level.length) {
    const next = [];
    for (const [path, one] of level) {
      const size = sizeOf(one);
      if (size === 0 || (rows + size > ROWS_OPEN_AT_FIRST && path.length)) continue;
      open.add(formatPath(path));
      rows += Math.min(size, PART_ENTRIES);
      if (size <= ROWS_OPEN_AT_FIRST) for (const key of keysOf(one)) next.push([[...path, key], one[key]]);
    }
    level = next;
  }
  return open;
}

/** What to open so that path is in view. @param {any} value @param {import("./paths.js").Path} path @returns {string[]} ids */
export function waysTo(value, path) {
  const ids = [];
  let holder = value;
  path.forEach((step, at) => {
    const id = formatPath(path.slice(0, at));
    ids.push(id);
    if (sizeOf(holder) > PART_ENTRIES) {
      const index = typeof step === "number" ? step : Object.keys(holder).indexOf(step);
      ids.push(partId(id, Math.floor(index / PART_ENTRIES) * PART_ENTRIES));
    }
    holder = holder?.[step];
  });
  return ids;
}

/** A value in one line. @param {any} value @param {number} [length_max] characters @returns {string} */
export function preview(value, length_max = 80) {
  const kind = kindOf(value);
  if (kind === "list") return value.length ? shorten(`[${value.slice(0, 8).map(brief).join(", ")}${value.length > 8 ? ", …" : ""}]`, length_max) : "[]";
  if (kind === "map") {
    const keys = Object.keys(value);
    return keys.length ? shorten(`{${keys.slice(0, 8).map((key) => `${key}: ${brief(value[key])}`).join(", ")}${keys.length > 8 ? ", …" : ""}}`, length_max) : "{}";
  }
  return scalar(value, length_max);
}

let trees = 0;

/**
 * @param {object} options
 * @param {string} options.label what is shown, for a screen reader
 * @param {any} options.value
 * @param {(row: Row) => any} [options.margin] what stands in the margin of a row: a node or text; asked for when a row is built
 * @param {(row: Row) => ({class?: string, after?: any}|null)} [options.annotate] more of a row's look
 * @param {(path: import("./paths.js").Path, value: any) => void} [options.onSelect] by click or by moving with the keys
 * @param {(path: import("./paths.js").Path, value: any, row: HTMLElement) => boolean|void} [options.onActivate] by Enter, F2 or a double click; false: it is opened or closed instead
 * @param {(key: string, path: import("./paths.js").Path) => boolean} [options.onKey] other keys; true: it was dealt with
 */
export function valueTree({ label, value, margin, annotate, onSelect, onActivate, onKey }) {
  const id = `tree-${++trees}`;
  const element = h("div", { class: ["tree", margin && "with-margin"], role: "tree", tabindex: "0", "aria-label": label, onkeydown: key, onclick: click, ondblclick: doubleClick });
  const open = openAtFirst(value);
  let rows = rowsOf(value, open);
  let places = null;
  let active = "";
  let changed = [];
  let changeWord = "changed";
  let editing = null;
  let revision = 0;

  const shown = new RowWindow(element, {
    rowHeight: ROW_PX,
    key: (index) => rows[index].id,
    stamp: (index) => {
      const row = rows[index];
      if (editing?.id === row.id) return [editing, row.level];
      return [row.value, row.key, row.level, row.isOpen, row.position, row.siblings, row.part?.[1], row.id === active, markOf(row), revision];
    },
    build,
  });

  function build(index) {
    const row = rows[index];
    const more = annotate?.(row);
    const mark = markOf(row);
    return h("div", {
      class: ["tree-row", row.id === active && "active", mark, more?.class], role: "treeitem", id: nodeId(row.id), dataset: { row: row.id },
      "aria-level": row.level, "aria-posinset": row.position, "aria-setsize": row.siblings, "aria-selected": String(row.id === active),
      "aria-expanded": row.isBranch ? String(row.isOpen) : undefined, style: { height: `${ROW_PX}px` },
    },
    margin && h("span", { class: "tree-margin" }, margin(row)),
    h("span", { class: "tree-indent", style: { width: `${(row.level - 1) * 18}px` } }),
    h("span", { class: ["twisty", row.isBranch && "can", row.isOpen && "open"], "aria-hidden": "true" }),
    nameOf(row),
    editing?.id === row.id ? editing.element : valueOf(row),
    mark === "changed" && h("span", { class: "mark-changed" }, changeWord),
    mark === "changed-inside" && h("span", { class: "mark-changed" }, `${changeWord} inside`),
    more?.after);
  }

  /** Without white space, which would part one reference in two. */
  function nodeId(rowId) {
    return `${id}-${encodeURIComponent(rowId)}`;
  }

  function markOf(row) {
    if (!changed.length || row.part) return "";
    const isHere = (path) => path.length === row.path.length && contains(path, row.path);
    if (changed.some((path) => !path.isHolder && isHere(path))) return "changed";
    if (changed.some((path) => !path.isHolder && contains(path, row.path))) return "changed-below";
    return changed.some((path) => (path.isHolder && isHere(path)) || (!row.isOpen && contains(row.path, path))) ? "changed-inside" : "";
  }

  function indexOf(rowId) {
    places ??= new Map(rows.map((row, index) => [row.id, index]));
    return places.get(rowId) ?? -1;
  }

  function refresh() {
    rows = rowsOf(value, open);
    places = null;
    if (indexOf(active) < 0) active = nearest(active);
    shown.setCount(rows.length);
    if (indexOf(active) >= 0) element.setAttribute("aria-activedescendant", nodeId(active));
  }

  /** What is gone leaves its place to what held it. */
  function nearest(rowId) {
    let path = [];
    try {
      path = parsePath(rowId.split("#part ")[0]);
    } catch {
      return "";
    }
    while (path.length && indexOf(formatPath(path)) < 0) path = path.slice(0, -1);
    return formatPath(path);
  }

  function activate(index, { quiet = false } = {}) {
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
    if (!row) return;
    active = row.id;
    shown.reveal(indexOf(active));
    element.setAttribute("aria-activedescendant", nodeId(active));
    if (!quiet && !row.part) onSelect?.(row.path, row.value);
  }

  function toggle(row, to = !row.isOpen) {
    if (!row.isBranch || row.isOpen === to) return;
    if (to) open.add(row.id);
    else open.delete(row.id);
    refresh();
  }

  function right(index) {
    const row = rows[index];
    if (row.isBranch && !row.isOpen) toggle(row, true);
    else if (row.isOpen) activate(index + 1);
  }

  function left(index) {
    const row = rows[index];
    if (row.isOpen) return toggle(row, false);
    for (let above = index - 1; above >= 0; above -= 1) {
      if (rows[above].level < row.level) return activate(above);
    }
  }

  function key(event) {
    if (editing?.element.contains(event.target)) return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const index = Math.max(0, indexOf(active));
    const row = rows[index];
    const actions = {
      ArrowDown: () => activate(index + 1), ArrowUp: () => activate(index - 1), Home: () => activate(0), End: () => activate(rows.length - 1),
      PageDown: () => activate(index + shown.pageRows), PageUp: () => activate(index - shown.pageRows),
      ArrowRight: () => right(index), ArrowLeft: () => left(index), Enter: () => run(row), F2: () => run(row), " ": () => toggle(row),
    };
    if (event.key in actions) actions[event.key]();
    else if (!onKey || row.part || !onKey(event.key, row.path)) return;
    event.preventDefault();
  }

  function run(row) {
    const node = shown.row(row.id);
    if (row.part || !onActivate || !node || onActivate(row.path, row.value, node) === false) toggle(row);
  }

  function rowOf(event) {
    if (editing?.element.contains(event.target)) return null;
    const node = event.target.closest("[data-row]");
    return node ? rows[indexOf(node.dataset.row)] : null;
  }

  function click(event) {
    const row = rowOf(event);
    if (!row || event.target.closest("a, button")) return;
    if (row.part || event.target.classList.contains("twisty")) toggle(row);
    activate(indexOf(row.id));
  }

  function doubleClick(event) {
    const row = rowOf(event);
    if (row && !event.target.closest("a, button, .twisty")) run(row);
  }

  refresh();
  return {
    /** @type {HTMLElement} */
    element,
    /** @param {any} other what is shown from now on; what was open stays open */
    update(other) {
      value = other;
      refresh();
    },
    /** Marks what lies at these places, and inside of them; none: nothing is marked. @param {(string|import("./delta.js").Place)[]} paths @param {{word?: string}} [options] */
    highlight(paths, { word = "changed" } = {}) {
      changed = paths.map((path) => (typeof path === "string" ? parsePath(path) : path));
      changeWord = word;
      shown.render();
    },
    /** Opens what is needed, scrolls there and selects. @param {string|import("./paths.js").Path} path @param {{quiet?: boolean}} [options] quiet: `onSelect` is not called */
    select(path, { quiet = false } = {}) {
      const steps = typeof path === "string" ? parsePath(path) : path;
      waysTo(value, steps).forEach((one) => open.add(one));
      refresh();
      const index = indexOf(formatPath(steps));
      if (index >= 0) activate(index, { quiet });
    },
    /** @returns {import("./paths.js").Path} */
    selected() {
      return rows[Math.max(0, indexOf(active))].path;
    },
    /** Opens what is needed and scrolls there, and changes nothing else. @param {string|import("./paths.js").Path} path */
    reveal(path) {
      const steps = typeof path === "string" ? parsePath(path) : path;
      waysTo(value, steps).forEach((one) => open.add(one));
      refresh();
      const index = indexOf(formatPath(steps));
      if (index >= 0) shown.reveal(index);
    },
    /** Builds the rows in view again, as `margin` or `annotate` say another thing now. */
    refresh() {
      revision += 1;
      refresh();
    },
    /** Everything is opened, or all but the root is closed. @param {boolean} isOpen */
    openAll(isOpen) {
      open.clear();
      open.add("");
      if (isOpen) addAll(value, [], open);
      refresh();
    },
    /** Puts an element in the place of the value at path, until `endEdit`. @param {import("./paths.js").Path} path @param {HTMLElement} control */
    editAt(path, control) {
      editing = { id: formatPath(path), element: control };
      refresh();
      control.querySelector?.("input, select, textarea")?.focus();
    },
    /** @returns {boolean} whether something was edited */
    endEdit() {
      const was = editing !== null;
      editing = null;
      refresh();
      if (was) element.focus({ preventScroll: true });
      return was;
    },
  };
}

/** Buttons that open and close all of a tree. @param {{openAll: (isOpen: boolean) => void}} tree @returns {HTMLElement} */
export function treeButtons(tree) {
  return h("span", { class: "button-group" }, button("Open all", () => tree.openAll(true), { class: "quiet small" }), button("Close all", () => tree.openAll(false), { class: "quiet small" }));
}

function addAll(value, path, open) {
  const size = sizeOf(value);
  if (size === 0 || size > PART_ENTRIES) return; // parts are opened one by one
  open.add(formatPath(path));
  for (const key of keysOf(value)) addAll(value[key], [...path, key], open);
}

function nameOf(row) {
  if (row.part) return h("span", { class: "tree-key part" }, `entries ${number(row.part[0])} to ${number(row.part[1] - 1)}`);
  if (row.key === null) return h("span", { class: "tree-key root" }, "value");
  return h("span", { class: ["tree-key", typeof row.key === "number" && "index"] }, String(row.key));
}

function valueOf(row) {
  if (row.part) return null;
  const kind = kindOf(row.value);
  if (kind === "list" || kind === "map") {
    const size = sizeOf(row.value);
    const words = kind === "list" ? plural(size, "element") : plural(size, "key");
    return h("span", { class: "tree-value container" }, h("span", { class: "tree-size" }, size ? words : kind === "list" ? "[ ] empty list" : "{ } empty map"), !row.isOpen && size > 0 && h("span", { class: "tree-preview" }, preview(row.value)));
  }
  return h("span", { class: ["tree-value", kind], title: kind === "string" && row.value.length > 60 ? namePath(row.path) : undefined }, scalar(row.value, TEXT_SHOWN_MAX));
}

function scalar(value, length_max) {
  return typeof value === "string" ? JSON.stringify(shorten(value, length_max)) : stringify(value);
}

function brief(value) {
  const kind = kindOf(value);
  return kind === "list" ? (value.length ? "[…]" : "[]") : kind === "map" ? (sizeOf(value) ? "{…}" : "{}") : scalar(value, 24);
}

function keysOf(value) {
  return Array.isArray(value) ? value.keys() : Object.keys(value);
}

function sizeOf(value) {
  if (Array.isArray(value)) return value.length;
  return value !== null && typeof value === "object" ? Object.keys(value).length : 0;
}

function partId(id, from) {
  return `${id}#part ${from}`;
}
