// All documents: found by a pattern, and beside them what changes right now.

import { api, documentPath, events, idempotencyKey } from "../lib/api.js";
import { describe } from "../lib/delta.js";
import { announce, button, dialog, empty, failure, field, h, replace, time, toast } from "../lib/dom.js";
import { clock, number, plural, shorten } from "../lib/format.js";
import { parse } from "../lib/json.js";
import { pagedSource, virtualList } from "../lib/list.js";
import { documentHref, go, note, pageHref } from "../lib/router.js";

const FIRST_PAGE_ITEMS = 100;
const PAGE_ITEMS = 1_000;
const CHANGES_SHOWN_MAX = 100;
/** How far back the newest changes go: the first of these in which there are not more than are shown. In a store busier than that, they begin now. */
const LOOK_BACK_SECONDS = [3_600, 300, 30];
const OPS_SAID_MAX = 3;
const TYPING_MS = 250;

/** @param {HTMLElement} main @param {import("../lib/router.js").Route} route @param {AbortSignal} signal */
export async function show(main, route, signal) {
  let search = { text: route.params.get("find") ?? "", deleted: route.params.get("deleted") === "true" };
  const source = () => namesSource(search, signal);
  const count = h("span", { class: "soft small tabular" });
  const input = h("input", { type: "search", value: search.text, placeholder: "everything", spellcheck: false, autocomplete: "off", autocapitalize: "off" });
  const deleted = h("input", { type: "checkbox", checked: search.deleted });
  const list = virtualList({
    label: "Documents", source: source(), rowHeight: 36, render: nameRow, href: (item) => documentHref(item.document),
    whenEmpty: (from) => nothingFound(from, search), onRefresh: say,
  });
  const changes = changesCard(signal);

  function say(from) {
    replace(count, from.error && from.count ? "some names could not be read" : from.isComplete ? plural(from.count, "document") : from.count ? `${number(from.count)} and more` : "");
  }

  function look() {
    search = { text: input.value.trim(), deleted: deleted.checked };
    note(pageHref("documents", { find: search.text, deleted: search.deleted }));
    list.setSource(source());
    changes.follow(patternOf(search.text));
  }

  let typing = 0;
  const soon = () => { clearTimeout(typing); typing = setTimeout(look, TYPING_MS); };
  signal.addEventListener("abort", () => clearTimeout(typing));
  const form = h("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); clearTimeout(typing); look(); } },
    field("Find documents", input, { hint: "A name, or a pattern: notes/* is one level, notes/** any depth. The server's own are below $system/." }),
    field("Deleted ones, too", deleted));
  input.addEventListener("input", soon);
  deleted.addEventListener("change", look);

  replace(main,
    h("div", { class: "page-head" }, h("h1", null, "Documents"), count, h("div", { class: "actions" }, button("New document", () => create(search.text), { class: "primary" }))),
    form,
    h("div", { class: "columns wide-left" },
      h("section", { class: "card flush", "aria-label": "Documents found" }, list.element),
      changes.element));
  changes.follow(patternOf(search.text));
}

/** What someone types, as a pattern: a name without `*` stands for what is below it, too. @param {string} text @returns {string} */
export function patternOf(text) {
  const clean = text.replace(/^\/+/, "");
  if (!clean) return "**";
  if (clean.includes("*")) return clean;
  return `${clean.replace(/\/+$/, "")}/**`;
}

/** Names that match; where no pattern was typed, the document of exactly that name comes first. */
function namesSource({ text, deleted }, signal) {
  const exact = text && !text.includes("*") && !text.endsWith("/") ? text : null;
  return pagedSource(async (next) => {
    if (next) return (await api.next(next, { signal })).body;
    const asked = [api.get("/documents", { pattern: patternOf(text), deleted, limit: FIRST_PAGE_ITEMS }, { signal })];
    if (exact) asked.push(api.get("/documents", { pattern: exact, deleted, limit: 1 }, { signal }));
    const [page, one] = await Promise.all(asked);
    return { items: [...(one?.body.items ?? []), ...page.body.items], next: page.body.next && withLimit(page.body.next) };
  });
}

/** The first page is small, so that it is there at once; the others are not. */
function withLimit(next) {
  const url = new URL(next, location.origin);
  url.searchParams.set("limit", String(PAGE_ITEMS));
  return url.pathname + url.search;
}

function nameRow(item) {
  const at = item.document.lastIndexOf("/") + 1;
  return h("span", { class: "clip mono", title: item.document }, h("span", { class: "name-dim" }, item.document.slice(0, at)), item.document.slice(at));
}

function nothingFound(source, search) {
  if (source.error) return [failure(source.error, () => source.want(0, 0)), source.error.status === 403 && h("p", { class: "hint" }, "You may have a right to some of them: say above which, such as people/**.")];
  if (!source.isComplete) return h("p", { class: "loading", role: "status" }, "Loading…");
  if (!search.text) return empty("There are no documents yet.", button("Make the first one", () => create("")));
  return empty(`No document matches “${search.text}”.`, button(`Make “${shorten(search.text, 40)}”`, () => create(search.text), { disabled: search.text.includes("*") }));
}

