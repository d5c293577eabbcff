// Deltas on plain JSON: applied for previews and live values, said in words, and asked which paths they touch. Pure.
//
// The server decides what an op does; what is here follows its rules, so that a preview shows what will be. Ops are as the gateway writes
// them: {op, path, …} with paths as text.

import { equal, isNumber, kindOf } from "./json.js";
import { contains, formatPath, meets, namePath, parsePath } from "./paths.js";
import { preview } from "./tree.js";

/** @typedef {{op: string, path: string, value?: any, by?: any, index?: number, source?: string, edits?: any[]}} Op */
/** @typedef {import("./paths.js").Path} Path */

/** An op does not fit the value. */
export class DeltaFailed extends Error {
  /** @param {number} index of the op @param {Op} op @param {string} reason */
  constructor(index, op, reason) {
    super(`op ${index + 1} (${op.op} ${namePath(op.path)}): ${reason}`);
    this.name = "DeltaFailed";
    this.index = index;
  }
}

/** What `get` finds where there is nothing. */
export const NOTHING = Symbol("nothing");

/**
 * @param {any} value @param {Op[]} ops
 * @returns {any} another value; what did not change is shared with the one given
 * @throws {DeltaFailed}
 */
export function applyDelta(value, ops) {
  return ops.reduce((before, op, index) => {
    const action = ACTIONS[op.op];
    try {
      if (!action) throw new Error("is not known here");
      return action(before, parsePath(op.path), op);
    } catch (error) {
      throw new DeltaFailed(index, op, error.message);
    }
  }, value);
}

/** @param {any} value @param {Path|string} path @returns {any} or NOTHING */
export function get(value, path) {
  for (const step of typeof path === "string" ? parsePath(path) : path) {
    const fits = typeof step === "number" ? Array.isArray(value) : kindOf(value ?? null) === "map";
    if (!fits || !Object.hasOwn(value, step)) return NOTHING;
    value = value[step];
  }
  return value;
}

/**
 * Where something may be another value after the op. What goes into a list or out of it moves the others, so it touches the list.
 * @param {Op} op
 * @returns {Path[]}
 */
export function touches(op) {
  const path = parsePath(op.path ?? "");
  switch (op.op) {
    case "test":
    case "absent":
      return [];
    case "move":
      return [holderOfElement(parsePath(op.source ?? "")), holderOfElement(path)];
    case "copy":
      return [holderOfElement(path)];
    default:
      return [path];
  }
}

/** @typedef {Path & {isHolder?: boolean}} Place isHolder: something in it is gone; the rest of it did not change */

/**
 * Which places of the value after a delta to mark as changed.
 * @param {Op[]} ops @param {any} after the value after them @param {any} [before] the value before, where it is known
 * @returns {Place[]} paths that are there; of what is gone, what held it
 */
export function changedPaths(ops, after, before = NOTHING) {
  const found = new Map();
  const mark = (path, isGone = false) => {
    let there = isGone ? path.slice(0, -1) : path;
    while (there.length && get(after, there) === NOTHING) there = there.slice(0, -1);
    if (before !== NOTHING && equalAt(before, after, there)) return;
    const key = formatPath(there);
    const isHolder = there.length < path.length && found.get(key)?.isHolder !== false;
    found.set(key, Object.assign([...there], { isHolder }));
  };
  for (const op of ops) {
    const path = parsePath(op.path ?? "");
    if (op.op === "test" || op.op === "absent") continue;
    if (op.op === "insert") mark([...path, Number(op.index)]);
    else if (op.op === "append") mark([...path, Math.max(0, (get(after, path)?.length ?? 1) - 1)]);
    else if (op.op === "delete") mark(path, true);
    else if (op.op === "remove") mark([...path, Number(op.index)], true);
    else mark(path);
    if (op.op === "move") mark(parsePath(op.source ?? ""), true);
  }
  return [...found.values()];
}

