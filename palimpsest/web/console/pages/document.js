// One document: where it stands, as whom and when it is looked at, and its tabs.

import { api, documentPath, idempotencyKey } from "../lib/api.js";
import { button, dialog, failure, field, h, loading, replace, select, time, toast } from "../lib/dom.js";
import { ago, moment, number } from "../lib/format.js";
import { liveDocument } from "../lib/live.js";
import { documentHref, go, pageHref, TABS } from "../lib/router.js";

const TAB_WORDS = { value: "Value", time: "Time", diff: "Diff", blame: "Blame", branches: "Branches" };

/**
 * What a tab is told.
 * @typedef {object} Context
 * @property {string} name
 * @property {string} branch
 * @property {string|null} perspective through which is looked; with a level, it is a family
 * @property {number|null} level
 * @property {string|null} role whose view it is, where a role was chosen
 * @property {Record<string, any>} view what a request says to see the same: branch, perspective or family and level
 * @property {number|null} version the newest one; null where there is none to be seen
 * @property {Record<string, any>} place the version, time or tag that is looked at; empty: the newest
 * @property {any} document the envelope that was read: {document, branch, version, kind, at, by, description, tags, value}; null where there is none
 * @property {URLSearchParams} params of the address
 * @property {() => void} refresh reads everything anew
 * @property {(document: any) => void} arrived the document is known to be another one by now, as from an answer to a write
 * @property {(listener: (change: any, document: any) => void, signal: AbortSignal) => void} onChange tells each change of the newest version, as it is seen
 *   here, with the envelope after it, null once the document is deleted. Nothing is told where the past is looked at.
 * @property {(params: Record<string, any>) => string} href the address of this tab with other params
 */

