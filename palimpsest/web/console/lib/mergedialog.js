// Merging, asked for in a dialog that shows what would come of it before anything is done.

import { api, documentPath, idempotencyKey } from "./api.js";
import { conflictsOf, KINDS } from "./decisions.js";
import { applyDelta } from "./delta.js";
import { changeView, opsList } from "./diffview.js";
import { announce, button, dialog, failure, field, h, iconButton, loading, replace, select, toast } from "./dom.js";
import { plural } from "./format.js";
import { namePath } from "./paths.js";
import { go, pageHref } from "./router.js";
import { preview } from "./tree.js";

const RULES = ["ours", "theirs", "base", "sum", "max", "min", "union", "diff3", "atomic", "fail"];
const RULES_MAX = 50;
const CONFLICTS_SHOWN_MAX = 50;
const PARTS_SHOWN_MAX = 50;
const VALUE_CHARACTERS = 160;

const OUTCOMES = {
  merged: "both sides come together",
  fast_forward: "nothing happened there meanwhile: it takes over what was done",
  up_to_date: "up to date: there is nothing to merge",
  conflicts: "conflicts",
};

/**
 * @param {{document: string, isPattern?: boolean, branches?: string[], source?: string, into?: string}} about
 *   isPattern: which documents is asked, too, and branches are typed.
 * @returns {Promise<any>} the merge as the gateway answers it; null where nothing was done. One with conflicts has its page opened.
 */
export async function mergeDialog({ document, isPattern = false, branches = [], source = "", into = "main" }) {
  const form = formOf({ document, isPattern, branches, source, into });
  const shown = h("div", { class: "merge-preview", "aria-live": "polite" });
  let seen = ""; // the settings of which the preview is
  let merge = null;
  let key = ""; // one for each preview, so that confirming it twice merges once

  async function look() {
    const asked = form.read();
    replace(shown, loading("Looking at what would come of it…"));
    try {
      const { body } = await api.send("POST", "/merges", { body: { ...asked, dry_run: true } });
      seen = JSON.stringify(asked);
      key = idempotencyKey();
      merge = body;
      replace(shown, await previewOf(body));
      announce(wordsOf(body));
    } catch (error) {
      seen = "";
      replace(shown, failure(error));
    }
    form.element.dispatchEvent(new Event("change", { bubbles: true }));
  }

  const content = [form.element, h("div", { class: "row-actions" }, button("Preview", look)), shown];
  let result = null;
  await dialog(isPattern ? "Merge documents" : `Merge branches of ${document}`, content, {
    confirm: "Merge",
    wide: true,
    ready: () => seen !== "" && seen === JSON.stringify(form.read()) && merge.parts.some((part) => part.outcome !== "up_to_date"),
    onConfirm: async () => {
      const params = { description: form.description() };
      const headers = { "Idempotency-Key": key, ...expected(merge) };
      result = (await api.send("POST", "/merges", { params, headers, body: { ...form.read(), ...pinned(merge), dry_run: false } })).body;
    },
  });
  if (result?.committed) toast(`Merged: ${wordsOf(result)}`, { kind: "good" });
  else if (result?.merge_id) go(pageHref(`merges/${result.merge_id}`));
  return result;
}

/** What was seen is what is done: where the target went on, it is refused. Of several documents, no one version can be said. */
function expected({ parts }) {
  return parts.length === 1 ? { "If-Match": `"${parts[0].into[1]}"` } : {};
}

/** A merge with conflicts stays pending and follows its source; one without takes in what was seen of it. */
function pinned(merge) {
  return merge.parts.length === 1 && !conflictsOf(merge).length ? { source: merge.parts[0].source.join(":") } : {};
}

/** @param {any} merge @returns {string} what came of it, or would */
export function wordsOf(merge) {
  const conflicts = conflictsOf(merge).length;
  if (conflicts) return plural(conflicts, "conflict");
  const changing = merge.parts.filter((part) => part.outcome !== "up_to_date");
  if (!changing.length) return "there is nothing to merge";
  return changing.length === 1 ? OUTCOMES[changing[0].outcome] ?? changing[0].outcome : `${plural(changing.length, "document")} change`;
}

