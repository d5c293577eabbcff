// The graph of versions as a list: strokes for the eye, words for everyone, and the keys of any list.

import { h, svg } from "./dom.js";
import { ago, number, plural } from "./format.js";
import { edgePath } from "./graph.js";
import { virtualList } from "./list.js";

const ROW_PX = 46;
const LANE_PX = 18;
const LANES_SHOWN_MAX = 14;
const LIST_PX_MAX = 620;
const COLOURS = 6;

/**
 * @param {object} options
 * @param {(row: any) => any} options.said what is known of a row's version; undefined: not yet
 * @param {(rows: any[]) => void} options.want which rows are in view
 * @param {(row: any) => void} options.onSelect
 * @returns {{element: HTMLElement, update: (graph: ReturnType<typeof import("./graph.js").layout>) => void, refresh: () => void, select: (key: string) => void}}
 */
export function graphView({ said, want, onSelect }) {
  let graph = { rows: [], edges: [], lanes: 1, isCut: false };
  const source = {
    get count() {
      return graph.rows.length;
    },
    isComplete: true,
    onChange: null,
    item: (index) => graph.rows[index],
    want: (first, last) => want(graph.rows.slice(first, last + 1)),
  };
  const list = virtualList({ label: "Versions of all branches, newest first", source, rowHeight: ROW_PX, render, onSelect, stamp: (index) => [said(graph.rows[index]), graph] });

  function render(row, index) {
    return h("span", { class: "graph-row" }, strokes(graph, index), h("span", { class: "graph-words" }, headOf(row), h("span", { class: "graph-why faint clip" }, whyOf(row, said(row)))));
  }

  return {
    element: list.element,
    update(next) {
      graph = next;
      const box = list.element.querySelector(".list");
      if (box instanceof HTMLElement) box.style.height = `${Math.min(LIST_PX_MAX, graph.rows.length * ROW_PX + 2)}px`;
      list.refresh();
    },
    refresh: list.refresh,
    select: (key) => {
      const index = graph.rows.findIndex((row) => row.key === key);
      if (index >= 0) list.select(index);
    },
  };
}

function headOf(row) {
  if (row.kind === "run") return h("span", { class: "graph-head faint" }, `${plural(row.last - row.first + 1, "version")} of ${row.branch}, ${number(row.first)} to ${number(row.last)}`);
  return h("span", { class: "graph-head" },
    h("span", { class: "graph-node" }, `${row.branch}:${row.last}`),
    row.names.map((name) => h("span", { class: "badge accent" }, `${name}: newest`)),
    row.line.deleted && h("span", { class: "badge" }, "deleted branch"),
    row.merged.length > 0 && h("span", { class: "badge" }, `merges ${row.merged.map((node) => node.join(":")).join(", ")}`),
    row.forks.map((name) => h("span", { class: "badge" }, `${name} starts`)),
    row.tags.map((tag) => h("span", { class: "tag" }, tag)));
}

function whyOf(row, version) {
  if (row.kind === "run") return "Enter shows the newest of them";
  if (version === undefined) return "…";
  if (version === null) return row.line.deleted ? "" : "not kept";
  return [version.by, ago(version.at), version.description].filter(Boolean).join(" · ");
}

/** What of the drawing lies in one row. */
function strokes({ rows, edges, lanes }, index) {
  const width = (Math.min(lanes, LANES_SHOWN_MAX) + 0.5) * LANE_PX;
  const row = rows[index];
  const shown = (lane) => Math.min(lane, LANES_SHOWN_MAX - 1);
  const paths = edges
    .filter((edge) => edge.from.row <= index && index <= edge.to.row)
    .map((edge) => ({ ...edge, lane: shown(edge.lane), from: { ...edge.from, lane: shown(edge.from.lane) }, to: { ...edge.to, lane: shown(edge.to.lane) } }));
  const x = (shown(row.lane) + 0.5) * LANE_PX;
  const y = (index + 0.5) * ROW_PX;
  return svg("svg", { class: "graph-strokes", "aria-hidden": "true", width, height: ROW_PX, viewBox: `0 ${index * ROW_PX} ${width} ${ROW_PX}` },
    paths.map((edge) => svg("path", { class: ["stroke", edge.kind, `colour-${edge.lane % COLOURS}`, edge.deleted && "deleted"], d: edgePath(edge, { row: ROW_PX, lane: LANE_PX }) })),
    row.kind === "run"
      ? [-6, 0, 6].map((off) => svg("circle", { class: ["dot-run", `colour-${shown(row.lane) % COLOURS}`], cx: x, cy: y + off, r: 2 }))
      : row.merged.length
        ? svg("rect", { class: ["dot-version", `colour-${shown(row.lane) % COLOURS}`], x: x - 5, y: y - 5, width: 10, height: 10, transform: `rotate(45 ${x} ${y})` })
        : svg("circle", { class: ["dot-version", `colour-${shown(row.lane) % COLOURS}`, row.newest && "newest"], cx: x, cy: y, r: row.newest ? 6 : 5 }));
}
