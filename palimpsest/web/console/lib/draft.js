// A draft: ops that are not sent yet, on the version that they were thought for; and what becomes of them when the document is another one
// meanwhile. Pure: each function gives another draft.

import { applyDelta, get, NOTHING, touches } from "./delta.js";
import { equal } from "./json.js";
import { contains, formatPath, meets, parsePath } from "./paths.js";

/** @typedef {import("./delta.js").Op} Op */
/** @typedef {import("./paths.js").Path} Path */
/** @typedef {{version: number, base: any, ops: Op[], value: any}} Draft value: base with all ops */
/** @typedef {{path: Path, base: any, mine: any, theirs: any}} Clash values, or NOTHING, at path */

/** @param {number} version @param {any} base @returns {Draft} */
export function startDraft(version, base) {
  return { version, base, ops: [], value: base };
}

/**
 * One op more. A `set` at the place of the last one takes its place.
 * @param {Draft} draft @param {Op} op @returns {Draft}
 * @throws {import("./delta.js").DeltaFailed}
 */
export function addOp(draft, op) {
  const last = draft.ops[draft.ops.length - 1];
  const replaces = last && last.op === "set" && op.op === "set" && last.path === op.path;
  return withOps(draft, [...(replaces ? draft.ops.slice(0, -1) : draft.ops), op]);
}

/** @param {Draft} draft @param {Op[]} ops @returns {Draft} @throws {import("./delta.js").DeltaFailed} */
export function addOps(draft, ops) {
  return ops.reduce(addOp, draft);
}

/** Without one of the ops. @param {Draft} draft @param {number} index @returns {Draft} @throws {import("./delta.js").DeltaFailed} where a later op needs it */
export function dropOp(draft, index) {
  return withOps(draft, draft.ops.toSpliced(index, 1));
}

/** @param {Draft} draft @param {Op[]} ops @returns {Draft} */
export function withOps(draft, ops) {
  // What sets a value to what is there already is no change.
  const value = applyDelta(draft.base, ops);
  return equal(value, draft.base) ? { ...draft, ops: [], value: draft.base } : { ...draft, ops, value };
}

/**
 * Each op with the value before and after it, where it is. @param {Draft} draft
 * @returns {{op: Op, path: Path, before: any, after: any}[]}
 */
export function steps(draft) {
  let value = draft.base;
  return draft.ops.map((op) => {
    const next = applyDelta(value, [op]);
    const path = parsePath(op.path);
    const step = { op, path, before: get(value, path), after: get(next, path) };
    value = next;
    return step;
  });
}

/**
 * Where the ops of both sides touch the same places, each such place once; none lies inside of another.
 * @param {Op[]} mine @param {Op[]} theirs
 * @returns {Path[]}
 */
export function clashes(mine, theirs) {
  const others = theirs.flatMap(touches);
  let found = [];
  for (const path of mine.flatMap(touches)) {
    for (const other of others) if (meets(path, other)) found.push(path.length < other.length ? path : other);
  }
  for (;;) {
    found = found.filter((path, at) => !found.some((other, place) => contains(other, path) && (other.length < path.length || place < at)));
    // An op that reaches into such a place and elsewhere belongs to it as a whole.
    const more = mine.map(touches).filter((paths) => paths.some((path) => within(found, path))).flat().filter((path) => !within(found, path));
    if (!more.length) return found;
    found.push(...more);
  }
}

/**
 * The draft on a newer version: the ops that meet nothing of theirs, and the places where there is something to be chosen.
 * @param {Draft} draft @param {number} version @param {any} value the newer one @param {Op[]} theirs what was changed since the draft's version
 * @returns {{draft: Draft, clashes: Clash[]}} the draft without what clashes
 */
export function rebase(draft, version, value, theirs) {
  const places = clashes(draft.ops, theirs);
  const clean = draft.ops.filter((op) => !touches(op).some((path) => within(places, path)));
  const next = withOps(startDraft(version, value), clean);
  const found = places.map((path) => ({ path, base: get(draft.base, path), mine: get(draft.value, path), theirs: get(value, path) }));
  return { draft: next, clashes: found.filter((clash) => !alike(clash.mine, clash.theirs)) };
}

/**
 * The draft with our side of a clash as well.
 * @param {Draft} draft @param {Clash} clash @returns {Draft} @throws {import("./delta.js").DeltaFailed}
 */
export function takeMine(draft, clash) {
  const path = formatPath(clash.path);
  if (clash.mine !== NOTHING) return withOps(draft, [...draft.ops, { op: "set", path, value: clash.mine }]);
  const last = clash.path[clash.path.length - 1];
  const gone = typeof last === "number" ? { op: "remove", path: formatPath(clash.path.slice(0, -1)), index: last } : { op: "delete", path };
  return withOps(draft, [...draft.ops, gone]);
}

function within(places, path) {
  return places.some((place) => meets(place, path));
}

function alike(one, other) {
  return one === NOTHING || other === NOTHING ? one === other : equal(one, other);
}
