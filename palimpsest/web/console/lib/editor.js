// Editing a value: ops are gathered in a draft, shown with what was there before and what will be, and sent as one delta on the version
// that was read. What somebody else changes meanwhile is taken in, or put to choice; never overwritten unseen.

import { api, documentPath, idempotencyKey } from "./api.js";
import { changedPaths, describe, difference, get, NOTHING } from "./delta.js";
import { announce, button, dialog, field, h, iconButton, replace, select, toast } from "./dom.js";
import { addOps, dropOp, rebase, startDraft, steps, takeMine } from "./draft.js";
import { number, plural } from "./format.js";
import { excerpt, kindOf, parse, stringify } from "./json.js";
import { formatPath, namePath } from "./paths.js";

export const DELTA = "application/vnd.palimpsest.delta+json";
const DRAFTS_KEPT_MAX = 20;
const SIDE_TEXT_MAX = 2_000;
const PLACES_SAID_MAX = 5;
/** Of sending, where others change other places of the document all the time. */
const TRIES_MAX = 5;

/** Drafts that were left without being sent or thrown away, by document and branch. */
const keptDrafts = new Map();

/**
 * @typedef {object} Editor
 * @property {() => any} value with all that was edited
 * @property {(path: import("./paths.js").Path, value: any) => any} controls what can be done with what is selected
 * @property {(path: import("./paths.js").Path, value: any, row: HTMLElement) => boolean} editInPlace
 * @property {(key: string, path: import("./paths.js").Path) => boolean} key
 * @property {(change: any, document: any) => void} changed somebody else made another version
 */

export const valueEditor = { start: startEditor, kept: (context) => keptDrafts.get(placeOf(context)) ?? null };

/**
 * @param {object} options
 * @param {import("../pages/document.js").Context} options.context
 * @param {import("./draft.js").Draft|null} options.draft one that was left
 * @param {AbortSignal} options.signal
 * @param {any} options.tree shows the draft's value
 * @param {HTMLElement} options.bar where one sends them, or stops
 * @param {HTMLElement} options.pending where the ops are shown
 * @param {HTMLElement} options.notices where is said what others do
 * @param {() => void} options.onDraft after each op
 * @param {() => void} options.onDone it is over; `context.document` is the newest
 * @returns {Editor}
 */