/** An op in words. @param {Op} op @returns {string} */
export function describe(op) {
  const at = namePath(op.path ?? "");
  switch (op.op) {
    case "set":
    case "replace":
      return `set ${at} to ${preview(op.value)}`;
    case "delete":
      return `delete ${at}`;
    case "increment":
      return isNumber(op.by) && op.by < 0 ? `lower ${at} by ${-op.by}` : `raise ${at} by ${op.by}`;
    case "insert":
      return `insert ${preview(op.value)} into ${at} at ${op.index}`;
    case "append":
      return `append ${preview(op.value)} to ${at}`;
    case "remove":
      return `remove element ${op.index} from ${at}`;
    case "move":
      return `move ${namePath(op.source ?? "")} to ${at}`;
    case "copy":
      return `copy ${namePath(op.source ?? "")} to ${at}`;
    case "splice":
      return `edit the text ${at} in ${op.edits?.length === 1 ? "one place" : `${op.edits?.length ?? 0} places`}`;
    case "test":
      return `only if ${at} is ${preview(op.value)}`;
    case "absent":
      return `only if there is nothing at ${at}`;
    case "erase":
      return `erase ${at}, from all versions`;
    default:
      return `${op.op} ${at}`;
  }
}

/**
 * The ops that turn one value into another; lists change element by element where only their ends or single elements differ.
 * @param {any} before @param {any} after @param {Path} [path] where they are
 * @returns {Op[]}
 */
export function difference(before, after, path = []) {
  if (equal(before, after)) return [];
  const kind = kindOf(before);
  if (kind !== kindOf(after) || (kind !== "map" && kind !== "list")) return [{ op: "set", path: formatPath(path), value: after }];
  return kind === "map" ? mapDifference(before, after, path) : listDifference(before, after, path);
}

function mapDifference(before, after, path) {
  const ops = [];
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) ops.push({ op: "delete", path: formatPath([...path, key]) });
  for (const key of Object.keys(after)) {
    if (Object.hasOwn(before, key)) ops.push(...difference(before[key], after[key], [...path, key]));
    else ops.push({ op: "set", path: formatPath([...path, key]), value: after[key] });
  }
  return ops;
}

/** What both begin with and end with stays; what lies between is gone through one by one, and the rest is removed or inserted. */
function listDifference(before, after, path) {
  let start = 0;
  while (start < before.length && start < after.length && equal(before[start], after[start])) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && equal(before[before.length - 1 - end], after[after.length - 1 - end])) end += 1;
  const [olds, news] = [before.length - end, after.length - end];
  const both = Math.min(olds, news);
  const text = formatPath(path);
  const ops = [];
  for (let at = start; at < both; at += 1) ops.push(...difference(before[at], after[at], [...path, at]));
  for (let at = olds - 1; at >= Math.max(start, both); at -= 1) ops.push({ op: "remove", path: text, index: at });
  for (let at = Math.max(start, both); at < news; at += 1) ops.push({ op: "insert", path: text, index: at, value: after[at] });
  return ops;
}

const ACTIONS = {
  set: (value, path, op) => put(value, path, op.value),
  replace(value, path, op) {
    need(value, path);
    return put(value, path, op.value);
  },
  delete(value, path) {
    if (!path.length) throw new Error("the whole value cannot be deleted; the document can");
    if (typeof path[path.length - 1] === "number") throw new Error("a list element is removed, not deleted");
    return get(value, path) === NOTHING ? value : without(value, path);
  },
  increment(value, path, op) {
    const old = get(value, path);
    if (old !== NOTHING && !isNumber(old)) throw new Error(`what is there is a ${kindOf(old)}, not a number`);
    return put(value, path, old === NOTHING ? op.by : sum(old, op.by));
  },
  insert: (value, path, op) => withList(value, path, (list) => spliced(list, Number(op.index), 0, [op.value])),
  append: (value, path, op) => withList(value, path, (list) => [...list, op.value]),
  remove: (value, path, op) => withList(value, path, (list) => spliced(list, Number(op.index), 1, [])),
  move(value, path, op) {
    const source = parsePath(op.source ?? "");
    const moved = need(value, source);
    if (formatPath(source) === formatPath(path)) return value;
    if (contains(source, path)) throw new Error("nothing can be moved into itself");
    return land(without(value, source), path, moved);
  },
  copy: (value, path, op) => land(value, path, need(value, parsePath(op.source ?? ""))),
  splice(value, path, op) {
    const old = need(value, path);
    if (typeof old !== "string") throw new Error(`what is there is a ${kindOf(old)}, not a string`);
    return put(value, path, editText(old, op.edits ?? []));
  },
  test(value, path, op) {
    if (!equal(need(value, path), op.value)) throw new Error("what is there is another value");
    return value;
  },
  absent(value, path) {
    if (get(value, path) !== NOTHING) throw new Error("there is something");
    return value;
  },
  erase: (value, path) => erased(value, path),
};

