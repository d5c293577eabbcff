// The tab “diff”: what differs between any two versions, on whichever branches they are.

import { api, documentPath } from "../lib/api.js";
import { changeView } from "../lib/diffview.js";
import { announce, button, empty, failure, field, h, loading, replace, select } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { branchesOf, extentOf, valueAt } from "../lib/past.js";
import { note } from "../lib/router.js";

/** @param {HTMLElement} panel @param {any} context @param {AbortSignal} signal */
export async function show(panel, context, signal) {
  replace(panel, loading());
  const [branches, extent] = await Promise.all([namesOf(context, signal), extentOf(context, signal)]);
  if (signal.aborted) return;
  const from = sideForm("From", parseNode(context.params.get("from") ?? `${context.branch}:${Math.max(1, extent.newest - 1)}`, context.branch), branches);
  const to = sideForm("To", parseNode(context.params.get("to") ?? context.branch, context.branch), branches);
  const body = h("div", { class: "diff-body" });
  const swap = button("⇄ Swap", () => {
    const old = from.read();
    from.write(to.read());
    to.write(old);
    look();
  });
  const form = h("form", { class: "diff-form", onsubmit: (event) => {
    event.preventDefault();
    look();
  } }, from.element, swap, to.element, h("button", { type: "submit", class: "button primary" }, "Compare"));
  replace(panel, h("div", { class: "diff" }, form, body));

  async function look() {
    const [left, right] = [from.read(), to.read()];
    const { name, view } = context;
    note(context.href({ from: textOf(left), to: textOf(right) }));
    replace(body, loading("Comparing…"));
    try {
      const [difference, before, after] = await Promise.all([
        api.get(documentPath(name, "/diff"), { ...view, branch: undefined, from: textOf(left), to: textOf(right) }, { signal }),
        valueAt(name, { ...view, branch: left.branch, version: left.version }, signal),
        valueAt(name, { ...view, branch: right.branch, version: right.version }, signal),
      ]);
      if (before.missing || after.missing) return replace(body, empty(before.missing || after.missing));
      const ops = difference.body.delta;
      announce(plural(ops.length, "difference"));
      replace(body, ops.length ? changeView({ ops, before: before.value, after: after.value, labels: [textOf(left), textOf(right)] }) : empty("Both are the same."));
    } catch (error) {
      if (!signal.aborted) replace(body, failure(error, look, { isSeen: true }));
    }
  }
  await look();
}

async function namesOf(context, signal) {
  const found = await branchesOf(context.name, signal);
  return [...new Set([context.branch, "main", ...found.filter((branch) => !branch.document.includes("*")).map((branch) => branch.branch)])];
}

function sideForm(label, node, branches) {
  const branch = select([...new Set([...branches, node.branch])], node.branch, { "aria-label": `${label}: branch` });
  const version = h("input", { type: "number", min: "1", step: "1", class: "number", value: node.version ?? "", placeholder: "newest" });
  return {
    element: h("fieldset", { class: "diff-side" }, h("legend", null, label), field("Branch", branch), field("Version", version)),
    read: () => ({ branch: branch.value, version: version.value ? Number(version.value) : null }),
    write: (other) => {
      branch.value = other.branch;
      version.value = other.version ?? "";
    },
  };
}

function parseNode(text, branch) {
  if (/^\d+$/.test(text)) return { branch, version: Number(text) };
  const at = text.lastIndexOf(":");
  return at < 0 ? { branch: text, version: null } : { branch: text.slice(0, at), version: Number(text.slice(at + 1)) || null };
}

function textOf({ branch, version }) {
  return version ? `${branch}:${version}` : branch;
}
