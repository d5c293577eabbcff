/**
 * What differs between two texts, word by word. Pure.
 *
 * Myers' algorithm ("An O(ND) Difference Algorithm", 1986) over words, white space and punctuation, after what both begin and end
 * with alike is set aside. Where texts differ in more than EDITS_MAX tokens, what is between counts as replaced as a whole: nobody reads such a
 * difference word by word.
 */

const EDITS_MAX = 600;
const TOKENS_MAX = 20_000;
const TOKEN = /\p{L}[\p{L}\p{M}\p{N}_]*|\p{N}+|\s+|[^\p{L}\p{N}\s]/gu;

/**
 * @typedef {{kind: "same" | "removed" | "added", text: string}} Piece
 */

/**
 * The pieces in order: those that are the same or removed make up `before`, those that are the same or added make up `after`.
 *
 * @param {string} before
 * @param {string} after
 * @returns {Piece[]}
 */
export function diffText(before, after) {
  const left = tokens(before);
  const right = tokens(after);
  const pieces = [];
  for (const run of diffSequence(left, right)) {
    if (run.left.length && run.kind !== "added") pieces.push({ kind: run.kind, text: run.left.join("") });
    if (run.kind === "added") pieces.push({ kind: "added", text: run.right.join("") });
  }
  return pieces;
}

/**
 * Runs of equal, removed and added elements. `same` runs have both sides.
 *
 * @template T
 * @param {T[]} left
 * @param {T[]} right
 * @returns {{kind: "same" | "removed" | "added", left: T[], right: T[]}[]}
 */
export function diffSequence(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (
    end < left.length - start &&
    end < right.length - start &&
    left[left.length - 1 - end] === right[right.length - 1 - end]
  ) {
    end += 1;
  }
  const runs = [];
  add(runs, "same", left.slice(0, start), right.slice(0, start));
  for (const run of middle(left.slice(start, left.length - end), right.slice(start, right.length - end))) {
    add(runs, run.kind, run.left, run.right);
  }
  add(runs, "same", left.slice(left.length - end), right.slice(right.length - end));
  return runs;
}

function tokens(text) {
  const found = text.match(TOKEN) ?? [];
  return found.length <= TOKENS_MAX ? found : text.split(/(?<=\n)/);
}

function add(runs, kind, left, right) {
  if (!left.length && !right.length) return;
  const last = runs[runs.length - 1];
  if (last && last.kind === kind) {
    for (const item of left) last.left.push(item);
    for (const item of right) last.right.push(item);
  } else {
    runs.push({ kind, left: [...left], right: [...right] });
  }
}

function middle(left, right) {
  const replaced = [
    { kind: "removed", left, right: [] },
    { kind: "added", left: [], right },
  ];
  if (!left.length || !right.length) return replaced;
  const trace = search(left, right);
  return trace === null ? replaced : walkBack(trace, left, right);
}

/** The furthest reaching ends for each number of edits, or null where it takes more than EDITS_MAX. */
function search(left, right) {
  const furthest = new Map([[1, 0]]);
  const trace = [];
  for (let edits = 0; edits <= Math.min(EDITS_MAX, left.length + right.length); edits += 1) {
    trace.push(new Map(furthest));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = step(furthest, diagonal, edits);
      while (x < left.length && x - diagonal < right.length && left[x] === right[x - diagonal]) x += 1;
      furthest.set(diagonal, x);
      if (x >= left.length && x - diagonal >= right.length) return trace;
    }
  }
  return null;
}

function step(furthest, diagonal, edits) {
  const below = furthest.get(diagonal - 1) ?? -1;
  const above = furthest.get(diagonal + 1) ?? -1;
  return diagonal === -edits || (diagonal !== edits && below < above) ? above : below + 1;
}

function walkBack(trace, left, right) {
  const steps = [];
  let x = left.length;
  let y = right.length;
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const diagonal = x - y;
    const furthest = trace[edits];
    const down = diagonal === -edits || (diagonal !== edits && (furthest.get(diagonal - 1) ?? -1) < (furthest.get(diagonal + 1) ?? -1));
    const from = down ? diagonal + 1 : diagonal - 1;
    const fromX = edits === 0 ? 0 : furthest.get(from);
    const fromY = edits === 0 ? 0 : fromX - from;
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      steps.push({ kind: "same", left: [left[x]], right: [right[y]] });
    }
    if (edits > 0 && down) {
      y -= 1;
      steps.push({ kind: "added", left: [], right: [right[y]] });
    } else if (edits > 0) {
      x -= 1;
      steps.push({ kind: "removed", left: [left[x]], right: [] });
    }
  }
  const runs = [];
  for (const one of steps.reverse()) add(runs, one.kind, one.left, one.right);
  return runs;
}
