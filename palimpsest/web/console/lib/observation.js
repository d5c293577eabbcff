/** What two looks at a server's counters say of the time between them. Pure; as `palimpsest/counting.py` does it. */

/**
 * What was counted between two looks at one histogram; `before` counts as the start where it is no earlier state, as after a restart.
 * @typedef {{bounds: number[], counts: number[], sum: number}} Histogram
 * @param {Histogram|undefined} before @param {Histogram} now @returns {Histogram}
 */
export function since(before, now) {
  if (!before || before.counts.length !== now.counts.length) return now;
  const counts = now.counts.map((count, index) => count - before.counts[index]);
  if (counts.some((count) => count < 0)) return now;
  return { bounds: now.bounds, counts, sum: Math.max(0, now.sum - before.sum) };
}

/**
 * About the number that a share q of all are not above; null where nothing was counted.
 * @param {Histogram|undefined} data @param {number} q 0 to 1
 */
export function quantile(data, q) {
  const total = data ? data.counts.reduce((sum, count) => sum + count, 0) : 0;
  if (!total) return null;
  const rank = q * total;
  let below = 0;
  let start = 0;
  for (let index = 0; index < data.bounds.length; index += 1) {
    const count = data.counts[index];
    const bound = data.bounds[index];
    if (count && below + count >= rank) return start + ((bound - start) * (rank - below)) / count;
    below += count;
    start = bound;
  }
  return start;
}

/**
 * How much a counter has risen each second; null for the first look and after a restart.
 * @param {{at: string, counters: Record<string, number>}|null} before @param {{at: string, counters: Record<string, number>}} now
 * @param {string} name
 */
export function rate(before, now, name) {
  if (!before || !(name in now.counters)) return null;
  const seconds = (new Date(now.at) - new Date(before.at)) / 1000;
  const risen = now.counters[name] - (before.counters[name] ?? 0);
  return seconds > 0 && risen >= 0 ? risen / seconds : null;
}
