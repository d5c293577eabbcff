// Which page is shown: what stands behind the `#`, and the modules in `pages/`, each loaded when it is first wanted.

import { announce, failure, h, replace } from "./dom.js";

/**
 * @typedef {object} Route
 * @property {string} page such as "documents", "document", "merges"
 * @property {string} [name] of the document
 * @property {string} [tab] of the document's page
 * @property {string} [id] of whatever else the page shows, such as a merge
 * @property {URLSearchParams} params what stands behind the `?`
 */

export const TABS = ["value", "time", "diff", "blame", "branches"];
const PAGES = ["documents", "document", "merges", "access", "reconcile", "health", "retention"];

/** @param {string} hash @returns {Route} */
export function parseHash(hash) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""), "?");
  const segments = path.split("/").filter(Boolean).map(decode);
  const params = new URLSearchParams(query);
  const page = segments.shift() ?? "documents";
  if (page === "documents" && segments.length) {
    // A name may end as a tab is called; so every link of ours has its tab, and only the last segment can be one.
    const tab = segments.length > 1 && TABS.includes(segments[segments.length - 1]) ? segments.pop() : "value";
    return { page: "document", name: segments.join("/"), tab, params };
  }
  return { page, id: segments.length ? segments.join("/") : undefined, params };
}

/** @param {string} name @param {{tab?: string} & Record<string, any>} [options] tab, and what stands behind the `?` @returns {string} */
export function documentHref(name, { tab = "value", ...params } = {}) {
  return pageHref(`documents/${name}/${tab}`, params);
}

/** @param {string} path such as "merges" or "merges/ID", not encoded @param {Record<string, any>} [params] empty ones are left out @returns {string} */
export function pageHref(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `#/${path.split("/").map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

/** @param {string} href of `documentHref` or `pageHref` @param {{replace?: boolean}} [options] replace: the way back does not lead to this page */
export function go(href, { replace: instead = false } = {}) {
  if (instead) {
    history.replaceState(null, "", href);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = href;
}

/** Notes in the address what is shown, without showing anything anew. @param {string} href */
export function note(href) {
  history.replaceState(null, "", href);
}

/**
 * Shows the page of the address, now and whenever the address changes. A page's `show(main, route, signal)` may return a function that takes
 * another route of the same page and says whether it has dealt with it; else the page is left, `signal` aborts, and it is shown anew.
 * @param {HTMLElement} main
 */
export function start(main) {
  let leaving = new AbortController();
  let shown = { page: "", change: null };
  let isFirst = true;

  async function visit() {
    const route = parseHash(location.hash);
    if (route.page === shown.page && shown.change && (await shown.change(route))) return;
    leaving.abort();
    leaving = new AbortController();
    shown = { page: route.page, change: null };
    mark(route.page);
    await open(route, leaving.signal);
  }

  async function open(route, signal) {
    replace(main);
    main.setAttribute("aria-busy", "true");
    try {
      const page = await load(route.page);
      if (signal.aborted) return;
      const showing = page.show(main, route, signal);
      arrive(main, isFirst);
      const change = await showing;
      if (!signal.aborted) shown.change = typeof change === "function" ? change : null;
    } catch (error) {
      if (signal.aborted) return;
      console.warn(`the page ${route.page} failed:`, error);
      replace(main, h("h1", { tabindex: "-1" }, "This page cannot be shown"), failure(error, () => visit()));
      arrive(main, isFirst);
    } finally {
      isFirst = false;
      if (!signal.aborted) main.removeAttribute("aria-busy");
    }
  }

  addEventListener("hashchange", visit);
  addEventListener("palimpsest:token", () => { shown = { page: "", change: null }; });
  visit();
}

async function load(page) {
  if (!PAGES.includes(page)) throw new Error(`There is no page “${page}”.`);
  try {
    return await import(`../pages/${page}.js`);
  } catch (error) {
    throw new Error(`The page “${page}” could not be loaded; does the gateway answer? (${error.message})`);
  }
}

/** Whoever cannot see that the page is another one is taken to its heading. On the first page, the skip link stays first. */
function arrive(main, isFirst) {
  const heading = main.querySelector("h1");
  if (!heading) return;
  document.title = `${heading.textContent} · Palimpsest`;
  heading.tabIndex = -1;
  if (!isFirst) heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  announce(heading.textContent ?? "");
}

function mark(page) {
  const area = page === "document" ? "documents" : page;
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link instanceof HTMLElement && link.dataset.page === area) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a phone, the links are a row that scrolls
    } else link.removeAttribute("aria-current");
  }
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
