// Times, numbers and sizes for people, in the reader's own language and time zone.

const WHOLE = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const UNITS = [["year", 31_557_600], ["month", 2_629_800], ["week", 604_800], ["day", 86_400], ["hour", 3_600], ["minute", 60]];
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** @param {number|bigint} count @returns {string} with separators of thousands */
export function number(count) {
  return WHOLE.format(count);
}

/** @param {number} count @returns {string} three digits that count */
export function rough(count) {
  return SHORT.format(count);
}

/** @param {number} count @param {string} one @param {string} [many] @returns {string} "1 version", "2 versions" */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** @param {number} count of bytes @returns {string} */
export function bytes(count) {
  let unit = 0;
  while (Math.abs(count) >= 1024 && unit < BYTES.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit ? SHORT.format(count) : WHOLE.format(count)} ${BYTES[unit]}`;
}

/** @param {number} seconds @returns {string} such as 340 µs, 1.2 ms, 3 s, 4 min, 2 h */
export function duration(seconds) {
  if (seconds < 0.001) return `${SHORT.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${SHORT.format(seconds * 1e3)} ms`;
  if (seconds < 120) return `${SHORT.format(seconds)} s`;
  if (seconds < 7_200) return `${SHORT.format(seconds / 60)} min`;
  if (seconds < 172_800) return `${SHORT.format(seconds / 3_600)} h`;
  return `${SHORT.format(seconds / 86_400)} days`;
}

/** @param {string|Date} at RFC 3339 @returns {string} date and time */
export function moment(at) {
  return MOMENT.format(new Date(at));
}

/** @param {string|Date} at @returns {string} the time alone */
export function clock(at) {
  return CLOCK.format(new Date(at));
}

/** @param {string|Date} at @param {Date} [now] @returns {string} such as "5 minutes ago" */
export function ago(at, now = new Date()) {
  const seconds = (new Date(at).getTime() - now.getTime()) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return RELATIVE.format(Math.trunc(seconds / length), /** @type {any} */ (unit));
  }
  return Math.abs(seconds) < 10 ? "just now" : RELATIVE.format(Math.trunc(seconds), "second");
}

/** @param {string} text @param {number} [length_max] characters @returns {string} with an ellipsis where it was cut */
export function shorten(text, length_max = 80) {
  return text.length <= length_max ? text : `${text.slice(0, length_max - 1)}…`;
}
