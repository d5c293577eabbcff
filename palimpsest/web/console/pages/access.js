// Who sees what: perspectives and roles, edited with a live look at what a reader gets, and the tokens of those who come.

import { api, documentPath } from "../lib/api.js";
import { button, dialog, empty, failure, field, h, loading, replace, time, toast } from "../lib/dom.js";
import { stringify } from "../lib/json.js";
import { moment } from "../lib/format.js";
import { perspectiveForm } from "../lib/perspectiveform.js";
import { roleForm } from "../lib/roleform.js";
import { documentHref, go, pageHref } from "../lib/router.js";
import { namedTable } from "../lib/table.js";

const PARTS = { perspectives: "Perspectives", roles: "Roles", tokens: "Tokens" };
const PREVIEW_DELAY_MS = 250;
const NAMES_MAX = 200;

/** @param {HTMLElement} main @param {any} route `perspectives/NAME`, `roles/NAME`, `tokens`, … as its id @param {AbortSignal} signal */
export async function show(main, route, signal) {
  const [part, ...rest] = (route.id ?? "perspectives").split("/");
  const name = rest.join("/");
  const shown = part in PARTS ? part : "perspectives";
  const content = h("div", null, loading());
  replace(main,
    h("header", { class: "page-head" }, h("h1", null, name ? `${PARTS[shown].slice(0, -1)} ${name === "+" ? "(new)" : name}` : "Access")),
    h("nav", { class: "tabs", "aria-label": "Access" }, Object.entries(PARTS).map(([key, label]) => h("a", { href: pageHref(`access/${key}`), "aria-current": key === shown ? "page" : null }, label))),
    content);
  const pages = {
    perspectives: () => (name ? editPerspective(content, name, signal) : listPerspectives(content, signal)),
    roles: () => (name ? editRole(content, name, signal) : listRoles(content, signal)),
    tokens: () => listTokens(content, signal),
  };
  const open = async () => {
    try {
      await pages[shown]();
    } catch (error) {
      if (!signal.aborted) replace(content, failure(error, open));
    }
  };
  await open();
}

// --- lists ---------------------------------------------------------------------------------------------------------

async function listPerspectives(content, signal) {
  const items = await api.all("/perspectives", {}, { signal });
  replace(content, more("New perspective", "access/perspectives/+"), items.length ? namedTable("Perspectives", ["name", "documents", "family and level", "note"], items.map((one) => [
    h("a", { href: pageHref(`access/perspectives/${one.name}`) }, one.name), code(one.documents ?? "**"), one.family ? `${one.family}, level ${one.level}` : "", one.description ?? "",
  ])) : empty("There is no perspective: documents are seen as they are."));
}

async function listRoles(content, signal) {
  const items = await api.all("/roles", {}, { signal });
  replace(content, h("p", { class: "hint" }, "The role admin is always there, and may do everything."), more("New role", "access/roles/+"), items.length ? namedTable("Roles", ["name", "grants", "note"], items.map((one) => [
    h("a", { href: pageHref(`access/roles/${one.name}`) }, one.name), h("ul", { class: "plain" }, (one.grants ?? []).map((grant) => h("li", null, grantInWords(grant)))), one.description ?? "",
  ])) : empty("There is no other role."));
}

async function listTokens(content, signal) {
  const items = await api.all("/tokens", {}, { signal });
  const rows = items.map((one) => [
    code(one.id), one.principal, one.roles.join(", "), one.certificate ?? "", time(one.created_at, moment(one.created_at)), one.expires_at ? time(one.expires_at, moment(one.expires_at)) : "never", one.description ?? "",
    button("Revoke", () => revoke(one, again), { class: "quiet", "aria-label": `Revoke the token ${one.id} of ${one.principal}` }),
  ]);
  const again = () => listTokens(content, signal);
  replace(content,
    h("div", { class: "actions" }, button("New token", () => createToken(items.length === 0, again, signal), { class: "primary" })),
    items.length ? namedTable("Tokens", ["id", "who", "roles", "certificate", "made", "ends", "note", "actions"], rows) : empty("There is no token: whoever reaches this server may do everything."));
}

