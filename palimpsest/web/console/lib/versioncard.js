// One version: who, when and why, what it did, its tags, and what one can do with it.

import { api, documentPath } from "./api.js";
import { opsList } from "./diffview.js";
import { button, h, iconButton, replace, time, toast } from "./dom.js";
import { ago, moment, number } from "./format.js";
import { documentHref } from "./router.js";

const KINDS = { create: "created", update: "updated", delete: "deleted", erase: "erased" };

/**
 * @param {any} version as of a history
 * @param {{name: string, branch: string, newest: number, isGone?: boolean, onBack: (kind: "revert"|"undo", version: any) => void, onBranch: (at: string) => void, onTags: (tags: string[]) => void}} options
 *   isGone: the branch was deleted, so that nothing is written there any more
 * @returns {HTMLElement}
 */
export function versionCard(version, { name, branch, newest, isGone = false, onBack, onBranch, onTags }) {
  const node = `${version.branch}:${version.version}`;
  const isNewest = version.version === newest;
  return h("section", { class: "version-card", "aria-label": `Version ${version.version}` },
    h("h3", null, `Version ${number(version.version)}`, h("span", { class: "badge" }, KINDS[version.kind] ?? version.kind), version.branch !== branch && h("span", { class: "badge" }, `on ${version.branch}`)),
    h("dl", { class: "facts" },
      h("dt", null, "Who"), h("dd", null, version.by ?? h("span", { class: "nothing" }, "not said")),
      h("dt", null, "When"), h("dd", null, time(version.at, moment(version.at)), h("span", { class: "hint" }, ` ${ago(version.at)}`)),
      h("dt", null, "Why"), h("dd", null, version.description ?? h("span", { class: "nothing" }, "not said")),
      version.parents?.base && [h("dt", null, "Starts from"), h("dd", null, nodeLink(name, version.parents.base))],
      version.parents?.merged?.length > 0 && [h("dt", null, "Merged"), h("dd", null, version.parents.merged.map((one, at) => [at > 0 && ", ", nodeLink(name, one)]))],
      h("dt", null, "Tags"), h("dd", null, tagEditor(version, { name, onTags }))),
    h("div", { class: "actions version-actions" },
      !isNewest && !isGone && button("Go back to it…", () => onBack("revert", version), { "aria-haspopup": "dialog" }),
      !isGone && button("Undo it…", () => onBack("undo", version), { "aria-haspopup": "dialog" }),
      button("Branch from it…", () => onBranch(node), { "aria-haspopup": "dialog" }),
      !isNewest && !isGone && h("a", { class: "button", href: documentHref(name, { tab: "diff", branch: branch === "main" ? "" : branch, from: node, to: branch }) }, "Compare with newest")),
    version.delta && [h("h4", null, "What it did"), opsList(version.delta)]);
}

/** @param {string} name @param {[string, number]} node @returns {HTMLElement} */
export function nodeLink(name, [branch, version]) {
  return h("a", { href: documentHref(name, { tab: "time", branch: branch === "main" ? "" : branch, v: version }) }, `${branch}:${version}`);
}

function tagEditor(version, { name, onTags }) {
  const tags = new Set(version.tags);
  const box = h("span", { class: "tags" });
  const input = h("input", { type: "text", class: "tag-input", "aria-label": `Tag for version ${version.version}`, placeholder: "tag", autocomplete: "off", spellcheck: false });

  async function change(add, remove) {
    try {
      await api.send("POST", documentPath(name, "/tags"), { params: { branch: version.branch }, body: { version: version.version, add, remove } });
    } catch (error) {
      return toast(error.message, { kind: "bad" });
    }
    for (const tag of add) tags.add(tag);
    for (const tag of remove) tags.delete(tag);
    draw();
    toast(add.length ? `Version ${version.version} has the tag ${add[0]}.` : `The tag ${remove[0]} is gone from version ${version.version}.`);
    onTags([...tags].sort());
  }
  function draw() {
    const isInside = box.contains(document.activeElement);
    replace(box, [...tags].sort().map((tag) => h("span", { class: "tag" }, tag, iconButton(`Take the tag ${tag} away`, "×", () => change([], [tag])))), form);
    if (isInside) input.focus();
  }
  const form = h("form", { class: "tag-form", onsubmit: submit }, input, h("button", { type: "submit", class: "button small" }, "Add tag"));
  function submit(event) {
    event.preventDefault();
    const tag = input.value.trim();
    if (tag) change([tag], []);
    input.value = "";
  }
  draw();
  return box;
}
