// A document's past, as the gateway tells it: versions, values as of them, branches, and the record that is kept beside a document.

import { api, documentPath } from "./api.js";
import { fromRecord } from "./graph.js";

const RECORD = "$versions";
const PAGE_VERSIONS = 500;
const VALUES_MAX = 32;

/**
 * @typedef {{name: string, branch: string, view: Record<string, any>}} Context of the document's page, as far as it matters here. `view`: what a
 *   request says to see the same: the branch, and the perspective or the family and level
 * @typedef {{value: any, missing: ""} | {value: undefined, missing: string}} Seen `missing` says why there is nothing to be seen
 */

/** Of a value that may be looked at again soon, and never changes. @param {Context} context @param {AbortSignal} signal @returns {(version: number) => Promise<Seen>} */
export function valuesOf(context, signal) {
  const kept = new Map();
  return async (version) => {
    if (kept.has(version)) return kept.get(version);
    const seen = await valueAt(context.name, { ...context.view, version }, signal);
    kept.set(version, seen);
    if (kept.size > VALUES_MAX) kept.delete(kept.keys().next().value);
    return seen;
  };
}

/** @param {string} name @param {Record<string, any>} params @param {AbortSignal} [signal] @returns {Promise<Seen>} @throws {import("./api.js").Problem} for all but what is not there */
export async function valueAt(name, params, signal) {
  try {
    return { value: (await api.get(documentPath(name), params, { signal })).body, missing: "" };
  } catch (error) {
    if (error.status !== 404 && error.status !== 410) throw error;
    return { value: undefined, missing: error.detail || error.title };
  }
}

/** @param {Context} context @param {AbortSignal} signal @returns {(first: number, last: number) => Promise<any[]>} versions with their deltas, those that are kept */
export function rangeReader(context, signal) {
  return (first, last) =>
    api.all(documentPath(context.name, "/history"), { ...context.view, first, last, order: "oldest", limit: PAGE_VERSIONS }, { signal });
}

/** One version by its number, also of a branch that was deleted, whose history is not listed; what it did is not said. @param {string} name @param {string} branch @param {number} version @param {AbortSignal} [signal] @returns {Promise<any>} null: not kept, or it deleted the document */
export async function versionOf(name, branch, version, signal) {
  try {
    return (await api.get(documentPath(name), { branch, version, envelope: true }, { signal })).body;
  } catch (error) {
    if (error.status !== 404 && error.status !== 410) throw error;
    return null;
  }
}

/** @param {Context} context @param {AbortSignal} [signal] @returns {Promise<{oldest: number, newest: number}>} the numbers that the branch has, those before it starts among them */
export async function extentOf(context, signal) {
  const path = documentPath(context.name, "/history");
  const { body } = await api.get(path, { ...context.view, order: "newest", limit: 1 }, { signal });
  const newest = body.newest ?? body.items[0]?.version ?? 0;
  if (body.oldest) return { oldest: body.oldest, newest };
  const oldest = (await api.get(path, { ...context.view, order: "oldest", limit: 1 }, { signal })).body.items[0]?.version;
  return { oldest: oldest ?? Math.min(1, newest), newest };
}

/** @param {string} name @param {AbortSignal} [signal] @returns {Promise<any[]>} the branches that there are, `main` among them, and those that were deleted */
export function branchesOf(name, signal) {
  return api.all(documentPath(name, "/branches"), { deleted: true }, { signal });
}

/** Lines, merges and tags given later; who may not read the record sees the branches alone. @param {string} name @param {any[]} branches @param {AbortSignal} [signal] */
export async function graphOf(name, branches, signal) {
  let record = null;
  try {
    record = (await api.get(documentPath(name), { branch: RECORD }, { signal })).body;
  } catch (error) {
    if (signal?.aborted || !error.status) throw error;
  }
  return fromRecord(branches, record);
}
