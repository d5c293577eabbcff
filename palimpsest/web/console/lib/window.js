// Rows of one height, of which only those in view are in the page. What rows mean is the business of `list.js` and `tree.js`.

/** No browser lays out what is higher; beyond it, the scroll bar moves in larger steps. */
const HEIGHT_PX_MAX = 8_000_000;
const OVERSCAN_ROWS = 6;

/**
 * @typedef {object} Rows
 * @property {number} rowHeight in pixels
 * @property {(index: number) => string} key says which row it is, whatever its index
 * @property {(index: number) => any[]} stamp what its look depends on: it is built again when one of these is another
 * @property {(index: number) => HTMLElement} build
 * @property {(first: number, last: number) => void} [onRange] which rows are in view, last one included
 */

export class RowWindow {
  /** @param {HTMLElement} scroller what scrolls @param {Rows} rows */
  constructor(scroller, rows) {
    this.scroller = scroller;
    this.rows = rows;
    this.count = 0;
    this.space = document.createElement("div");
    this.space.className = "rows";
    this.space.setAttribute("role", "presentation");
    this.shown = new Map();
    scroller.classList.add("rows-scroller");
    scroller.append(this.space);
    scroller.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(scroller);
  }

  /** @param {number} count of all rows */
  setCount(count) {
    this.count = count;
    this.space.style.height = `${this.height}px`;
    this.scroller.style.setProperty("--rows-height", `${this.height + 2}px`);
    this.render();
  }

  /** In pixels, of what is scrolled. */
  get height() {
    return Math.min(this.count * this.rows.rowHeight, HEIGHT_PX_MAX);
  }

  /** Pixels of rows for each pixel of the scroll bar's way; 1 where all rows fit into the height. */
  get ratio() {
    const view = this.scroller.clientHeight;
    const way = this.height - view;
    return way > 0 ? Math.max(1, (this.count * this.rows.rowHeight - view) / way) : 1;
  }

  /** How many whole rows are in view. */
  get pageRows() {
    return Math.max(1, Math.floor(this.scroller.clientHeight / this.rows.rowHeight));
  }

  /** Scrolls as little as needed. @param {number} index */
  reveal(index) {
    const { rowHeight } = this.rows;
    const { ratio } = this;
    const top = this.scroller.scrollTop * ratio;
    const view = this.scroller.clientHeight;
    if (index * rowHeight < top) this.scroller.scrollTop = (index * rowHeight) / ratio;
    else if ((index + 1) * rowHeight > top + view) this.scroller.scrollTop = ((index + 1) * rowHeight - view) / ratio;
    this.render();
  }

  /** @param {string} key @returns {HTMLElement|undefined} where it is in the page */
  row(key) {
    return this.shown.get(key)?.element;
  }

  render() {
    const { rowHeight, key, stamp, build, onRange } = this.rows;
    const scrolled = this.scroller.scrollTop;
    const top = scrolled * this.ratio;
    const first = Math.max(0, Math.floor(top / rowHeight) - OVERSCAN_ROWS);
    const last = Math.min(this.count, Math.ceil((top + this.scroller.clientHeight) / rowHeight) + OVERSCAN_ROWS) - 1;
    const next = new Map();
    for (let index = first; index <= last; index += 1) {
      const name = key(index);
      const marks = stamp(index);
      let one = this.shown.get(name);
      if (!one || !same(one.marks, marks)) one = { element: build(index), marks, old: one?.element };
      one.y = index * rowHeight - top + scrolled;
      next.set(name, one);
    }
    for (const [name, one] of this.shown) if (!next.has(name)) one.element.remove();
    for (const one of next.values()) place(this.space, one);
    this.shown = next;
    if (last >= first) onRange?.(first, last);
  }
}

function place(space, one) {
  if (one.old) one.old.replaceWith(one.element);
  else if (!one.element.isConnected) space.append(one.element);
  one.old = undefined;
  one.element.style.transform = `translateY(${one.y}px)`;
}

function same(one, other) {
  return one.length === other.length && one.every((mark, at) => mark === other[at]);
}
