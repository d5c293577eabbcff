// How the server is: what it does each second, how long that takes, who is behind, and what it takes of the machine.
// It looks at `/status` every so often while somebody looks at the page; what happened between two looks comes from counters.

import { api } from "../lib/api.js";
import { lineChart, niceBytes } from "../lib/chart.js";
import { announce, button, empty, failure, h, loading, replace } from "../lib/dom.js";
import { ago, bytes, duration, moment, number, rough } from "../lib/format.js";
import { quantile, rate, since } from "../lib/observation.js";
import { scrolling } from "../lib/table.js";

const LOOK_SECONDS = 2;
const SUBSCRIBERS_MAX = 20;

const perSecond = (value) => `${rough(value)}/s`;

/** What is drawn: a title, how numbers are said, and for each line its name and what it is between two looks. */
const CHARTS = [
  {
    title: "Work",
    format: perSecond,
    lines: [
      ["updates", (before, now) => rate(before, now, "events")],
      ["requests", (before, now) => requestRate(before, now)],
      ["deliveries", (before, now) => rate(before, now, "deliveries")],
    ],
  },
  {
    title: "Updates: from accepted to durable",
    format: duration,
    lines: [
      ["half within", (before, now) => between(before, now, "update_seconds", 0.5)],
      ["99% within", (before, now) => between(before, now, "update_seconds", 0.99)],
    ],
  },
  {
    title: "Disk: one append to the journal",
    format: duration,
    lines: [
      ["half within", (before, now) => between(before, now, "append_seconds", 0.5)],
      ["99% within", (before, now) => between(before, now, "append_seconds", 0.99)],
    ],
  },
  {
    title: "Not archived yet",
    format: bytes,
    roof: niceBytes,
    lines: [["tail of the journal", gauge("tail_bytes")]],
  },
  {
    title: "Subscriptions",
    format: rough,
    lines: [
      ["all", gauge("subscriptions")],
      ["behind", gauge("behind")],
      ["connections", gauge("connections")],
    ],
  },
  {
    title: "Memory",
    format: bytes,
    roof: niceBytes,
    lines: [
      ["process", gauge("resident_bytes")],
      ["documents awake", gauge("awake_bytes")],
      ["views kept", gauge("view_cache_bytes")],
    ],
  },
];

/** @param {HTMLElement} main @param {any} route @param {AbortSignal} signal */
export async function show(main, route, signal) {
  const state = h("p", { class: "hint" });
  const pause = button("Pause", () => hold(!held), { "aria-pressed": "false" });
  const tiles = h("dl", { class: "tiles" });
  const charts = CHARTS.map((chart) => lineChart({ title: chart.title, series: chart.lines.map(([name]) => name), format: chart.format, roof: chart.roof }));
  const subscribers = h("section", { "aria-labelledby": "behind" });
  const refusals = h("section", { "aria-labelledby": "refusals" });
  const trouble = h("div");
  const content = h("div", { hidden: true }, tiles, h("div", { class: "charts" }, charts.map((chart) => chart.node)), h("div", { class: "columns" }, subscribers, refusals));
  const waiting = loading();
  replace(main, h("header", { class: "page-head" }, h("h1", { tabIndex: -1 }, "Health"), h("div", { class: "actions" }, pause)), state, trouble, waiting, content);

  let held = false;
  let before = null;
  let isOver = false;
  let wake = () => {};
  const hold = (value) => {
    held = value;
    pause.textContent = held ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(held));
    announce(held ? "Paused" : "Live again");
    wake();
  };
  document.addEventListener("visibilitychange", () => wake(), { signal });
  signal.addEventListener("abort", () => wake());

  look();

  async function look() {
    while (!signal.aborted) {
      if (!held && document.visibilityState === "visible") await lookOnce();
      if (isOver) return;
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, LOOK_SECONDS * 1000);
      });
    }
  }

  async function lookOnce() {
    try {
      const { body } = await api.get("/status", { subscribers: SUBSCRIBERS_MAX }, { signal });
      const now = complete(body);
      draw(now);
      before = now;
      replace(trouble);
    } catch (error) {
      if (signal.aborted) return;
      before = null; // what happened meanwhile is not known
      waiting.remove();
      replace(trouble, failure(error));
      isOver = error.status === 403;
    }
  }

  function draw(now) {
    waiting.remove();
    content.hidden = false;
    replace(state, `${now.agent}, up since ${moment(now.started_at)} (${ago(now.started_at)}). One look every ${LOOK_SECONDS} seconds.`);
    replace(tiles, TILES(now).map(([name, value, note]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value, note && h("small", null, note)))));
    charts.forEach((chart, index) => chart.push(new Date(now.at), CHARTS[index].lines.map(([, find]) => find(before, now))));
    replace(subscribers, h("h2", { id: "behind" }, "Who is behind"), behindTable(now));
    replace(refusals, h("h2", { id: "refusals" }, "Refused since the start"), refusalTable(now));
  }
}

