// Who last set what, for the margin of a tree.

import { api, documentPath } from "./api.js";
import { h } from "./dom.js";
import { ago } from "./format.js";
import { formatPath, parsePath } from "./paths.js";
import { documentHref } from "./router.js";

/** @typedef {{version: any, isExact: boolean, isInside: boolean}} Mark isInside: of a container, the newest of what is in it */

/**
 * @param {import("./past.js").Context} context @param {number|null} version null: the newest
 * @param {AbortSignal} [signal] @param {string} [path] of what is asked about
 * @returns {Promise<Map<string, Mark> & {isExact?: boolean, version?: number}>} by path as text
 */
export async function blameAt(context, version, signal, path = "") {
  const { body } = await api.get(documentPath(context.name, "/blame"), { ...context.view, version, path }, { signal });
  return marksOf(body);
}

/** Pure. @param {{exact: boolean, version: number, paths: {path: string, entry: number}[], versions: any[]}} blame @returns {Map<string, Mark> & {isExact?: boolean, version?: number}} */
export function marksOf(blame) {
  const oldest = blame.exact ? null : blame.versions.reduce((one, other) => (other.at < one.at ? other : one), blame.versions[0]);
  /** @type {any} */
  const marks = new Map();
  for (const { path, entry } of blame.paths) {
    const version = blame.versions[entry];
    const steps = parsePath(path);
    for (let length = 0; length < steps.length; length += 1) {
      const holder = formatPath(steps.slice(0, length));
      const known = marks.get(holder);
      if (!known || known.version.at < version.at) marks.set(holder, { version, isExact: true, isInside: true });
    }
    marks.set(formatPath(steps), { version, isExact: version !== oldest, isInside: false });
  }
  marks.isExact = blame.exact;
  marks.version = blame.version;
  return marks;
}

/** @param {Mark|undefined} mark @param {{name: string, branch: string}} context @returns {HTMLElement|null} */
export function blameMark(mark, { name, branch }) {
  if (!mark) return null;
  const { version, isExact, isInside } = mark;
  const said = wordsOf(mark, branch);
  const node = `${version.branch === branch ? "" : `${version.branch}:`}${version.version}`;
  return h("a", { class: ["blame-mark", isInside && "inside"], tabindex: "-1", title: said, "aria-label": said, href: documentHref(name, { tab: "time", branch: version.branch === "main" ? "" : version.branch, v: version.version }) },
    h("span", { class: "number" }, `${isExact ? "" : "≤"}${node}`), h("span", { class: "blame-who" }, isInside ? "" : (version.by ?? "—")));
}

/** @param {Mark} mark @param {string} [branch] that goes without saying @returns {string} for a screen reader */
export function wordsOf({ version, isExact, isInside }, branch = "") {
  return [`${isInside ? "newest inside: " : ""}version ${version.version}`, version.branch !== branch && `on ${version.branch}`, version.by && `by ${version.by}`, ago(version.at), version.description, !isExact && "or one before it, which is not kept"]
    .filter(Boolean)
    .join(", ");
}
