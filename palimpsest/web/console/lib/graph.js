/**
 * The graph of a document's versions: from lines and merges to rows and lanes. Pure; it draws nothing and asks nobody.
 *
 * A *line* is what a branch made between being made and being deleted: its versions from `first` to `last`. Every line has a lane of its
 * own for as long as it lasts, and `main` keeps the first. Newest stands on top. A version at which something happens (a line begins
 * or ends there, another starts from it, it merges or is merged, it has a tag) has a row; what lies between is one row, a run.
 */

import { ownEntries } from "./own.js";

export const GRAPH_ROWS_MAX = 2_000;
const RUN_SHORT_VERSIONS = 2;

/**
 * base: the branch and version that it starts from. last < first: it has no version of its own yet.
 *
 * @typedef {[string, number]} Node
 * @typedef {{branch: string, base: Node | null, first: number, last: number, deleted: boolean}} Line
 * @typedef {{into: Node, from: Node}} Join
 * @typedef {{
 *   kind: "version" | "run", key: string, branch: string, line: Line, first: number, last: number, lane: number,
 *   names: string[], tags: string[], merged: Node[], forks: string[], newest: boolean,
 * }} Row `names`: of the branches whose newest version it is; `forks`: of those that start from it.
 * @typedef {{kind: "line" | "fork" | "merge", lane: number, from: {row: number, lane: number}, to: {row: number, lane: number}, deleted: boolean}} Edge
 *   From the newer row down to the older; `lane` is where it runs in between.
 */

/**
 * The lines, merges and tags that the record of a document and the list of its branches tell of.
 *
 * @param {{branch: string, base: Node | null, head: number, deleted: boolean}[]} branches as of `GET /branches/{name}`
 * @param {any} record the value of the document's `$versions`; null where it has none or it may not be read
 * @returns {{lines: Line[], joins: Join[], tags: Map<string, string[]>}}
 */
export function fromRecord(branches, record) {
  const lines = [];
  const joins = [];
  const tags = new Map();
  for (const branch of branches) {
    if (!branch.document?.includes?.("*")) lines.push(lineOf(branch));
  }
  for (const [name, entry] of ownEntries(record)) {
    if (name.startsWith("$")) continue;
    for (const line of entry.lines ?? []) addEnded(lines, name, line);
    for (const [version, sources] of ownEntries(entry.merges)) {
      for (const source of sources) joins.push({ into: [name, Number(version)], from: [source[0], Number(source[1])] });
    }
    for (const [version, given] of ownEntries(entry.tags)) {
      const there = ownEntries(given).filter(([, is]) => is === true).map(([tag]) => tag);
      if (there.length) tags.set(keyOf([name, Number(version)]), there.sort());
    }
  }
  return { lines, joins, tags };
}

/**
 * Which versions of which branches a branch shows: its own, and before these what it starts from.
 *
 * @param {Line[]} lines
 * @param {string} branch
 * @returns {{branch: string, first: number, last: number}[]} newest first
 */
export function segmentsOf(lines, branch) {
  const index = indexOf(lines);
  const segments = [];
  let line = index.get(branch)?.at(-1);
  let last = line?.last ?? 0;
  while (line && segments.length <= lines.length) {
    if (last >= line.first) segments.push({ branch: line.branch, first: line.first, last });
    const base = line.base && resolve(index, line.base);
    line = base?.line;
    last = base?.version ?? 0;
  }
  return segments;
}

/** @param {Node} node */
export function keyOf(node) {
  return `${node[0]}:${node[1]}`;
}

/**
 * @param {Line[]} lines
 * @param {Join[]} joins
 * @param {{tags?: Map<string, string[]>, opened?: Map<string, number>}} [more] opened: how many versions of a run are shown one by one, by
 *   the run's key
 * @returns {{rows: Row[], edges: Edge[], lanes: number, isCut: boolean}}
 */
export function layout(lines, joins, { tags = new Map(), opened = new Map() } = {}) {
  const index = indexOf(lines);
  const found = joins
    .map(({ into, from }) => ({ into: resolve(index, into), from: resolve(index, from), source: from }))
    .filter(({ into, from }) => into && from);
  const stops = stopsOf(lines, index, found, tags);
  const rows = lines.flatMap((line) => rowsOf(line, stops.get(line), opened));
  const at = rowFinder(rows);
  describe(at, lines, index, found, tags);
  const links = linksOf(rows, at, lines, index, found);
  const ordered = newestFirst(rows, links);
  return draw(ordered, links, lines);
}

// --- lines -----------------------------------------------------------------------------------------------------------

function lineOf({ branch, base, head, deleted }) {
  const first = base ? base[1] + 1 : 1;
  return { branch, base: base ?? null, first, last: head, deleted };
}