/** The numbers at the top: a name, how it is said, and a note. */
const TILES = (now) => [
  ["Updates", number(now.counters.events ?? 0), "since the start"],
  ["Batches", number(now.counters.batches ?? 0), now.counters.batches ? `${rough(now.counters.events / now.counters.batches)} to an fsync` : ""],
  ["Connections", number(now.gauges.connections ?? 0)],
  ["Subscriptions", number(now.gauges.subscriptions ?? 0), now.gauges.behind ? `${number(now.gauges.behind)} behind` : "none behind"],
  ["Not archived", bytes(now.gauges.tail_bytes ?? 0), `${number(now.gauges.tail_events ?? 0)} events`],
  ["Memory", now.gauges.resident_bytes ? bytes(now.gauges.resident_bytes) : "–"],
  ["On disk", bytes(diskBytes(now))],
];

function diskBytes(now) {
  return Object.entries(now.gauges).filter(([name]) => /_(file|wal)_bytes$/.test(name)).reduce((sum, [, value]) => sum + value, 0);
}

function behindTable(now) {
  const rows = [
    ...now.named.map((one) => ({ who: `“${one.name}”`, pattern: one.pattern, branch: one.branch, state: one.workers ? `${number(one.workers)} workers` : "no worker", lag: one.lag, bytes: null })),
    ...now.subscribers.map((one) => ({ who: one.principal || one.client, pattern: one.pattern, branch: one.branch, state: one.state, lag: one.lag, bytes: one.under_way_bytes })),
  ].filter((row) => row.lag > 0 || row.state === "behind");
  if (!rows.length) return empty("Everybody has been sent everything.");
  rows.sort((one, other) => other.lag - one.lag);
  return scrolling("Subscriptions that are behind", h("table", null,
    h("thead", null, h("tr", null, ["who", "documents", "branch", "state"].map(column), numberColumn("events to go"), numberColumn("under way"))),
    h("tbody", null, rows.map((row) => h("tr", null, h("th", { scope: "row" }, row.who), h("td", null, h("code", null, row.pattern)), h("td", null, row.branch), h("td", null, row.state),
      h("td", { class: "number" }, number(row.lag)), h("td", { class: "number" }, row.bytes === null ? "–" : bytes(row.bytes)))))));
}

function refusalTable(now) {
  const found = Object.entries(now.refusals).filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one);
  if (!found.length) return empty("Nothing was refused.");
  return h("table", null, h("thead", null, h("tr", null, column("code"), numberColumn("times"))),
    h("tbody", null, found.map(([code, count]) => h("tr", null, h("th", { scope: "row" }, h("code", null, code)), h("td", { class: "number" }, number(count))))));
}

const column = (name) => h("th", { scope: "col" }, name);
const numberColumn = (name) => h("th", { scope: "col", class: "number" }, name);

function gauge(name) {
  return (before, now) => now.gauges[name] ?? null;
}

function between(before, now, name, share) {
  return before && now.histograms[name] ? quantile(since(before.histograms[name], now.histograms[name]), share) : null;
}

function requestRate(before, now) {
  const all = (look) => ({ at: look.at, counters: { requests: Object.values(look.requests).reduce((sum, count) => sum + count, 0) } });
  return before ? rate(all(before), all(now), "requests") : null;
}

/** Whatever is left out counts as nothing, so that a page is shown for an older server, too. */
function complete(status) {
  const none = { counters: {}, gauges: {}, histograms: {}, requests: {}, refusals: {}, subscribers: [], named: [] };
  return { ...none, ...status };
}