/** @param {HTMLElement} main @param {import("../lib/router.js").Route} route @param {AbortSignal} signal */
export async function show(main, route, signal) {
  const name = route.name ?? "";
  const head = h("div", { class: "document-head" });
  const title = h("h1", null, name);
  const status = h("div", { class: "cluster" });
  const why = h("p", { class: "document-why" });
  const removing = button("Delete…", remove, { class: "small", id: "delete-document", hidden: true });
  const choices = h("div", { class: "document-choices" });
  const tabs = h("nav", { class: "tabs", "aria-label": "Views of this document" });
  const panel = h("div", { class: "stack", id: "panel" });
  replace(main, head, choices, tabs, panel);
  replace(head, crumbs(name), h("div", { class: "document-title" }, title, status, h("div", { class: "actions push" }, removing)), why);

  let current = route;
  let leaving = new AbortController();
  let reading = null;
  let choosing = null;
  let newest = null;
  let drawing = 0;

  async function open(next) {
    const isOtherPlace = !reading || placeKey(current.params) !== placeKey(next.params);
    current = next;
    leaving.abort();
    leaving = new AbortController();
    const tabSignal = AbortSignal.any([signal, leaving.signal]);
    drawTabs();
    if (isOtherPlace) {
      replace(panel, loading());
      reading = read();
    }
    choosing ??= drawChoices();
    let found = null;
    try {
      found = await reading;
      if (!tabSignal.aborted) await openTab(found, tabSignal);
    } catch (error) {
      if (tabSignal.aborted) return;
      if (!found) drawUnread(error);
      replace(panel, failure(error, () => open(current), { isSeen: found !== null }));
    }
  }

  /** The document itself could not be read, whatever tab is open. */
  function drawUnread(error) {
    reading = null;
    removing.hidden = true;
    replace(status, error.status === 403 ? h("span", { class: "badge warn" }, "not for you") : h("span", { class: "badge bad" }, "cannot be read"));
    replace(why);
  }

  /** @returns {Promise<{view: any, place: any, document: any}>} document: null where there is none to be seen */
  async function read() {
    const view = await viewOf(name, current.params, signal);
    const place = placeOf(current.params);
    if (view.refused) return { view, place, document: null };
    try {
      const { body } = await api.get(documentPath(name), { ...view.params, ...place, envelope: true }, { signal });
      return { view, place, document: body };
    } catch (error) {
      if (error.status !== 404) throw error;
      return { view, place, document: null };
    }
  }

  async function openTab(found, tabSignal) {
    const { view, place } = found;
    newest = found.document;
    drawHead(newest);
    if (view.refused) return replace(panel, h("div", { class: "notice warn" }, h("p", null, view.refused)));
    const tab = current.tab ?? "value";
    if (!found.document && tab === "value") return replace(panel, notThere(name, current));
    const module = await load(tab);
    if (tabSignal.aborted) return;
    const listeners = new Set();
    const context = contextOf(found, listeners);
    const isPast = Object.keys(place).length > 0;
    markLive("");
    const live = isPast ? null : liveDocument({
      name, document: found.document, view: view.params, signal: tabSignal,
      onState: (word) => { markLive(word === "lost" || word === "disconnected" ? "no connection, trying again" : ""); },
      onEnd: (problem) => { if (problem.status !== 403) unfollowed(problem); }, // who may not follow still may read
      onChange: (document, change) => {
        arrived(context, found, document);
        for (const listener of [...listeners]) listener(change, document);
      },
    });
    context.arrived = (document) => { live?.set(document); arrived(context, found, document); };
    replace(panel);
    await module.show(panel, context, tabSignal);
  }

  function arrived(context, found, document) {
    found.document = document;
    context.document = document;
    context.version = document?.version ?? null;
    newest = document;
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      if (!signal.aborted) drawHead(newest);
    });
  }

  function unfollowed(problem) {
    markLive(problem.message); // the message beside it goes by itself; that this is not the newest one has to stay
    toast(`The document is not followed any more: ${problem.message}`, { kind: "bad", action: { label: "Follow again", run: refresh } });
  }

  function refresh() {
    reading = null;
    choosing = null;
    open(current);
  }

  /** @returns {Context} */
  function contextOf({ view, place, document }, listeners) {
    return {
      name, branch: view.params.branch, perspective: view.params.perspective ?? view.params.family ?? null, level: view.params.level ?? null, role: view.role,
      view: view.params, version: document?.version ?? null, place, document, params: current.params, refresh, arrived: () => {},
      onChange: (listener, listenerSignal) => {
        listeners.add(listener);
        listenerSignal.addEventListener("abort", () => listeners.delete(listener), { once: true });
      },
      href: (params) => documentHref(name, { tab: current.tab, ...keptParams(current.params), ...params }),
    };
  }

  const liveMark = h("span", { class: "badge warn", hidden: true });

  /** @param {string} why the document is not followed now; empty: it is */
  function markLive(why) {
    liveMark.hidden = !why;
    replace(liveMark, h("span", { class: "dot hollow", "aria-hidden": "true" }), `not live: ${why}`);
  }

  function drawHead(document) {
    removing.hidden = !document;
    if (!document) {
      replace(status, h("span", { class: "badge warn" }, "not there"));
      return replace(why);
    }
    const place = placeOf(current.params);
    const isPast = Object.keys(place).length > 0;
    replace(status,
      h("span", { class: "badge accent", id: "version" }, `version ${number(document.version)}`),
      document.branch !== "main" && h("span", { class: "badge" }, `branch ${document.branch}`),
      isPast && h("span", { class: "badge warn" }, "as it was"),
      document.tags.map((tag) => h("span", { class: "badge" }, `# ${tag}`)), liveMark);
    replace(why, h("strong", null, document.by ?? "Somebody"), " ", time(document.at, `${ago(document.at)}, ${moment(document.at)}`), document.description && `: ${document.description}`);
  }

  function drawTabs() {
    replace(tabs, TABS.map((tab) => h("a", { href: documentHref(name, { tab, ...keptParams(current.params) }), "aria-current": tab === (current.tab ?? "value") ? "page" : undefined }, TAB_WORDS[tab])));
  }

  async function drawChoices() {
    const [branches, views] = await Promise.all([branchNames(name, signal), viewNames(signal)]);
    if (signal.aborted) return;
    const choose = (params) => go(documentHref(name, { tab: current.tab, ...keptParams(current.params), ...params }));
    const branch = current.params.get("branch") || "main";
    const branchSelect = select([...new Set(["main", branch, ...branches])], branch, { onchange: () => choose({ branch: branchSelect.value === "main" ? "" : branchSelect.value, version: "", at: "", tag: "" }) });
    const seen = h("select", { onchange: () => choose(seenParams(seen.value)) }, seenOptions(views, seenValue(current.params)));
    const place = field("As of", placeInput(current.params, choose), { hint: "Empty: now. Or a version, a tag, or a time." });
    replace(choices, field("Branch", branchSelect), field("See it as", seen), place);
  }

  async function remove() {
    const found = await reading?.catch(() => null);
    if (!found?.document) return toast("There is nothing here to be deleted.");
    const reason = h("input", { autocomplete: "off" });
    const key = idempotencyKey();
    const { document } = found;
    const done = await dialog(`Delete ${name}?`, [
      h("p", null, `The document goes${document.branch === "main" ? "" : ` from the branch ${document.branch}`}; its history stays, and it can be had back from there.`),
      h("p", { class: "soft" }, `Only if it is still at version ${number(document.version)}.`), field("Why", reason)],
    { confirm: "Delete it", danger: true, onConfirm: () => api.send("DELETE", documentPath(name), { params: { branch: document.branch, description: reason.value.trim() }, headers: { "If-Match": `"${document.version}"`, "Idempotency-Key": key } }) });
    if (!done) return;
    toast(`${name} was deleted.`, { kind: "good" });
    go(pageHref("documents"));
  }

  await open(route);
  return async (next) => {
    if (next.name !== name) return false;
    const isOtherView = placeKey(current.params) !== placeKey(next.params);
    if (isOtherView) choosing = null;
    await open(next);
    return true;
  };
}