function formOf({ document, isPattern, branches, source, into }) {
  const where = h("input", { type: "text", value: document, spellcheck: false, autocomplete: "off", required: true });
  const branchInput = (value, options) =>
    isPattern ? h("input", { type: "text", value, spellcheck: false, autocomplete: "off", required: true }) : select(options, value);
  const from = branchInput(source || branches.find((branch) => branch !== into) || "", branches);
  const target = branchInput(into, branches);
  const squash = h("input", { type: "checkbox" });
  const why = h("input", { type: "text", autocomplete: "off" });
  const rules = rulesForm();
  const element = h("div", { class: "merge-form" },
    isPattern && field("Documents", where, { hint: "A name, or a pattern such as configs/**." }),
    h("div", { class: "columns two" }, field("Merge what happened on", from), field("into", target)),
    rules.element,
    field("One parent only (squash)", squash, { hint: "A later merge does not know of this one." }),
    field("Why", why, { hint: "Kept with the version." }));
  return {
    element,
    description: () => why.value.trim(),
    read: () => ({ document: where.value.trim(), source: from.value.trim(), into: target.value.trim(), rules: rules.read(), squash: squash.checked }),
  };
}

function rulesForm() {
  const rows = h("div", { class: "rules" });
  const more = button("Add a rule", () => add(true), { class: "quiet" });
  function add(isFocused) {
    if (rows.childElementCount >= RULES_MAX) return toast(`At most ${RULES_MAX} rules are taken here.`, { kind: "bad" });
    const path = h("input", { type: "text", "aria-label": "Path of the rule", placeholder: "path, such as tags or rows.*", spellcheck: false, autocomplete: "off" });
    const rule = h("input", { type: "text", "aria-label": "Rule", list: "merge-rules", placeholder: "rule", spellcheck: false, autocomplete: "off" });
    const row = h("div", { class: "rule" }, path, rule, iconButton("Remove this rule", "×", () => {
      row.remove();
      more.focus();
      rows.dispatchEvent(new Event("change", { bubbles: true }));
    }));
    rows.append(row);
    if (isFocused) path.focus();
  }
  const read = () => Object.fromEntries([...rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim())).filter(([, rule]) => rule));
  return {
    read,
    element: h("fieldset", { class: "rules-field" },
      h("legend", null, "Rules"),
      h("p", { class: "hint" }, "What becomes of a conflict, by path. A rule holds at its path and inside of it; an empty path is the whole document. key:field matches maps in lists."),
      h("datalist", { id: "merge-rules" }, RULES.map((rule) => h("option", { value: rule }))),
      rows, more),
  };
}

async function previewOf(merge) {
  const conflicts = conflictsOf(merge);
  const shown = merge.parts.slice(0, PARTS_SHOWN_MAX);
  return [
    h("h3", null, conflicts.length ? `${plural(conflicts.length, "conflict")} to resolve` : "What would change"),
    conflicts.length > 0 && h("p", null, "Merging makes it pending: nothing happens to the documents before all conflicts are resolved."),
    conflicts.length > 0 && conflictList(conflicts),
    ...(await Promise.all(shown.map((part) => partView(part, merge.parts.length === 1)))),
    merge.parts.length > shown.length && h("p", { class: "hint" }, `and ${plural(merge.parts.length - shown.length, "more document")}`),
  ];
}

function conflictList(conflicts) {
  const shown = conflicts.slice(0, CONFLICTS_SHOWN_MAX);
  return h("ul", { class: "conflict-list" },
    shown.map((conflict) => h("li", null, h("code", null, `${conflict.document} · ${namePath(conflict.path)}`), sideLine("Ours", conflict, "ours", 0), sideLine("Theirs", conflict, "theirs", 1))),
    conflicts.length > shown.length && h("li", null, `and ${plural(conflicts.length - shown.length, "more conflict")}`));
}

function sideLine(label, conflict, side, at) {
  const value = conflict[side];
  return h("div", { class: "conflict-line" }, h("span", { class: "hint" }, `${label} ${(KINDS[conflict.kind] ?? [conflict.kind, conflict.kind])[at]}: `),
    conflict.left_out ? "too large to be shown here" : value ? h("code", null, preview(value.value, VALUE_CHARACTERS)) : h("span", { class: "nothing" }, "nothing"));
}

async function partView(part, isOnly) {
  const title = h("span", null, h("code", null, part.document), ` ${part.source.join(":")} into ${part.into.join(":")}: ${OUTCOMES[part.outcome] ?? part.outcome}, ${plural(part.delta.length, "change")}`,
    part.settled > 0 && `, ${plural(part.settled, "conflict")} settled by rules or earlier decisions`);
  if (!part.delta.length) return h("p", { class: "merge-part" }, title);
  if (!isOnly) return h("details", { class: "merge-part" }, h("summary", null, title), opsList(part.delta));
  return h("div", { class: "merge-part" }, h("p", null, title), await changeOf(part));
}

/** Side by side where the value can be read; else the ops alone. */
async function changeOf(part) {
  try {
    const { body: before } = await api.get(documentPath(part.document), { branch: part.into[0], version: part.into[1] });
    return changeView({ ops: part.delta, before, after: applyDelta(before, part.delta), labels: [part.into.join(":"), "After the merge"] });
  } catch {
    return opsList(part.delta);
  }
}
