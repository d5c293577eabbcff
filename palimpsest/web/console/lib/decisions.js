// What a person decides about conflicts, as data. Pure.

/**
 * @typedef {{document: string, path: string, kind: string, base: {value: any}|null, ours: {value: any}|null, theirs: {value: any}|null, left_out?: boolean}} Conflict
 * @typedef {{take: "ours"|"theirs"|"base"} | {value: any} | {absent: true}} Decision
 */

/** @type {Record<string, [string, string]>} what each side did, ours and theirs */
export const KINDS = {
  "edit/edit": ["changed it", "changed it differently"],
  "edit/delete": ["changed it", "deleted it"],
  "delete/edit": ["deleted it", "changed it"],
  "add/add": ["added it", "added something else"],
  type: ["made one kind of thing of it", "made another"],
  list: ["changed the list", "changed the list differently"],
};

/** @param {{document: string, path: string}} conflict @returns {string} */
export function keyOf(conflict) {
  return JSON.stringify([conflict.document, conflict.path]);
}

/** @param {any} merge as the gateway answers it @returns {Conflict[]} those that are open, of all of its parts */
export function conflictsOf(merge) {
  return merge.parts.flatMap((part) => part.conflicts.map((conflict) => ({ ...conflict, document: conflict.document ?? part.document })));
}

/**
 * @param {Conflict} conflict @param {Decision} decision
 * @returns {any} what is there once it is decided so; undefined: nothing
 */
export function resultOf(conflict, decision) {
  if ("take" in decision) return conflict[decision.take]?.value;
  return "absent" in decision ? undefined : decision.value;
}

/**
 * @param {Conflict[]} conflicts @param {Map<string, Decision>} decisions by `keyOf`
 * @returns {any[]} what `POST /merges/{id}/resolutions` takes
 */
export function resolutionsOf(conflicts, decisions) {
  return conflicts
    .filter((conflict) => decisions.has(keyOf(conflict)))
    .map((conflict) => ({ document: conflict.document, path: conflict.path, ...decisions.get(keyOf(conflict)) }));
}

/**
 * Decisions that still speak of a conflict whose three sides are as they were.
 * @param {Conflict[]} before @param {Conflict[]} after @param {Map<string, Decision>} decisions
 * @param {(left: any, right: any) => boolean} equal
 * @returns {Map<string, Decision>}
 */
export function carriedOver(before, after, decisions, equal) {
  const sides = (conflict) => [conflict.base, conflict.ours, conflict.theirs];
  const known = new Map(before.map((conflict) => [keyOf(conflict), conflict]));
  const kept = after.filter((conflict) => {
    const old = known.get(keyOf(conflict));
    return old && decisions.has(keyOf(old)) && equal(sides(old), sides(conflict));
  });
  return new Map(kept.map((conflict) => [keyOf(conflict), /** @type {Decision} */ (decisions.get(keyOf(conflict)))]));
}
