// A list of any length: rows are fetched as they come into view, and chosen by mouse or keys.

import { h, replace } from "./dom.js";
import { RowWindow } from "./window.js";

const PAGE_ITEMS = 500;
const PAGES_KEPT_MAX = 200;

/**
 * Where rows come from. `onChange` is set by the list.
 * @typedef {object} Source
 * @property {number} count of the rows that are known to be there
 * @property {boolean} isComplete whether there are no others
 * @property {(index: number) => any} item undefined: not fetched yet
 * @property {(first: number, last: number) => void} want says what is in view
 * @property {() => Promise<void>} [toEnd] fetches until all are known
 * @property {(() => void)|null} onChange
 * @property {any} [error] why nothing more was fetched; the next `want` tries again
 */

/** @param {any[]} items @returns {Source & {set: (items: any[]) => void}} of what is here already */
export function arraySource(items) {
  const source = {
    count: items.length,
    isComplete: true,
    item: (index) => items[index],
    want: () => {},
    onChange: null,
    set(other) {
      items = other;
      source.count = other.length;
      source.onChange?.();
    },
  };
  return source;
}

/**
 * Of a list with a `next`: known page by page, from its beginning.
 * @param {(next: string|null) => Promise<{items: any[], next: string|null}>} fetchPage null: the first page
 * @returns {Source & {items: any[]}}
 */
export function pagedSource(fetchPage) {
  const items = [];
  let next = null;
  let fetching = null;
  const source = {
    items,
    count: 0,
    isComplete: false,
    error: null,
    item: (index) => items[index],
    want(_first, last) {
      if (!source.isComplete && last + PAGE_ITEMS / 2 >= items.length) fetchMore();
    },
    async toEnd() {
      while (!source.isComplete && !source.error) await fetchMore();
    },
    onChange: null,
  };
  function fetchMore() {
    fetching ??= one().finally(() => { fetching = null; });
    return fetching;
  }
  async function one() {
    try {
      const page = await fetchPage(next);
      for (const item of page.items) items.push(item);
      next = page.next;
      source.isComplete = !next;
      source.error = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      source.error = error;
    }
    source.count = items.length;
    source.onChange?.();
  }
  return source;
}

/**
 * Of rows that can be had by their numbers, such as versions: fetched in pages, of which a bounded number is kept.
 * @param {number} count @param {(first: number, last: number) => Promise<any[]>} fetchRange rows from first to last, both included
 * @param {{page_items?: number}} [options]
 * @returns {Source & {setCount: (count: number) => void, forget: () => void}}
 */
export function indexSource(count, fetchRange, { page_items = 100 } = {}) {
  const pages = new Map();
  const fetching = new Set();
  const source = {
    count,
    isComplete: true,
    error: null,
    item: (index) => pages.get(Math.floor(index / page_items))?.[index % page_items],
    want(first, last) {
      for (let page = Math.floor(first / page_items); page <= Math.floor(last / page_items); page += 1) need(page);
    },
    setCount(other) {
      // The last page may have been short of what it has now.
      pages.delete(Math.floor(Math.max(0, source.count - 1) / page_items));
      source.count = other;
      source.onChange?.();
    },
    forget() {
      pages.clear();
      source.onChange?.();
    },
    onChange: null,
  };
  async function need(page) {
    if (fetching.has(page) || page * page_items >= source.count) return;
    const kept = pages.get(page);
    if (kept) {
      pages.delete(page); // the newest stand last
      pages.set(page, kept);
      return;
    }
    fetching.add(page);
    try {
      pages.set(page, await fetchRange(page * page_items, Math.min(source.count, (page + 1) * page_items) - 1));
      if (pages.size > PAGES_KEPT_MAX) pages.delete(pages.keys().next().value);
      source.error = null;
    } catch (error) {
      if (error.name === "AbortError") return;
      source.error = error;
    } finally {
      fetching.delete(page);
    }
    source.onChange?.();
  }
  return source;
}

let lists = 0;