/** Lines that were deleted are not all in the list of branches, and begin where the record says. */
function addEnded(lines, branch, { base, first, last }) {
  const known = lines.find((line) => line.branch === branch && line.deleted === (last !== undefined && last !== null) && near(line, first, last));
  if (known) known.first = first;
  else if (last !== undefined && last !== null) lines.push({ branch, base: base ?? null, first, last, deleted: true });
}

function near(line, first, last) {
  return last === undefined || last === null || line.last === last || line.first === first;
}

function indexOf(lines) {
  const index = new Map();
  for (const line of lines) index.set(line.branch, [...(index.get(line.branch) ?? []), line]);
  for (const some of index.values()) some.sort((one, other) => one.first - other.first);
  return index;
}

/** The line that made a version, and its number there: a branch's numbers below its first are those of what it starts from. */
function resolve(index, node, depth = 0) {
  if (depth > 100) return null;
  const [branch, version] = node;
  const some = index.get(branch) ?? [];
  const own = some.find((line) => line.first <= version && version <= line.last);
  if (own) return { line: own, version };
  const later = some.find((line) => line.first > version) ?? some[some.length - 1];
  if (!later?.base) return null;
  return resolve(index, [later.base[0], Math.min(version, later.base[1])], depth + 1);
}

function stopsOf(lines, index, joins, tags) {
  const stops = new Map(lines.map((line) => [line, new Set()]));
  const add = (place) => place && stops.get(place.line).add(place.version);
  for (const line of lines) {
    if (line.last >= line.first) stops.get(line).add(line.first).add(line.last);
    if (line.base) add(resolve(index, line.base));
  }
  for (const { into, from } of joins) {
    add(into);
    add(from);
  }
  for (const key of tags.keys()) add(resolve(index, nodeOf(key)));
  return stops;
}

function nodeOf(key) {
  const at = key.lastIndexOf(":");
  return [key.slice(0, at), Number(key.slice(at + 1))];
}

// --- rows ------------------------------------------------------------------------------------------------------------

/** Newest first. */
function rowsOf(line, stops, opened) {
  const rows = [];
  const sorted = [...stops].sort((one, other) => other - one);
  sorted.forEach((version, at) => {
    rows.push(rowOf("version", line, version, version));
    const next = sorted[at + 1];
    if (next !== undefined && version - next > 1) rows.push(...between(line, next + 1, version - 1, opened));
  });
  return rows;
}

function between(line, first, last, opened) {
  const key = `run ${line.branch}:${first}-${line.deleted ? "deleted" : "live"}`;
  const shown = last - first + 1 <= RUN_SHORT_VERSIONS ? last - first + 1 : Math.min(opened.get(key) ?? 0, last - first + 1);
  const rows = Array.from({ length: shown }, (_, at) => rowOf("version", line, last - at, last - at));
  if (last - shown >= first) rows.push({ ...rowOf("run", line, first, last - shown), key });
  return rows;
}

function rowOf(kind, line, first, last) {
  return {
    kind,
    key: `${line.branch}:${last}${line.deleted ? " deleted" : ""}`,
    branch: line.branch,
    line,
    first,
    last,
    lane: 0,
    names: [],
    tags: [],
    merged: [],
    forks: [],
    newest: kind === "version" && last === line.last,
  };
}

/** Finds the row of a version at which something happens. */
function rowFinder(rows) {
  const byLine = new Map();
  for (const row of rows) {
    if (!byLine.has(row.line)) byLine.set(row.line, new Map());
    if (row.kind === "version") byLine.get(row.line).set(row.first, row);
  }
  return (place) => place && byLine.get(place.line)?.get(place.version);
}

function describe(at, lines, index, joins, tags) {
  for (const line of lines) {
    const base = line.base && at(resolve(index, line.base));
    base?.forks.push(line.branch);
    const head = line.last >= line.first ? at({ line, version: line.last }) : base;
    if (!line.deleted) head?.names.push(line.branch);
  }
  for (const { into, source } of joins) at(into)?.merged.push(source);
  for (const [key, some] of tags) at(resolve(index, nodeOf(key)))?.tags.push(...some);
}

// --- order -----------------------------------------------------------------------------------------------------------

/** From the newer to the older. rows: those of a line stand together, newest first. */
function linksOf(rows, at, lines, index, joins) {
  const links = [];
  for (let place = 0; place + 1 < rows.length; place += 1) {
    if (rows[place].line === rows[place + 1].line) links.push({ kind: "line", newer: rows[place], older: rows[place + 1] });
  }
  for (const line of lines) {
    const first = at({ line, version: line.first });
    const base = line.base && at(resolve(index, line.base));
    if (first && base) links.push({ kind: "fork", newer: first, older: base });
  }
  for (const { into, from } of joins) {
    const newer = at(into);
    const older = at(from);
    if (newer && older && newer !== older) links.push({ kind: "merge", newer, older });
  }
  return links;
}

