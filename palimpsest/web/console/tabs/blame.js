// The tab “blame”: for each part of the value, the version that set it, who made that and why.

import { blameAt, blameMark, wordsOf } from "../lib/blame.js";
import { announce, empty, failure, field, h, loading, replace, time } from "../lib/dom.js";
import { ago, moment, number, plural } from "../lib/format.js";
import { valueAt } from "../lib/past.js";
import { formatPath, namePath } from "../lib/paths.js";
import { note } from "../lib/router.js";
import { treeButtons, valueTree } from "../lib/tree.js";
import { nodeLink } from "../lib/versioncard.js";

/** @param {HTMLElement} panel @param {any} context @param {AbortSignal} signal */
export async function show(panel, context, signal) {
  const version = h("input", { type: "number", min: "1", step: "1", class: "number", value: context.params.get("v") ?? placed(context), placeholder: "newest" });
  const body = h("div", null, loading());
  const form = h("form", { class: "blame-form", onsubmit: (event) => {
    event.preventDefault();
    look();
  } }, field("As of version", version), h("button", { type: "submit", class: "button" }, "Show"));
  replace(panel, h("div", { class: "blame" }, form, body));

  async function look() {
    const asked = version.value ? Number(version.value) : null;
    note(context.href({ v: asked ?? "" }));
    try {
      const marks = await blameAt(context, asked, signal);
      const seen = await valueAt(context.name, { ...context.view, version: marks.version }, signal);
      replace(body, seen.missing ? empty(seen.missing) : view(context, seen.value, marks));
    } catch (error) {
      if (!signal.aborted) replace(body, failure(error, look));
    }
  }
  await look();
}

function view(context, value, marks) {
  const card = h("div", { class: "blame-card" });
  const tree = valueTree({
    label: "The value, with the version that set each part in the margin",
    value,
    margin: (row) => (row.part ? null : blameMark(marks.get(row.id), context)),
    onSelect: (path) => {
      const mark = marks.get(formatPath(path));
      replace(card, cardOf(context, path, mark));
      announce(mark ? wordsOf(mark) : "nothing is known of it");
    },
  });
  replace(card, authorsOf(marks));
  return h("div", { class: "blame-columns" },
    h("section", { class: "blame-main", "aria-label": "The value and who set it" }, h("div", { class: "time-tools" }, treeButtons(tree)), tree.element),
    h("aside", { class: "blame-side", "aria-label": "Who set it" }, !marks.isExact && h("p", { class: "notice" }, "The history that is kept does not reach back to all of it: ≤ stands where an older version, which is not kept, may have set it."), card));
}

/** The version that the page looks at, where it is not the newest. */
function placed({ place, document }) {
  return Object.keys(place).length && document ? document.version : "";
}

function cardOf(context, path, mark) {
  if (!mark) return empty("Nothing is known of this part.");
  const { version, isInside } = mark;
  return h("section", { class: "version-card" },
    h("h3", null, h("code", null, namePath(path))),
    h("p", { class: "hint" }, isInside ? "The newest version of all that is inside:" : "It was set by:"),
    h("dl", { class: "facts" },
      h("dt", null, "Version"), h("dd", null, nodeLink(context.name, [version.branch, version.version])),
      h("dt", null, "Who"), h("dd", null, version.by ?? h("span", { class: "nothing" }, "not said")),
      h("dt", null, "When"), h("dd", null, time(version.at, moment(version.at)), h("span", { class: "hint" }, ` ${ago(version.at)}`)),
      h("dt", null, "Why"), h("dd", null, version.description ?? h("span", { class: "nothing" }, "not said"))));
}

/** How much of the value is whose, before anything is selected. */
function authorsOf(marks) {
  const counts = new Map();
  for (const mark of marks.values()) {
    if (!mark.isInside) counts.set(mark.version.by ?? "not said", (counts.get(mark.version.by ?? "not said") ?? 0) + 1);
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return h("section", { class: "version-card" },
    h("h3", null, "Who set how much"),
    h("p", { class: "hint" }, `${plural(total, "part")} of the value. Select one to see the version that set it.`),
    h("table", { },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Who"), h("th", { scope: "col", class: "number" }, "Parts"))),
      h("tbody", null, [...counts].sort((one, other) => other[1] - one[1]).slice(0, 50).map(([who, count]) => h("tr", null, h("th", { scope: "row" }, who), h("td", { class: "number" }, number(count)))))));
}
