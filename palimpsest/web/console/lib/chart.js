/** Small live line charts: an SVG for the eye, the newest numbers as text, and a table for who wants them one by one. */

import { h, replace, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;
const POINTS_MAX = 180;
const TABLE_ROWS_MAX = 12;

/**
 * A number that is at least `highest` and that people like to read on an axis: 1, 2 or 5 times a power of ten.
 * @param {number} highest
 */
export function niceMaximum(highest) {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= highest) ?? 10 * power;
}

/** As `niceMaximum`, for bytes: a power of two. @param {number} highest */
export function niceBytes(highest) {
  return highest > 0 ? 2 ** Math.ceil(Math.log2(highest)) : 1024;
}

/**
 * The `points` of a polyline. A null is a gap: it parts the line in two.
 * @param {(number|null)[]} values @param {number} maximum
 * @returns {string[]} one text for each unbroken part
 */
export function linePoints(values, maximum) {
  const step = WIDTH / (POINTS_MAX - 1);
  const start = POINTS_MAX - values.length;
  const parts = [[]];
  values.forEach((value, index) => {
    if (value === null) {
      parts.push([]);
      return;
    }
    const y = HEIGHT - (Math.min(value, maximum) / maximum) * HEIGHT;
    parts.at(-1).push(`${((start + index) * step).toFixed(1)},${y.toFixed(1)}`);
  });
  return parts.filter((part) => part.length > 0).map((part) => part.join(" "));
}

/**
 * @param {{title: string, series: string[], format: (value: number) => string, roof?: (highest: number) => number}} options
 *   series: names, at most three. roof: how high the chart is, for the highest number.
 * @returns {{node: HTMLElement, push: (at: Date, values: (number|null)[]) => void}} push: one number a series; null: unknown.
 */
export function lineChart({ title, series, format, roof = niceMaximum }) {
  /** @type {{at: Date, values: (number|null)[]}[]} */
  const points = [];
  const lines = svg("g", { class: "chart-lines" });
  const grid = svg("g", { class: "chart-grid" });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart-picture", role: "img" },
    grid,
    lines,
  );
  for (const share of [0, 0.5, 1]) {
    grid.append(svg("line", { x1: 0, x2: WIDTH, y1: share * HEIGHT, y2: share * HEIGHT }));
  }
  const top = h("span", { class: "chart-top" });
  const newest = series.map(() => h("span", { class: "chart-value" }, "–"));
  const legend = h(
    "dl",
    { class: "chart-legend" },
    series.map((name, index) =>
      h("div", { class: `chart-series chart-series-${index}` }, h("dt", {}, name), h("dd", {}, newest[index])),
    ),
  );
  const rows = h("tbody", {});
  const table = h(
    "details",
    { class: "chart-table" },
    h("summary", {}, `${title} as a table`),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "time"), series.map((name) => h("th", { scope: "col" }, name)))),
      rows,
    ),
  );
  table.addEventListener("toggle", drawTable);
  const node = h("figure", { class: "chart" }, h("figcaption", {}, title, top), picture, legend, table);

  const say = (value) => (value === null ? "–" : format(value));

  function draw() {
    const known = points.flatMap((point) => point.values).filter((value) => value !== null);
    const maximum = roof(Math.max(0, ...known));
    top.textContent = `0 to ${format(maximum)}`;
    lines.replaceChildren(
      ...series.flatMap((_, index) =>
        linePoints(points.map((point) => point.values[index]), maximum).map((text) =>
          svg("polyline", { points: text, class: `chart-line chart-line-${index}`, "vector-effect": "non-scaling-stroke" }),
        ),
      ),
    );
    const last = points.at(-1);
    series.forEach((_, index) => (newest[index].textContent = say(last.values[index])));
    picture.setAttribute("aria-label", `${title}: ${series.map((name, i) => `${name} ${say(last.values[i])}`).join(", ")}`);
  }

  function drawTable() {
    if (!table.open) return;
    replace(
      rows,
      points
        .slice(-TABLE_ROWS_MAX)
        .reverse()
        .map((point) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, point.at.toLocaleTimeString()),
            point.values.map((value) => h("td", { class: "number" }, say(value))),
          ),
        ),
    );
  }

  return {
    node,
    push(at, values) {
      points.push({ at, values });
      if (points.length > POINTS_MAX) points.shift();
      draw();
      drawTable();
    },
  };
}
