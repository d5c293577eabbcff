// Going back: to a version, or without one. What it would do is shown before it is done.

import { api, documentPath, idempotencyKey } from "./api.js";
import { applyDelta } from "./delta.js";
import { changeView, opsList, valueView } from "./diffview.js";
import { dialog, failure, field, h, loading, replace, toast } from "./dom.js";
import { plural } from "./format.js";
import { namePath } from "./paths.js";
import { valueAt } from "./past.js";
import { scrolling } from "./table.js";
import { preview } from "./tree.js";

const CONFLICTS_SHOWN_MAX = 50;
const VALUE_CHARACTERS = 160;

/**
 * @param {import("./past.js").Context} context
 * @param {"revert"|"undo"} kind @param {any} said the version to go back to, or without which to go on, as of a history
 * @returns {Promise<any>} the version that was made; null where none was
 */
export async function goBack(context, kind, said) {
  const { version } = said;
  const path = documentPath(context.name, kind === "revert" ? "/revert" : "/undo");
  const body = kind === "revert" ? { to: version } : { version };
  const shown = h("div", null, loading("Looking at what it would do…"));
  const why = h("input", { type: "text", autocomplete: "off" });
  let expected = 0;
  let isSome = false;
  let made = null;
  const key = idempotencyKey();

  async function look() {
    try {
      const current = await newestOf(context);
      const { delta } = (await api.send("POST", path, { params: { branch: context.branch, dry_run: true }, body })).body;
      expected = current.version;
      // What takes back the making of a document is its deletion, which no op says.
      const isDeletion = kind === "undo" && said.kind === "create" && current.value !== undefined;
      isSome = delta.length > 0 || isDeletion;
      if (delta.length) replace(shown, h("p", null, `${plural(delta.length, "change")} to version ${expected}:`), change(delta, current.value));
      else replace(shown, h("p", null, isDeletion ? "The document would be deleted." : "Nothing would change: the newest version is so already."));
    } catch (error) {
      replace(shown, error.data?.conflicts ? conflictsView(error.data.conflicts) : failure(error));
    }
    shown.dispatchEvent(new Event("change", { bubbles: true }));
  }

  const title = kind === "revert" ? `Go back to version ${version}` : `Undo version ${version}`;
  const words = kind === "revert" ? `A new version gets the value that version ${version} has. What came after it stays in the history.` : `A new version is made without what version ${version} did, and with all that came after it.`;
  look();
  await dialog(title, [h("p", null, words), shown, field("Why", why, { hint: "Kept with the new version." })], {
    confirm: kind === "revert" ? "Go back" : "Undo",
    wide: true,
    ready: () => expected > 0 && isSome,
    onConfirm: async () => {
      const headers = { "If-Match": `"${expected}"`, "Idempotency-Key": key };
      made = (await api.send("POST", path, { params: { branch: context.branch, description: why.value.trim() }, headers, body })).body;
    },
  });
  if (made) toast(`Version ${made.version} was made.`, { kind: "good" });
  return made;
}

/** Also of a document that is deleted: its value is undefined then. */
async function newestOf(context) {
  const { branch } = context;
  const { body } = await api.get(documentPath(context.name, "/history"), { branch, order: "newest", limit: 1 });
  const version = body.newest ?? body.items[0].version;
  return { version, ...(await seen(context.name, { branch, version })) };
}

/** Ops are on the whole value; who may not read that sees the ops alone. */
async function seen(name, params) {
  try {
    return await valueAt(name, params);
  } catch {
    return { value: undefined, missing: "hidden" };
  }
}

function change(delta, before) {
  try {
    return changeView({ ops: delta, before, after: applyDelta(before, delta), labels: ["Now", "Then"] });
  } catch {
    return opsList(delta);
  }
}

function conflictsView(conflicts) {
  return h("div", { class: "notice bad", role: "alert" },
    h("p", null, `This cannot be undone by itself: ${plural(conflicts.length, "place was", "places were")} changed again since.`),
    scrolling("What is in the way", h("table", { class: "in-the-way" },
      h("thead", null, h("tr", null, ["Where", "Before it", "It made", "Now"].map((label) => h("th", { scope: "col" }, label)))),
      h("tbody", null, conflicts.slice(0, CONFLICTS_SHOWN_MAX).map((conflict) => h("tr", null,
        h("th", { scope: "row" }, h("code", null, namePath(conflict.path))),
        [conflict.theirs, conflict.base, conflict.ours].map((value) => h("td", null, value === undefined ? valueView(value) : h("code", null, preview(value, VALUE_CHARACTERS)))))))), "grow"));
}