async function createToken(isFirst, again, signal) {
  const names = ["admin", ...(await api.all("/roles", {}, { signal })).map((one) => one.name)];
  const principal = h("input", { autocomplete: "off" });
  const boxes = names.map((name) => h("label", null, h("input", { type: "checkbox", value: name, checked: isFirst && name === "admin" }), name));
  const days = h("input", { type: "number", min: 0, step: "any" });
  const description = h("input", {});
  const content = [
    isFirst && h("p", { class: "notice" }, "With the first token, the server is closed to all who have none. It has to have the role admin, and no end."),
    field("Who is to show it", principal), h("fieldset", { class: "field" }, h("legend", null, "Roles"), h("div", { class: "checks" }, boxes)),
    field("Days until it ends", days, { hint: "Empty: it does not." }), field("Note", description),
  ];
  let made = null;
  const chosen = () => boxes.map((label) => label.querySelector("input")).filter((box) => box.checked).map((box) => box.value);
  const done = await dialog("A new token", content, {
    confirm: "Create", ready: () => principal.value.trim() !== "" && chosen().length > 0,
    onConfirm: async () => {
      const expires = days.value ? { expires_seconds: Number(days.value) * 86_400 } : {};
      made = (await api.send("POST", "/tokens", { body: { principal: principal.value.trim(), roles: chosen(), description: description.value, ...expires } })).body;
    },
  });
  if (!done) return;
  const text = h("input", { readOnly: true, value: made.token, class: "code", onfocus: (event) => event.target.select() });
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(made.token);
    toast("The token is copied.");
  });
  await dialog("The new token", [h("p", null, "This is the only time that it is shown. Whoever has it is ", h("strong", null, made.principal), "."), field("Token", text), copy], { confirm: null });
  if (isFirst) location.reload();
  else await again();
}

function revoke(token, again) {
  dialog(`Revoke the token of ${token.principal}?`, h("p", null, "Connections that have shown it end at once."), {
    confirm: "Revoke", danger: true,
    onConfirm: async () => {
      await api.send("DELETE", `/tokens/${encodeURIComponent(token.id)}`);
      toast(`The token ${token.id} is revoked.`);
      await again();
    },
  });
}

// --- one perspective -----------------------------------------------------------------------------------------------

async function editPerspective(content, name, signal) {
  const isNew = name === "+";
  const all = (await api.all("/perspectives", {}, { signal })).map((one) => one.name);
  const definition = isNew ? { documents: "**" } : withoutName((await api.get(`/perspectives/${encodeURIComponent(name)}`, {}, { signal })).body);
  const called = h("input", { value: isNew ? "" : name, disabled: !isNew, autocomplete: "off", spellcheck: false });
  const preview = previewOf(signal, async (document, branch) => {
    const perspective = { ...form.read(), name: called.value.trim() || "preview" };
    const { body } = await api.send("POST", "/perspectives/preview", { body: { perspective, document, branch }, signal });
    return body;
  });
  const form = perspectiveForm(definition, { others: all.filter((one) => one !== name), onchange: preview.refresh });
  preview.onProblem = (problem) => form.fail(problem);
  replace(content, h("div", { class: "split" },
    h("section", { "aria-label": "Definition" }, field("Name", called), form.element,
      saving("perspectives", () => called.value.trim(), () => form.read(), isNew, (problem) => form.fail(problem), signal)),
    preview.element));
  await preview.start(definition.documents);
}

// --- one role ------------------------------------------------------------------------------------------------------

async function editRole(content, name, signal) {
  const isNew = name === "+";
  const perspectives = await api.all("/perspectives", {}, { signal });
  const role = isNew ? { grants: [{ documents: "**", actions: ["read"] }] } : withoutName((await api.get(`/roles/${encodeURIComponent(name)}`, {}, { signal })).body);
  const called = h("input", { value: isNew ? "" : name, disabled: !isNew, autocomplete: "off", spellcheck: false });
  const names = [...new Set(perspectives.flatMap((one) => [one.name, one.family]).filter(Boolean))];
  const trouble = h("div", { class: "notice bad", role: "alert", hidden: true });
  const fail = (problem) => {
    trouble.hidden = !problem;
    trouble.textContent = problem?.detail ?? "";
  };
  const form = roleForm(role, { perspectives: names, onchange: () => {} });
  const preview = previewOf(signal, (document, branch) => seenBy(name, document, branch, signal));
  const side = isNew ? h("p", { class: "hint" }, "Once it is saved, what someone with this role gets of a document is shown here.") : preview.element;
  replace(content, h("div", { class: "split" },
    h("section", { "aria-label": "Definition" }, field("Name", called), form.element, trouble,
      saving("roles", () => called.value.trim(), () => form.read(), isNew, fail, signal)),
    side));
  if (!isNew) await preview.start(role.grants?.[0]?.documents);
}

/** What one with a role gets of a document. */
async function seenBy(role, document, branch, signal) {
  const { body } = await api.get(`/roles/${encodeURIComponent(role)}/view`, { document }, { signal });
  const said = body.actions.length ? `May ${body.actions.join(", ")}${body.perspective ? `, through ${body.perspective}${body.level ? ` up to level ${body.level}` : ""}` : ""}.` : "May do nothing with it.";
  if (!body.actions.some((action) => action === "read" || action === "admin")) return { said, shown: false };
  const through = body.perspective ? (body.level ? { family: body.perspective, level: body.level } : { perspective: body.perspective }) : {};
  try {
    const found = await api.get(documentPath(document), { branch, ...through }, { signal });
    return { said, shown: true, value: found.body };
  } catch (error) {
    if (error.status === 404) return { said, shown: false };
    throw error;
  }
}

