// JSON without loss: an integer that a double cannot hold is a BigInt here, on the way in and on the way out.

/** Sixteen digits in a row may be an integer that a double cannot hold; without them the quick way is exact. */
const LONG_NUMBER = /\d{16}/;
const INTEGER = /^-?\d+$/;

/**
 * @param {string} text JSON
 * @returns {any} integers beyond 2^53 as BigInt
 */
export function parse(text) {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    // A browser without the source text of a number shows it as it can; it is not sent back, as edits are deltas.
    const source = context?.source;
    return source !== undefined && INTEGER.test(source) ? BigInt(source) : value;
  });
}

/**
 * @param {any} value as `parse` gives it
 * @param {number} [indent] spaces per level; 0: all on one line
 * @returns {string} JSON
 */
export function stringify(value, indent = 0) {
  return write(value, indent ? "\n" : "", " ".repeat(indent));
}

/**
 * The beginning of a value's JSON, indented, for a look at it; of a large value no more is written than is shown.
 * @param {any} value @param {number} length_max characters
 * @returns {string} with an ellipsis where it was cut
 */
export function excerpt(value, length_max) {
  let text = "";
  for (const piece of pieces(value, "\n")) {
    text += piece;
    if (text.length > length_max) return `${text.slice(0, length_max)}…`;
  }
  return text;
}

function* pieces(value, newline) {
  if (value === null || typeof value !== "object") {
    yield typeof value === "bigint" ? value.toString() : JSON.stringify(value);
    return;
  }
  const keys = Array.isArray(value) ? null : Object.keys(value);
  const count = keys ? keys.length : value.length;
  const inner = `${newline}  `;
  yield keys ? "{" : "[";
  for (let at = 0; at < count; at += 1) {
    yield `${at ? "," : ""}${inner}${keys ? `${JSON.stringify(keys[at])}: ` : ""}`;
    yield* pieces(value[keys ? keys[at] : at], inner);
  }
  yield `${count ? newline : ""}${keys ? "}" : "]"}`;
}

function write(value, newline, step) {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = newline && newline + step;
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((item) => write(item, inner, step))]
    : ["{", "}", Object.keys(value).map((key) => `${JSON.stringify(key)}:${step && " "}${write(value[key], inner, step)}`)];
  return parts.length ? open + inner + parts.join(`,${inner}`) + newline + close : open + close;
}

/**
 * As JSON has it: the order of keys means nothing, and `true` is not 1.
 * @param {any} a @param {any} b
 * @returns {boolean}
 */
export function equal(a, b) {
  if (a === b) return true;
  if (typeof a === "bigint" || typeof b === "bigint") return isNumber(a) && isNumber(b) && a == b;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

/** @param {any} value @returns {boolean} */
export function isNumber(value) {
  return typeof value === "number" || typeof value === "bigint";
}

/**
 * @param {any} value
 * @returns {"null"|"boolean"|"number"|"string"|"list"|"map"}
 */
export function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "list";
  if (isNumber(value)) return "number";
  return typeof value === "object" ? "map" : /** @type {any} */ (typeof value);
}