/** Offsets count code points, and are those of the text before the op. */
function editText(text, edits) {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  for (const edit of edits) {
    const [offset, removed, inserted] = Array.isArray(edit) ? edit : [edit.offset, edit.removed, edit.inserted];
    if (offset < at || offset + removed > points.length) throw new Error(`the text has ${points.length} characters, and an edit reaches to ${offset + removed}`);
    parts.push(points.slice(at, offset).join(""), inserted);
    at = offset + removed;
  }
  return parts.join("") + points.slice(at).join("");
}

function erased(value, path) {
  if (!path.length) return null;
  const [step, ...rest] = path;
  if (value === null || typeof value !== "object") return value;
  const steps = step === "*" ? Object.keys(value).map((key) => (Array.isArray(value) ? Number(key) : key)) : [step];
  return steps.reduce((found, one) => {
    if (get(found, [one]) === NOTHING) return found;
    if (rest.length) return put(found, [one], erased(found[one], rest));
    return typeof one === "number" ? put(found, [one], null) : without(found, [one]);
  }, value);
}

function put(value, path, content) {
  if (!path.length) return content;
  const [step, ...rest] = path;
  if (typeof step === "number") {
    if (!Array.isArray(value)) throw new Error("a list has to be there before something can be put into it");
    if (step >= value.length) throw new Error(`the list has ${value.length} elements, so there is no ${step}`);
    return value.with(step, put(value[step], rest, content));
  }
  if (value !== undefined && kindOf(value) !== "map") throw new Error(`what is on the way is a ${kindOf(value)}, not a map`);
  const old = value !== undefined && Object.hasOwn(value, step) ? value[step] : undefined;
  return withKey(value ?? {}, step, put(old, rest, content));
}

function land(value, path, content) {
  const last = path[path.length - 1];
  if (typeof last !== "number") return put(value, path, content);
  return withList(value, path.slice(0, -1), (list) => spliced(list, last, 0, [content]));
}

function without(value, path) {
  const holder = path.slice(0, -1);
  const last = path[path.length - 1];
  if (typeof last === "number") return withList(value, holder, (list) => spliced(list, last, 1, []));
  const rest = { ...need(value, holder) };
  delete rest[last];
  return put(value, holder, rest);
}

function withList(value, path, change) {
  const list = need(value, path);
  if (!Array.isArray(list)) throw new Error(`what is there is a ${kindOf(list)}, not a list`);
  return put(value, path, change(list));
}

function spliced(list, index, removed, added) {
  if (index > list.length - removed) throw new Error(`the list has ${list.length} elements, so there is no ${index}`);
  return list.toSpliced(index, removed, ...added);
}

/** A key such as `__proto__` is one like any other. */
function withKey(map, key, content) {
  return Object.defineProperty({ ...map }, key, { value: content, enumerable: true, configurable: true, writable: true });
}

function need(value, path) {
  const found = get(value, path);
  if (found === NOTHING) throw new Error(path.length ? `there is nothing at ${formatPath(path)}` : "there is nothing");
  return found;
}

function sum(one, other) {
  if (Number.isSafeInteger(one) && Number.isSafeInteger(other) && Number.isSafeInteger(one + other)) return one + other;
  const isWhole = (number) => typeof number === "bigint" || Number.isSafeInteger(number);
  return isWhole(one) && isWhole(other) ? BigInt(one) + BigInt(other) : Number(one) + Number(other);
}

function holderOfElement(path) {
  return typeof path[path.length - 1] === "number" ? path.slice(0, -1) : path;
}

function equalAt(before, after, path) {
  const [one, other] = [get(before, path), get(after, path)];
  return one !== NOTHING && other !== NOTHING && equal(one, other);
}

export { meets };