function startEditor({ context, draft: left, signal, tree, bar, pending, notices, onDraft, onDone }) {
  let draft = left ?? startDraft(context.version, context.document.value);
  let newest = null;
  let isOver = false;
  const leave = (event) => { if (draft.ops.length) event.preventDefault(); };
  addEventListener("beforeunload", leave);
  signal.addEventListener("abort", () => { if (!isOver) close(); }, { once: true });

  function close() {
    isOver = true;
    removeEventListener("beforeunload", leave);
    keptDrafts.delete(placeOf(context));
    if (signal.aborted && draft.ops.length) {
      keptDrafts.set(placeOf(context), draft);
      if (keptDrafts.size > DRAFTS_KEPT_MAX) keptDrafts.delete(keptDrafts.keys().next().value);
    }
    for (const place of [bar, pending, notices]) replace(place);
  }

  /** Shows the draft. */
  function draw() {
    tree.update(draft.value);
    tree.highlight(changedPaths(draft.ops, draft.value, draft.base), { word: "edited" });
    drawPending();
    if (newest) showOvertaken();
    onDraft();
  }

  /** @returns {string} what is wrong, or "" */
  function push(ops) {
    try {
      draft = addOps(draft, ops);
    } catch (error) {
      return error.message;
    }
    draw();
    return "";
  }

  function drawPending() {
    const count = draft.ops.length;
    replace(bar,
      button(count ? "Throw away" : "Stop editing", discard, { class: "small" }),
      button("Review and send…", review, { class: "primary", disabled: count === 0 }));
    replace(pending, h("section", { class: "card stack", "aria-labelledby": "pending-title" },
      h("div", { class: "card-head" }, h("h2", { id: "pending-title" }, count ? `${plural(count, "change")} to be sent` : "Nothing to be sent yet"), h("span", { class: "badge" }, `on version ${number(draft.version)}`)),
      count ? opList(draft, drop) : h("p", { class: "soft" }, "Select a value and change it here, or press Enter on it to edit it in place. Nothing is sent before you have seen it as a whole.")));
  }

  function drop(index) {
    try {
      draft = dropOp(draft, index);
      draw();
      announce("The change was taken back.");
    } catch (error) {
      toast(`A later change needs this one: ${error.message}`, { kind: "bad" });
    }
  }

  async function discard() {
    const question = `${plural(draft.ops.length, "change")} that you have not sent will be gone.`;
    if (draft.ops.length && !(await dialog("Throw your changes away?", h("p", null, question), { confirm: "Throw away", danger: true }))) return;
    draft = startDraft(draft.version, draft.base);
    close();
    onDone();
  }

  // --- sending

  async function review() {
    if (newest && !(await settle())) return;
    const why = h("input", { autocomplete: "off" });
    const tags = h("input", { autocomplete: "off", spellcheck: false });
    const key = idempotencyKey();
    const content = [
      h("p", { class: "soft" }, `One delta, applied whole or not at all, to version ${number(draft.version)} of ${context.name}${context.branch === "main" ? "" : ` on the branch ${context.branch}`}.`),
      opList(draft), field("Why", why, { hint: "Kept with the version." }), field("Tags", tags, { hint: "Words to find it by, parted by commas." })];
    let sent = null;
    const send = async () => { sent = await deliver({ description: why.value.trim(), tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) }, key); };
    if (!(await dialog("Send these changes?", content, { confirm: "Send", wide: true, onConfirm: send }))) return draw();
    if (sent) finish(sent);
    else if (newest) await settle(); // they meet, and somebody has to choose
  }

  /** The version that was made; null where somebody else has changed the same places meanwhile. What was changed elsewhere is gone on from. */
  async function deliver(said, key) {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      try {
        const answer = await api.send("PATCH", documentPath(context.name), {
          params: { ...context.view, ...said }, body: draft.ops, type: DELTA, headers: { "If-Match": `"${draft.version}"`, "Idempotency-Key": tries ? `${key}-${tries}` : key } });
        return answer.body;
      } catch (error) {
        if (error.status !== 412) throw error;
      }
      const found = await readNewest();
      if (!found || found.clashes.length) return null;
      draft = found.draft;
    }
    throw new Error(`Others change this document all the time: ${TRIES_MAX} attempts met another version each. Try again.`);
  }

  /** What others have made of it by now, and what becomes of our ops there; null where it is gone. */
  async function readNewest() {
    try {
      const { body } = await api.get(documentPath(context.name), { ...context.view, envelope: true }, { signal });
      context.arrived(body);
      newest = body;
      return rebaseOn(body);
    } catch (error) {
      if (error.status !== 404) throw error;
      changed({ by: null }, null);
      return null;
    }
  }

  function finish(version) {
    const { value } = draft;
    const from = newest && newest.version < version.version ? ` It goes on from what ${newest.by ?? "somebody"} changed meanwhile; nothing of that was overwritten.` : "";
    draft = startDraft(draft.version, draft.base);
    close();
    toast(`Sent: version ${number(version.version)}.${from}`, { kind: "good" });
    if (context.perspective) {
      context.refresh(); // what is seen of it is for the server to say
      return;
    }
    const document = { document: context.name, branch: version.branch, version: version.version, kind: version.kind, at: version.at, by: version.by, description: version.description, tags: version.tags, value };
    if (version.version > (context.version ?? 0)) context.arrived(document);
    onDone();
  }

  // --- what others do meanwhile

  // Nothing is taken in unasked: a value that somebody is just typing would otherwise replace one that was never seen.
  function changed(change, document) {
    newest = document;
    if (document) showOvertaken();
    else {
      replace(notices, h("div", { class: "notice bad", role: "alert" },
        h("p", null, h("strong", null, `${change.by ?? "Somebody"} has deleted this document meanwhile. `), "Your changes have no place to go; the value with them can be copied as JSON.")));
    }
    drawPending();
  }

  function showOvertaken() {
    const { clashes } = rebaseOn(newest);
    const places = changedPaths(difference(draft.base, newest.value), newest.value, draft.base).slice(0, PLACES_SAID_MAX).map(namePath).join(", ");
    replace(notices, h("div", { class: "notice warn", role: "alert", id: "overtaken" },
      h("p", null, h("strong", null, `${newest.by ?? "Somebody"} has changed this document meanwhile`), `: version ${number(newest.version)} has other values at ${places || "no place"}. `,
        clashes.length ? h("strong", null, `You both changed ${clashes.map((clash) => namePath(clash.path)).join(", ")}.`) : draft.ops.length > 0 && "You changed other places."),
      button(clashes.length ? "Look at both and choose…" : "Take it in", settle)));
  }

  function rebaseOn(document) {
    return rebase(draft, document.version, document.value, difference(draft.base, document.value));
  }

  /** Puts the draft on the newest version. @returns {Promise<boolean>} false: what is to stand at some place was not chosen, and nothing has changed */
  async function settle() {
    const onto = newest;
    const { draft: clean, clashes } = rebaseOn(onto);
    let next = clean;
    if (clashes.length) {
      const choices = clashes.map(() => "");
      const content = [
        h("p", null, `Both you and somebody else changed ${plural(clashes.length, "place")}. Nothing has been overwritten; choose what is to stand there.`),
        clashes.map((clash, index) => clashChoice(clash, (side) => { choices[index] = side; }))];
      const isChosen = await dialog(`Version ${number(onto.version)} changed the same places`, content, { confirm: "Go on with these", wide: true, ready: () => choices.every(Boolean) });
      if (!isChosen) {
        draw();
        return false;
      }
      clashes.forEach((clash, index) => { if (choices[index] === "mine") next = takeMine(next, clash); });
    }
    draft = next;
    if (newest === onto) {
      newest = null;
      replace(notices);
    }
    draw();
    announce(`Your changes are on version ${number(onto.version)} now. They are not sent yet.`);
    return newest === null && draft.ops.length > 0;
  }

  // --- changing values

  function editInPlace(path, value) {
    const kind = kindOf(value);
    if (kind === "list" || kind === "map") return false;
    const asText = kind === "string";
    const input = h("input", { value: asText ? value : stringify(value), "aria-label": `Value of ${namePath(path)}`, spellcheck: false, autocomplete: "off" });
    if (asText && /[\n\r]/.test(value)) return false; // a line would lose its breaks
    const mode = select([["text", "text"], ["json", "JSON"]], asText ? "text" : "json", { "aria-label": "Taken as" });
    const element = h("span", { class: "tree-edit" }, input, mode);
    let isDone = false;
    const finish = (isTaken) => {
      if (isDone) return;
      const found = isTaken ? said(input.value, mode.value) : { value };
      if (found.error) {
        input.setAttribute("aria-invalid", "true");
        input.title = found.error;
        announce(found.error);
        return;
      }
      isDone = true;
      tree.endEdit();
      if (isTaken) commit(path, value, found.value);
    };
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter") finish(true);
      else if (event.key === "Escape") finish(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    element.addEventListener("focusout", (event) => { if (!element.contains(event.relatedTarget)) finish(!said(input.value, mode.value).error); });
    tree.editAt(path, element);
    input.select();
    return true;
  }

  function commit(path, before, after) {
    const ops = difference(before, after, path);
    if (!ops.length) return;
    const wrong = push(ops);
    if (wrong) toast(wrong, { kind: "bad" });
  }

  function key(pressed, path) {
    if (pressed !== "Delete" || !path.length) return false;
    run(removal(path));
    return true;
  }

  function run(op) {
    const wrong = push([op]);
    if (wrong) toast(wrong, { kind: "bad" });
  }

  function controls(path, value) {
    const kind = kindOf(value);
    const holder = get(draft.value, path.slice(0, -1));
    const isElement = path.length > 0 && Array.isArray(holder);
    return h("div", { class: "stack" },
      kind === "map" ? addKey(path, value) : kind === "list" ? addElement(path) : scalarForm(path, value),
      h("div", { class: "button-group" },
        button("Edit as JSON…", () => editJson(path, value), { class: "small" }),
        path.length > 0 && !isElement && button("Rename…", () => rename(path), { class: "small" }),
        isElement && moves(path, holder),
        isElement && button("Insert before…", () => insertBefore(path), { class: "small" }),
        path.length > 0 && button("Remove", () => run(removal(path)), { class: "small" })));
  }

  function moves(path, list) {
    const at = Number(path[path.length - 1]);
    const to = (index) => {
      const target = [...path.slice(0, -1), index];
      run({ op: "move", source: formatPath(path), path: formatPath(target) });
      tree.select(target);
    };
    return [button("Move up", () => to(at - 1), { class: "small", disabled: at === 0 }), button("Move down", () => to(at + 1), { class: "small", disabled: at === list.length - 1 })];
  }

  function scalarForm(path, value) {
    const asText = typeof value === "string";
    const mode = select([["text", "text"], ["json", "JSON"]], asText ? "text" : "json");
    const input = h("textarea", { class: "code", rows: asText && value.length > 60 ? 6 : 2, value: asText ? value : stringify(value), spellcheck: false });
    const row = field("New value", input);
    return form("Change", [row, field("Taken as", mode, { hint: "JSON: numbers, true, false, null, lists and maps." })], () => {
      const found = said(input.value, mode.value);
      row.fail(found.error ?? "");
      if (!found.error) commit(path, value, found.value);
    });
  }

  function addKey(path, map) {
    const name = h("input", { autocomplete: "off", spellcheck: false, class: "code" });
    const nameField = field("New key", name);
    const content = valueInput();
    return form("Add", [nameField, content.fields], () => {
      const exists = Object.hasOwn(map, name.value);
      nameField.fail(exists ? "There is such a key already." : "");
      const found = content.read();
      if (!exists && found) run({ op: "set", path: formatPath([...path, name.value]), value: found.value });
    });
  }

  function addElement(path) {
    const content = valueInput("New element");
    return form("Append", content.fields, () => {
      const found = content.read();
      if (found) run({ op: "append", path: formatPath(path), value: found.value });
    });
  }

  async function insertBefore(path) {
    const content = valueInput("New element");
    const confirm = () => {
      const found = content.read();
      if (!found) throw new Error("That is no JSON.");
      const wrong = push([{ op: "insert", path: formatPath(path.slice(0, -1)), index: Number(path[path.length - 1]), value: found.value }]);
      if (wrong) throw new Error(wrong);
    };
    await dialog(`Insert before ${namePath(path)}`, content.fields, { confirm: "Insert", onConfirm: confirm });
  }

  async function rename(path) {
    const old = String(path[path.length - 1]);
    const name = h("input", { value: old, class: "code", autocomplete: "off", spellcheck: false });
    const target = () => [...path.slice(0, -1), name.value];
    const confirm = () => {
      if (get(draft.value, target()) !== NOTHING) throw new Error(`There is a key “${name.value}” already.`);
      const wrong = push([{ op: "move", source: formatPath(path), path: formatPath(target()) }]);
      if (wrong) throw new Error(wrong);
    };
    if (await dialog(`Rename ${namePath(path)}`, field("Key", name), { confirm: "Rename", ready: () => name.value !== old, onConfirm: confirm })) tree.select(target());
  }

  async function editJson(path, value) {
    const area = h("textarea", { class: "code", rows: 18, value: stringify(value, 2), spellcheck: false });
    const confirm = () => {
      const found = said(area.value, "json");
      if (found.error) throw new Error(found.error);
      const wrong = push(difference(value, found.value, path));
      if (wrong) throw new Error(wrong);
    };
    await dialog(`${namePath(path)} as JSON`, field("JSON", area, { hint: "Only what differs becomes part of the delta." }), { confirm: "Take over", wide: true, onConfirm: confirm });
  }

  draw();
  if (left && left.version !== context.version) changed(context.document, context.document);
  return { value: () => draft.value, controls, editInPlace, key, changed };
}