async function load(tab) {
  try {
    return await import(`../tabs/${tab}.js`);
  } catch (error) {
    throw new Error(`The tab “${TAB_WORDS[tab] ?? tab}” could not be loaded: ${error.message}`);
  }
}

function crumbs(name) {
  const segments = name.split("/");
  const links = segments.slice(0, -1).map((segment, at) => h("li", null, h("a", { href: pageHref("documents", { find: `${segments.slice(0, at + 1).join("/")}/**` }) }, segment)));
  return h("nav", { class: "crumbs", "aria-label": "Where it lies" }, h("ol", null, h("li", null, h("a", { href: pageHref("documents") }, "Documents")), links, h("li", { "aria-current": "page" }, segments[segments.length - 1])));
}

function notThere(name, route) {
  return h("div", { class: "empty" }, h("p", null, `There is no ${name}${route.params.get("branch") ? ` on the branch ${route.params.get("branch")}` : ""} to be seen here.`),
    h("p", null, "It may have been deleted: its history is still there."),
    h("p", null, h("a", { class: "button", href: documentHref(name, { tab: "time", branch: route.params.get("branch") }) }, "Look at its past"), " ", h("a", { class: "button", href: pageHref("documents") }, "All documents")));
}

/** What the address says of the view: whom, which branch, when. */
const VIEW_PARAMS = ["branch", "perspective", "family", "level", "role"];
const PLACE_PARAMS = ["version", "at", "tag"];

function keptParams(params) {
  return Object.fromEntries([...VIEW_PARAMS, ...PLACE_PARAMS].map((key) => [key, params.get(key) ?? ""]));
}

function placeKey(params) {
  return JSON.stringify(keptParams(params));
}

/** @param {URLSearchParams} params @returns {Record<string, string>} */
function placeOf(params) {
  return Object.fromEntries(PLACE_PARAMS.filter((key) => params.get(key)).map((key) => [key, params.get(key)]));
}