// --- what they share -----------------------------------------------------------------------------------------------

/**
 * The panel beside a definition: a document, as it is and as a reader sees it.
 * @param {AbortSignal} signal @param {(document: string, branch: string) => Promise<{value?: any, shown: boolean, said?: string}>} look
 */
function previewOf(signal, look) {
  const names = h("datalist", { id: "preview-names" });
  const document = h("input", { autocomplete: "off", spellcheck: false, oninput: later });
  document.setAttribute("list", "preview-names");
  const whole = h("pre", { class: "value", tabIndex: 0, "aria-label": "The document as it is" });
  const seen = h("pre", { class: "value", tabIndex: 0, "aria-label": "What a reader sees" });
  const said = h("p", { class: "hint", role: "status" });
  const panel = {
    onProblem: /** @type {(problem: any) => void} */ (() => {}),
    refresh: later,
    start,
    element: h("section", { class: "preview", "aria-labelledby": "preview" }, h("h2", { id: "preview" }, "What a reader sees"), field("Of the document", document), names, said,
      h("div", { class: "sides" }, h("div", null, h("h3", null, "As it is"), whole), h("div", null, h("h3", null, "As it is seen"), seen))),
  };
  let timer = 0;
  let turn = 0;

  function later() {
    clearTimeout(timer);
    timer = setTimeout(show, PREVIEW_DELAY_MS);
  }
  /** @param {string|string[]} [patterns] that it speaks of; a document of the first is looked at first */
  async function start(patterns = "**") {
    const pattern = Array.isArray(patterns) ? patterns[0] : patterns;
    const items = (await api.get("/documents", { pattern, limit: NAMES_MAX }, { signal })).body.items;
    replace(names, items.map((item) => h("option", { value: item.document })));
    document.value = items[0]?.document ?? "";
    await show();
  }
  async function show() {
    const mine = ++turn;
    if (!document.value.trim()) {
      replace(said, "Choose a document.");
      return;
    }
    try {
      const [before, after] = [await api.get(documentPath(document.value.trim()), {}, { signal }), await look(document.value.trim(), "main")];
      if (mine !== turn || signal.aborted) return;
      panel.onProblem(null);
      whole.textContent = stringify(before.body, 2);
      seen.textContent = after.shown ? stringify(after.value, 2) : "";
      replace(said, after.said ?? (after.shown ? "" : "To a reader, this document does not exist."));
    } catch (error) {
      if (mine !== turn || signal.aborted) return;
      seen.textContent = "";
      replace(said, error.status === 404 ? "There is no such document." : `Not a definition yet: ${error.detail || error.message}`);
      if (error.status !== 404) panel.onProblem(error);
    }
  }
  return panel;
}

function saving(kind, name, read, isNew, fail, signal) {
  const description = h("input", { autocomplete: "off" });
  const save = async () => {
    let body;
    try {
      body = read();
    } catch (error) {
      fail({ detail: error.message });
      return;
    }
    try {
      fail(null);
      const params = { description: description.value.trim() };
      await api.send("PUT", `/${kind}/${encodeURIComponent(name())}`, { body, params, headers: isNew ? { "If-None-Match": "*" } : {} });
      toast(`${name()} is saved.`, { kind: "good" });
      if (isNew) go(pageHref(`access/${kind}/${name()}`));
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
  };
  const remove = () => dialog(`Delete ${name()}?`, h("p", null, "Its history stays. Who reads by it cannot from then on."), {
    confirm: "Delete", danger: true,
    onConfirm: async () => {
      await api.send("DELETE", `/${kind}/${encodeURIComponent(name())}`);
      toast(`${name()} is deleted.`);
      go(pageHref(`access/${kind}`));
    },
  });
  return h("form", { class: "saving", onsubmit: (event) => { event.preventDefault(); if (name()) save(); else fail({ detail: "It needs a name." }); } },
    field("Why", description, { hint: "Kept with the version." }),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "button primary" }, "Save"),
      !isNew && h("a", { class: "button quiet", href: documentHref(`$system/${kind}/${name()}`, { tab: "time" }) }, "Its history"),
      !isNew && button("Delete", remove, { class: "danger" })));
}

function grantInWords(grant) {
  const patterns = typeof grant.documents === "string" ? [grant.documents] : grant.documents;
  const through = grant.perspective ? `, through ${grant.perspective}${grant.level ? ` up to level ${grant.level}` : ""}` : "";
  return [code(patterns.join(" ")), `: ${grant.actions.join(", ")}${through}`];
}

function withoutName({ name, ...definition }) {
  return definition;
}

function more(label, path) {
  return h("div", { class: "actions" }, h("a", { class: "button primary", href: pageHref(path) }, label));
}

function code(text) {
  return h("code", null, Array.isArray(text) ? text.join(" ") : text);
}
