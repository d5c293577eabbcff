// Paths: where in a value. A list of keys (string) and indexes (number), and its written form: meta.tags.0, files["README.md"], ["0"].

const BARE = /[^.[\]"\s\x00-\x1f\x7f]+/y;
const QUOTED = /\[("(?:[^"\\]|\\.)*")\]/sy;
const DIGITS = /^[0-9]+$/;
const BARE_WHOLE = /^[^.[\]"\s\x00-\x1f\x7f]+$/;

/** @typedef {(string|number)[]} Path */

/**
 * @param {string} text
 * @returns {Path}
 * @throws {SyntaxError} with the offset at which it stops making sense
 */
export function parsePath(text) {
  const steps = [];
  let offset = 0;
  while (offset < text.length) {
    const quoted = match(QUOTED, text, offset);
    if (quoted) {
      steps.push(JSON.parse(quoted[1]));
      offset += quoted[0].length;
      continue;
    }
    if (steps.length) {
      if (text[offset] !== ".") throw wrong(text, offset, "a step starts with . or [");
      offset += 1;
    }
    const bare = match(BARE, text, offset);
    if (!bare) throw wrong(text, offset, 'a step is a key, an index, or a JSON string in brackets such as ["odd.key"]');
    steps.push(bareStep(text, offset, bare[0]));
    offset += bare[0].length;
  }
  return steps;
}

/**
 * @param {Path} path
 * @returns {string}
 */
export function formatPath(path) {
  return path.map(formatStep).join("");
}

/**
 * For people: the root has no written form.
 * @param {Path|string} path
 * @returns {string}
 */
export function namePath(path) {
  const text = typeof path === "string" ? path : formatPath(path);
  return text || "(the whole value)";
}

/**
 * @param {Path} path @param {Path} other
 * @returns {boolean} whether other is path, or lies inside of it
 */
export function contains(path, other) {
  return path.length <= other.length && path.every((step, at) => step === other[at]);
}

/**
 * @param {Path} path @param {Path} other
 * @returns {boolean} whether one of them contains the other
 */
export function meets(path, other) {
  return contains(path, other) || contains(other, path);
}

function formatStep(step, at) {
  const plain = typeof step === "number" || (BARE_WHOLE.test(step) && !DIGITS.test(step));
  if (!plain) return `[${JSON.stringify(step)}]`;
  return at === 0 ? String(step) : `.${step}`;
}

function bareStep(text, offset, step) {
  if (!DIGITS.test(step)) return step;
  if (step !== "0" && step.startsWith("0")) {
    throw wrong(text, offset, `an index has no leading zeros; a key of digits is written ["${step}"]`);
  }
  return Number(step);
}

function match(pattern, text, offset) {
  pattern.lastIndex = offset;
  return pattern.exec(text);
}

function wrong(text, offset, reason) {
  return new SyntaxError(`“${text}” is not a path: at character ${offset}: ${reason}`);
}