/** @param {string} text @param {string} mode "text" or "json" @returns {{value?: any, error?: string}} */
function said(text, mode) {
  if (mode === "text") return { value: text };
  try {
    return { value: parse(text) };
  } catch (error) {
    return { error: `That is no JSON: ${error.message}` };
  }
}

function valueInput(label = "Value") {
  const mode = select([["text", "text"], ["json", "JSON"]], "text");
  const input = h("textarea", { class: "code", rows: 2, spellcheck: false });
  const row = field(label, input);
  return {
    fields: [row, field("Taken as", mode, { hint: "JSON: numbers, true, false, null, lists and maps." })],
    read() {
      const found = said(input.value, mode.value);
      row.fail(found.error ?? "");
      return found.error ? null : found;
    },
  };
}

function form(label, content, onsubmit) {
  return h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); onsubmit(); } }, content, h("div", null, h("button", { type: "submit", class: "button" }, label)));
}

function removal(path) {
  const last = path[path.length - 1];
  return typeof last === "number" ? { op: "remove", path: formatPath(path.slice(0, -1)), index: last } : { op: "delete", path: formatPath(path) };
}

/** The ops in words, with what was there before and what will be. */
function opList(draft, onDrop) {
  return h("ol", { class: "ops", "aria-label": "Changes" }, steps(draft).map(({ op, before, after }, index) =>
    h("li", { class: "op" },
      h("span", { class: "op-words" }, describe(op)),
      onDrop && iconButton(`Take back: ${describe(op)}`, "×", () => onDrop(index)),
      h("dl", { class: "op-sides" }, h("dt", null, "before"), h("dd", { tabindex: "0" }, sideText(before)), h("dt", null, "after"), h("dd", { tabindex: "0" }, sideText(after))))));
}

let clashNumber = 0;
const SIDE_WORDS = { base: "The value before", mine: "My value", theirs: "Their value" };

function clashChoice(clash, onChoose) {
  const name = `clash-${++clashNumber}`;
  const side = (key, words, value, isChoice) => h("div", { class: "side" },
    isChoice ? h("label", { class: "cluster" }, h("input", { type: "radio", name, value: key, onchange: () => onChoose(key) }), h("strong", null, words)) : h("h4", null, words),
    h("pre", { tabindex: "0", "aria-label": SIDE_WORDS[key] }, sideText(value)));
  return h("fieldset", null, h("legend", { class: "mono" }, namePath(clash.path)),
    h("div", { class: "sides three" }, side("base", "It was", clash.base, false), side("mine", "Take mine", clash.mine, true), side("theirs", "Take theirs", clash.theirs, true)));
}

function sideText(value) {
  if (value === NOTHING) return "nothing";
  return excerpt(value, SIDE_TEXT_MAX);
}

function placeOf(context) {
  return JSON.stringify([context.name, context.view]);
}