/** What a request says to see the same. Of a role, the gateway says through what it reads. */
async function viewOf(name, params, signal) {
  const branch = params.get("branch") || "main";
  const role = params.get("role");
  if (role) return roleView(name, role, branch, signal);
  const [perspective, family, level] = ["perspective", "family", "level"].map((key) => params.get(key) || undefined);
  return { role: null, params: { branch, perspective, family, level: level && Number(level) } };
}

async function roleView(name, role, branch, signal) {
  const { body } = await api.get(`/roles/${encodeURIComponent(role)}/view`, { document: name }, { signal });
  if (!body.actions.includes("read")) return { role, params: { branch }, refused: `Someone who has only the role “${role}” does not see this document.` };
  const seen = body.perspective === null ? {} : body.level === null ? { perspective: body.perspective } : { family: body.perspective, level: body.level };
  return { role, params: { branch, ...seen } };
}

async function branchNames(name, signal) {
  try {
    const items = await api.all(documentPath(name, "/branches"), {}, { signal, items_max: 1_000 });
    return items.filter((item) => !item.deleted).map((item) => item.branch).sort();
  } catch {
    return []; // one may not see branches; the one that is shown stays
  }
}

async function viewNames(signal) {
  let isRefused = false;
  const [perspectives, roles] = await Promise.all(["/perspectives", "/roles"].map((path) => api.all(path, {}, { signal, items_max: 1_000 }).catch((error) => {
    isRefused ||= error.status === 403;
    return [];
  })));
  return { perspectives, roles, isRefused };
}

/** A perspective of a family is chosen as a level of it, which shows what the levels below it show, too. */
function seenOptions({ perspectives, roles, isRefused }, value) {
  const option = (key, words) => h("option", { value: key, selected: key === value }, words);
  const named = perspectives.map((one) => (one.family ? option(`family:${one.level}:${one.family}`, `${one.family}, level ${one.level} (${one.name})`) : option(`perspective:${one.name}`, one.name)));
  // Who may not read roles sees through one that may show a part only.
  const shown = [option("", isRefused ? "what you may see" : "the whole document")];
  if (named.length) shown.push(h("optgroup", { label: "Perspectives" }, named));
  if (roles.length) shown.push(h("optgroup", { label: "Someone with the role" }, roles.map((role) => option(`role:${role.name}`, role.name))));
  const known = new Set([...perspectives.map((one) => (one.family ? `family:${one.level}:${one.family}` : `perspective:${one.name}`)), ...roles.map((role) => `role:${role.name}`), ""]);
  if (!known.has(value)) shown.push(option(value, value.replace(/^\w+:/, "")));
  return shown;
}

function seenValue(params) {
  if (params.get("role")) return `role:${params.get("role")}`;
  if (params.get("family")) return `family:${params.get("level") ?? 1}:${params.get("family")}`;
  return params.get("perspective") ? `perspective:${params.get("perspective")}` : "";
}

function seenParams(value) {
  const none = { role: "", perspective: "", family: "", level: "" };
  const [kind, ...rest] = value.split(":");
  if (kind === "family") return { ...none, level: rest[0], family: rest.slice(1).join(":") };
  return kind ? { ...none, [kind]: rest.join(":") } : none;
}

/** One input for a version (digits), a time (a date to begin with) or a tag. */
function placeInput(params, choose) {
  const shown = PLACE_PARAMS.map((key) => params.get(key)).find(Boolean) ?? "";
  const input = h("input", { value: shown, placeholder: "now", autocomplete: "off", spellcheck: false });
  input.addEventListener("change", () => choose({ version: "", at: "", tag: "", ...placeSaid(input.value.trim()) }));
  return input;
}

/** @param {string} text @returns {Record<string, string>} */
export function placeSaid(text) {
  if (!text || text === "now") return {};
  if (/^\d+$/.test(text)) return { version: text };
  const isTime = /^\d{4}-\d{2}-\d{2}/.test(text) && !Number.isNaN(Date.parse(text));
  return isTime ? { at: /(Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : new Date(text).toISOString() } : { tag: text };
}