/**
 * @param {object} options
 * @param {string} options.label what is listed, for a screen reader
 * @param {Source} options.source
 * @param {(item: any, index: number) => any} options.render what is in a row: nodes or text
 * @param {(item: any) => string} [options.href] makes rows links
 * @param {(item: any, index: number) => void} [options.onSelect] by click, Enter or Space
 * @param {(item: any, index: number) => void} [options.onActive] by moving with the keys
 * @param {(index: number) => any[]} [options.stamp] what else the look of a row depends on
 * @param {number} [options.rowHeight] in pixels
 * @param {(source: Source) => any} [options.whenEmpty] what is shown where there are no rows
 * @param {(source: Source) => void} [options.onRefresh] whenever more is known, or something else is listed
 * @returns {{element: HTMLElement, refresh: () => void, select: (index: number) => void, selected: () => number, setSource: (source: Source) => void}}
 */
export function virtualList({ label, source, render, href, onSelect, onActive, stamp, rowHeight = 40, whenEmpty, onRefresh }) {
  const id = `list-${++lists}`;
  const element = h("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": label, onkeydown: key, onclick: click });
  const none = h("div", { class: "list-none", hidden: true });
  const outer = h("div", { class: "list-outer" }, element, none);
  let active = 0;
  let selected = -1;

  const rows = new RowWindow(element, {
    rowHeight,
    key: (index) => String(index),
    stamp: (index) => [source.item(index), index === active, index === selected, source.count, source.isComplete, ...(stamp?.(index) ?? [])],
    build,
    onRange: (first, last) => source.want(first, last),
  });

  function build(index) {
    const item = source.item(index);
    const link = href && item !== undefined ? { href: href(item), tabindex: "-1" } : {};
    return h(link.href ? "a" : "div", {
      ...link, class: ["row", index === active && "active", index === selected && "selected"], id: `${id}-${index}`, role: "option",
      "aria-selected": String(index === selected), "aria-posinset": index + 1, "aria-setsize": source.isComplete ? source.count : -1,
      dataset: { index }, style: { height: `${rowHeight}px` },
    }, item === undefined ? h("span", { class: "faint" }, "…") : render(item, index));
  }

  function refresh() {
    active = Math.min(active, Math.max(0, source.count - 1));
    const isEmpty = source.count === 0;
    element.hidden = isEmpty;
    none.hidden = !isEmpty;
    if (isEmpty) replace(none, whenEmpty ? whenEmpty(source) : h("p", { class: "faint" }, source.isComplete ? "Nothing." : "Loading…"));
    rows.setCount(source.count);
    point();
    onRefresh?.(source);
    if (isEmpty && !source.isComplete && !source.error) source.want(0, 0);
  }

  function point() {
    if (source.count) element.setAttribute("aria-activedescendant", `${id}-${active}`);
    else element.removeAttribute("aria-activedescendant");
  }

  function move(index) {
    active = Math.max(0, Math.min(source.count - 1, index));
    rows.reveal(active);
    point();
    const item = source.item(active);
    if (item !== undefined) onActive?.(item, active);
  }

  function choose(index) {
    const item = source.item(index);
    if (item === undefined) return;
    active = index;
    selected = index;
    rows.render();
    point();
    onSelect?.(item, index);
  }

  async function key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const moves = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, PageDown: active + rows.pageRows, PageUp: active - rows.pageRows };
    if (event.key in moves) move(moves[event.key]);
    else if (event.key === "End") {
      move(source.count - 1);
      if (source.toEnd && !source.isComplete) source.toEnd().then(() => move(source.count - 1));
    } else if (event.key === "Enter" || event.key === " ") {
      const row = rows.row(String(active));
      if (href && row) row.click();
      else choose(active);
    } else return;
    event.preventDefault();
  }

  function click(event) {
    const row = event.target.closest("[data-index]");
    if (row && !event.ctrlKey && !event.metaKey) choose(Number(row.dataset.index));
  }

  function setSource(other) {
    source.onChange = null;
    source = other;
    source.onChange = refresh;
    active = 0;
    selected = -1;
    element.scrollTop = 0;
    refresh();
  }

  setSource(source);
  return { element: outer, refresh, select: (index) => { selected = index; move(index); }, selected: () => selected, setSource };
}