/** By the length of the longest way back to a beginning: what comes from a version has a longer one, so that it stands above it. */
function newestFirst(rows, links) {
  const parents = new Map(rows.map((row) => [row, []]));
  for (const { newer, older } of links) parents.get(newer).push(older);
  const depths = depthsOf(rows, parents);
  const isMain = (row) => row.branch === "main";
  return [...rows].sort((one, other) => depths.get(other) - depths.get(one) || isMain(other) - isMain(one) || one.branch.localeCompare(other.branch) || other.last - one.last);
}

function depthsOf(rows, parents) {
  const depths = new Map();
  for (const start of rows) {
    const stack = [start];
    while (stack.length) {
      const row = stack[stack.length - 1];
      const waiting = parents.get(row).filter((parent) => !depths.has(parent));
      if (waiting.length) stack.push(...waiting);
      else {
        stack.pop();
        depths.set(row, 1 + Math.max(0, ...parents.get(row).map((parent) => depths.get(parent))));
      }
    }
  }
  return depths;
}

// --- lanes -----------------------------------------------------------------------------------------------------------

function draw(ordered, links, lines) {
  const rows = ordered.slice(0, GRAPH_ROWS_MAX);
  const places = new Map(ordered.map((row, at) => [row, at]));
  const lanes = lanesOf(spansOf(links, lines, places, ordered));
  for (const row of rows) row.lane = lanes.get(row.line) ?? 0;
  const edges = links
    .filter(({ newer }) => places.get(newer) < rows.length)
    .map(({ kind, newer, older }) => ({
      kind,
      // A stroke of a line runs where the line is; so does one that starts it, and one that merges it.
      lane: lanes.get((kind === "merge" ? older : newer).line) ?? 0,
      from: { row: places.get(newer), lane: newer.lane },
      to: { row: Math.min(places.get(older), rows.length), lane: lanes.get(older.line) ?? 0 },
      deleted: newer.line.deleted,
    }));
  const last = Math.max(0, ...edges.map((edge) => edge.lane), ...rows.map((row) => row.lane));
  return { rows, edges, lanes: last + 1, isCut: ordered.length > rows.length };
}

/** Which rows each line takes its lane for: from its newest, or from just below what it is merged into, to what it starts from. */
function spansOf(links, lines, places, ordered) {
  const spans = new Map();
  for (const row of ordered) {
    const at = places.get(row);
    const span = spans.get(row.line) ?? { line: row.line, top: at, bottom: at };
    spans.set(row.line, { line: row.line, top: Math.min(span.top, at), bottom: Math.max(span.bottom, at) });
  }
  for (const { kind, newer, older } of links) {
    const span = spans.get((kind === "merge" ? older : newer).line);
    if (kind === "merge") span.top = Math.min(span.top, places.get(newer) + 0.5);
    if (kind === "fork") span.bottom = Math.max(span.bottom, places.get(older) - 0.5);
  }
  return lines.filter((line) => spans.has(line)).map((line) => spans.get(line));
}

function lanesOf(spans) {
  const lanes = new Map();
  const taken = [];
  const isMain = (span) => span.line.branch === "main" && !span.line.deleted;
  const sorted = [...spans].sort((one, other) => isMain(other) - isMain(one) || one.top - other.top);
  for (const span of sorted) {
    const free = taken.findIndex((some, lane) => (lane > 0 || isMain(span)) && some.every((one) => one.bottom < span.top || span.bottom < one.top));
    const lane = free >= 0 ? free : Math.max(taken.length, isMain(span) ? 0 : 1);
    while (taken.length <= lane) taken.push([]);
    taken[lane].push(span);
    lanes.set(span.line, lane);
  }
  return lanes;
}

/**
 * The drawing of an edge as SVG path data.
 *
 * @param {Edge} edge
 * @param {{row: number, lane: number}} size the height of a row and the width of a lane, in pixels
 */
export function edgePath(edge, size) {
  const x = (lane) => (lane + 0.5) * size.lane;
  const y = (row) => (row + 0.5) * size.row;
  const [x1, y1, x2, y2, mid] = [x(edge.from.lane), y(edge.from.row), x(edge.to.lane), y(edge.to.row), x(edge.lane)];
  const bend = size.row / 2;
  const out = mid === x1 ? "" : `C${x1} ${y1 + bend} ${mid} ${y1 + bend / 2} ${mid} ${y1 + size.row}`;
  const turn = mid === x2 ? "" : `V${Math.max(y2 - size.row, y1)}C${mid} ${y2 - bend / 2} ${x2} ${y2 - bend} ${x2} ${y2}`;
  return `M${x1} ${y1}${out}${turn || `V${y2}`}`;
}
