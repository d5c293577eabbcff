// The value as a tree, live; and its editing, as a delta that is gathered, shown and then sent.

import { valueEditor } from "../lib/editor.js";
import { changedPaths, difference, get, NOTHING } from "../lib/delta.js";
import { announce, button, h, replace, toast } from "../lib/dom.js";
import { plural, shorten } from "../lib/format.js";
import { excerpt, kindOf, stringify } from "../lib/json.js";
import { formatPath, namePath } from "../lib/paths.js";
import { documentHref } from "../lib/router.js";
import { treeButtons, valueTree } from "../lib/tree.js";

const TEXT_SHOWN_MAX = 20_000;
const CHANGES_WAITING_MAX = 100;
const PLACES_SAID_MAX = 3;

/** @param {HTMLElement} panel @param {import("../pages/document.js").Context} context @param {AbortSignal} signal */
export async function show(panel, context, signal) {
  let editor = null;
  let shownValue = context.document.value;
  let waiting = [];
  let frame = 0;
  const tree = valueTree({
    label: `Value of ${context.name}`, value: context.document.value,
    onSelect: () => inspect(),
    onActivate: (path, value, row) => (editor ? editor.editInPlace(path, value, row) : false),
    onKey: (key, path) => (editor ? editor.key(key, path) : false),
  });
  const edit = button("Edit", () => start(), { class: "primary", id: "edit" });
  const bar = h("div", { class: "actions" });
  const inspector = h("section", { class: "card stack inspector", "aria-label": "What is selected" });
  const notices = h("div", { class: "stack" });
  const pending = h("div", { class: "stack" });
  const refused = whyNotEdited(context);
  edit.disabled = Boolean(refused);
  replace(panel, notices,
    h("div", { class: "columns wide-left" },
      h("section", { class: "card flush", "aria-label": "Value" },
        h("div", { class: "card-head" }, treeButtons(tree), h("span", { class: "faint small" }, refused), h("div", { class: "actions" }, button("Copy as JSON", copyAll, { class: "small" }), edit, bar)), tree.element),
      h("div", { class: "stack" }, inspector, pending)));
  tree.select([], { quiet: true });
  inspect();
  context.onChange(changed, signal);
  const kept = refused ? null : valueEditor.kept(context);
  if (kept) start(kept);

  function start(draft = null) {
    editor = valueEditor.start({
      context, draft, signal, tree, bar, pending, notices,
      onDraft: () => inspect(),
      onDone: () => {
        editor = null;
        edit.hidden = false;
        shownValue = context.document?.value ?? null;
        tree.update(shownValue);
        tree.highlight([]);
        inspect();
        edit.focus();
      },
    });
    edit.hidden = true;
    tree.element.focus({ preventScroll: true });
    announce("Editing. Enter edits a value in place; nothing is sent before you have seen it as a whole.");
    inspect();
  }

  function changed(change, document) {
    if (editor) {
      editor.changed(change, document);
      return;
    }
    if (!document) {
      replace(panel, h("div", { class: "notice warn", role: "status" }, h("p", null, `${change.by ?? "Somebody"} has deleted this document.`), h("a", { class: "button", href: documentHref(context.name, { tab: "time" }) }, "Look at its past")));
      return;
    }
    waiting.push(change);
    if (waiting.length > CHANGES_WAITING_MAX) waiting.shift();
    frame ||= requestAnimationFrame(draw);
  }

  // A busy document changes faster than anybody reads: what came between two frames is shown as one change.
  function draw() {
    const [changes, before] = [waiting, shownValue];
    waiting = [];
    frame = 0;
    if (editor || signal.aborted || !context.document) return;
    shownValue = context.document.value;
    tree.update(shownValue);
    const ops = changes.length === 1 && changes[0].delta?.length ? changes[0].delta : difference(before, shownValue);
    const paths = changedPaths(ops, shownValue, before);
    tree.highlight(paths);
    inspect();
    const last = changes[changes.length - 1];
    announce(`${last.by ?? "Somebody"} made version ${last.version}: ${paths.slice(0, PLACES_SAID_MAX).map(namePath).join(", ")} changed.`);
  }

  function inspect() {
    const path = tree.selected();
    const value = get(editor ? editor.value() : context.document.value, path);
    replace(inspector, value === NOTHING ? h("p", { class: "faint" }, "Nothing is selected.") : [about(context, path, value, { isShown: !editor }), editor?.controls(path, value)]);
  }

  async function copyAll() {
    try {
      await navigator.clipboard.writeText(stringify(editor ? editor.value() : context.document.value, 2));
      toast("The value was copied.", { kind: "good" });
    } catch (error) {
      toast(`The browser did not let it be copied: ${error.message}`, { kind: "bad" });
    }
  }
}

function about(context, path, value, { isShown }) {
  const kind = kindOf(value);
  const isContainer = kind === "list" || kind === "map";
  const text = kind === "string" ? shorten(value, TEXT_SHOWN_MAX) : excerpt(value, TEXT_SHOWN_MAX);
  const history = documentHref(context.name, { tab: "time", branch: context.branch === "main" ? "" : context.branch, path: formatPath(path) });
  return [
    h("h2", { class: "mono breakable" }, namePath(path)),
    h("div", { class: "cluster small" }, h("span", { class: "badge" }, KIND_WORDS[kind]), kind === "string" && h("span", { class: "faint" }, plural(Array.from(value).length, "character")),
      isContainer && h("span", { class: "faint" }, plural(kind === "list" ? value.length : Object.keys(value).length, kind === "list" ? "element" : "key")), h("a", { class: "push", href: history }, path.length ? "Its history" : "History")),
    isShown && h("pre", { class: "value-full", tabindex: "0", "aria-label": "The selected value" }, text),
  ];
}

const KIND_WORDS = { null: "null", boolean: "true or false", number: "number", string: "text", list: "list", map: "map" };

function whyNotEdited(context) {
  if (Object.keys(context.place).length) return "The past is read-only.";
  return context.role ? "Seen as somebody else: read-only." : "";
}
