/**
 * Two JSON values beside each other, as rows. Pure.
 *
 * Maps are compared key by key; lists element by element, where equal elements are found again wherever they have moved to in order; all
 * else is one thing. Rows come in the order in which they are to be read.
 */

import { equal, kindOf, stringify } from "./json.js";
import { diffSequence } from "./textdiff.js";

const ALIGNED_ITEMS_MAX = 2_000;

/**
 * kind: "same": equal on both sides; "inside": a container whose inside differs, its children follow; "changed", "added", "removed".
 * step: the last step of the path, of the side where it is (after, if on both); null for the root. depth: 0 for the root.
 *
 * @typedef {{
 *   kind: "same" | "inside" | "changed" | "added" | "removed",
 *   path: (string | number)[], step: string | number | null, depth: number, before?: any, after?: any,
 * }} Row
 */

/**
 * @param {any} before undefined: nothing was there
 * @param {any} after undefined: nothing is there
 * @returns {Row[]}
 */
export function compare(before, after) {
  const rows = [];
  visit(rows, before, after, [], 0);
  return rows;
}

/**
 * Rows with each stretch of unchanged ones, below a container that changed, as one row of kind "folded" with a `count`.
 *
 * @param {Row[]} rows
 */
export function fold(rows) {
  const folded = [];
  for (const row of rows) {
    const last = folded[folded.length - 1];
    if (row.kind !== "same" || row.depth === 0) folded.push(row);
    else if (last?.kind === "folded" && last.depth === row.depth) last.count += 1;
    else folded.push({ kind: "folded", path: row.path, step: null, depth: row.depth, count: 1 });
  }
  return folded;
}

function visit(rows, before, after, path, depth) {
  const step = path.length ? path[path.length - 1] : null;
  const row = { path, step, depth, before, after };
  if (before === undefined) rows.push({ kind: "added", ...row });
  else if (after === undefined) rows.push({ kind: "removed", ...row });
  else if (equal(before, after)) rows.push({ kind: "same", ...row });
  else if (kindOf(before) === "map" && kindOf(after) === "map") {
    rows.push({ kind: "inside", ...row });
    for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
      visit(rows, own(before, key), own(after, key), [...path, key], depth + 1);
    }
  } else if (Array.isArray(before) && Array.isArray(after)) {
    rows.push({ kind: "inside", ...row });
    for (const [from, to] of align(before, after)) {
      visit(rows, before[from], after[to], [...path, to ?? from], depth + 1);
    }
  } else rows.push({ kind: "changed", ...row });
}

function own(map, key) {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

/** Pairs of indexes; one of a pair is undefined where an element is on one side only. */
function align(before, after) {
  if (before.length + after.length > ALIGNED_ITEMS_MAX) return byIndex(before.length, after.length, 0, 0);
  const pairs = [];
  let from = 0;
  let to = 0;
  let removed = 0;
  for (const run of diffSequence(before.map(canonical), after.map(canonical))) {
    if (run.kind === "removed") {
      removed += run.left.length;
      continue;
    }
    const added = run.kind === "added" ? run.right.length : 0;
    // What was taken out and put in at one place is the same element, changed.
    pairs.push(...byIndex(removed, added, from, to));
    from += removed;
    to += added;
    removed = 0;
    if (run.kind === "same") {
      pairs.push(...byIndex(run.left.length, run.right.length, from, to));
      from += run.left.length;
      to += run.right.length;
    }
  }
  pairs.push(...byIndex(removed, 0, from, to));
  return pairs;
}

function byIndex(removed, added, from, to) {
  return Array.from({ length: Math.max(removed, added) }, (_, at) => [
    at < removed ? from + at : undefined,
    at < added ? to + at : undefined,
  ]);
}

/** A text that is the same for equal values. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (kindOf(value) === "map") {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
  }
  return stringify(value);
}