/** @param {AbortSignal} signal of the page */
function changesCard(signal) {
  const rows = h("ol", { class: "changes", "aria-label": "Newest changes, newest first", tabindex: "0" });
  const state = h("span", { class: "badge" }, "…");
  const none = h("p", { class: "empty" }, "Nothing was changed lately. What changes from now on appears here.");
  const pause = button("Pause", () => (paused ? go_on() : stop()), { class: "small", "aria-pressed": "false" });
  const element = h("section", { class: "card flush", "aria-labelledby": "newest" },
    h("div", { class: "card-head" }, h("h2", { id: "newest" }, "Newest changes"), state, h("div", { class: "actions" }, pause)), none, rows);
  let following = new AbortController();
  let pattern = "**";
  let paused = false;
  let waiting = [];
  let frame = 0;

  function follow(other) {
    pattern = other;
    following.abort();
    if (paused) return;
    followSince(0);
  }

  /** @param {number} attempt at looking back: each is tried where the one before it found too much, or was refused */
  function followSince(attempt) {
    following.abort();
    following = new AbortController();
    waiting = [];
    replace(rows);
    none.hidden = false;
    const seconds = LOOK_BACK_SECONDS[attempt];
    const from = seconds === undefined ? { start: "now" } : { from_time: new Date(Date.now() - seconds * 1000).toISOString() };
    let isLive = seconds === undefined;
    let left = CHANGES_SHOWN_MAX;
    events({ pattern, ...from }, {
      signal: AbortSignal.any([signal, following.signal]),
      onChange: (change) => {
        if (isLive) return take(change, true);
        if (left-- > 0) return take(change, false);
        followSince(attempt + 1);
        throw new Error("more was changed than is shown"); // what has been sent already is not taken either
      },
      onState: (word) => {
        isLive ||= word === "live";
        tell(word);
      },
      onEnd: (problem) => (isLive ? ended(problem) : followSince(LOOK_BACK_SECONDS.length)), // one may follow, and not look back
    }).catch((error) => console.warn("the feed failed:", error));
  }

  function stop() {
    paused = true;
    following.abort();
    pause.setAttribute("aria-pressed", "true");
    tell("paused");
  }

  function go_on() {
    paused = false;
    pause.setAttribute("aria-pressed", "false");
    follow(pattern);
  }

  // A busy store changes faster than anybody reads: what came between two frames is shown at once, and of that only the newest.
  function take(change, isNew) {
    waiting.push({ change, isNew });
    if (waiting.length > CHANGES_SHOWN_MAX) waiting.shift();
    frame ||= requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (!waiting.length) return; // they were taken back meanwhile
    none.hidden = true;
    rows.prepend(...waiting.reverse().map(({ change, isNew }) => changeRow(change, isNew)));
    waiting = [];
    while (rows.children.length > CHANGES_SHOWN_MAX) rows.lastElementChild.remove();
  }

  function tell(word) {
    const [kind, words] = STATES[word] ?? ["", word];
    state.className = `badge ${kind}`;
    replace(state, h("span", { class: ["dot", kind !== "good" && "hollow"], "aria-hidden": "true" }), words);
  }

  function ended(problem) {
    const isRefused = problem.status === 403;
    tell(isRefused ? "refused" : "over");
    none.hidden = false;
    replace(none, isRefused ? "You have no right to follow these documents." : problem.message);
  }

  return { element, follow };
}

const STATES = {
  connecting: ["", "connecting"], open: ["good", "live"], live: ["good", "live"], current: ["good", "live"], reconnected: ["good", "live"],
  snapshot: ["", "catching up"], behind: ["warn", "catching up"], lost: ["warn", "no connection, trying again"], disconnected: ["warn", "no connection, trying again"],
  paused: ["", "paused"], over: ["bad", "over"], refused: ["", "not live"],
};

function changeRow(change, isNew) {
  const ops = change.delta ?? [];
  const words = change.kind === "update" ? ops.slice(0, OPS_SAID_MAX).map(describe).join("; ") + (ops.length > OPS_SAID_MAX ? `; and ${plural(ops.length - OPS_SAID_MAX, "more op", "more ops")}` : "") : `${change.kind}d`;
  return h("li", { class: ["change", isNew && "new"] },
    h("div", { class: "change-head" },
      h("a", { class: "clip mono", href: documentHref(change.document, { branch: change.branch === "main" ? "" : change.branch }), title: change.document }, change.document),
      h("span", { class: "badge" }, `version ${number(change.version)}`),
      h("span", { class: "faint small nowrap push" }, time(change.at, clock(change.at)))),
    h("div", { class: "small clip" }, h("span", { class: "soft" }, change.by ?? "somebody"), change.description && `: ${change.description}`),
    h("div", { class: "change-what" }, shorten(words, 160)));
}

async function create(suggestion) {
  const name = h("input", { value: suggestion.includes("*") ? "" : suggestion, required: true, spellcheck: false, autocomplete: "off", autocapitalize: "off", class: "code" });
  const value = h("textarea", { class: "code", spellcheck: false, rows: 8, value: "{}" });
  const why = h("input", { autocomplete: "off" });
  const [nameField, valueField] = [field("Name", name, { hint: "Levels are parted by /, such as sessions/42." }), field("Value, as JSON", value)];
  const key = idempotencyKey();

  async function confirm() {
    nameField.fail("");
    valueField.fail("");
    let body;
    try {
      body = parse(value.value);
    } catch (error) {
      valueField.fail(error.message);
      throw new Error("The value is no JSON.");
    }
    await api.send("PUT", documentPath(name.value.trim()), { body, params: { description: why.value.trim() }, headers: { "If-None-Match": "*", "Idempotency-Key": key } });
  }

  const done = await dialog("New document", [nameField, valueField, field("Why", why, { hint: "Kept with the version, for whoever reads its history." })],
    { confirm: "Create", wide: true, ready: () => name.value.trim() !== "" && value.value.trim() !== "", onConfirm: confirm });
  if (!done) return;
  toast(`${name.value.trim()} was created.`, { kind: "good" });
  announce(`${name.value.trim()} was created.`);
  go(documentHref(name.value.trim()));
}
