// One conflict: what was there, what either side made of it, and what is to be there.

import { resultOf, KINDS } from "./decisions.js";
import { textViews, valueView } from "./diffview.js";
import { field, h, replace } from "./dom.js";
import { kindOf, parse, stringify } from "./json.js";
import { namePath } from "./paths.js";

const LONG_CHARACTERS = 40;
let cards = 0;

/**
 * @param {import("./decisions.js").Conflict} conflict
 * @param {{decision?: import("./decisions.js").Decision, sides: {base: string, ours: string, theirs: string}, onDecide: (decision: import("./decisions.js").Decision|null) => void}} options
 *   sides: where each value is from, such as "main:3". onDecide: null where what is typed is not JSON.
 * @returns {{element: HTMLElement, set: (decision: import("./decisions.js").Decision) => void}}
 */
export function conflictCard(conflict, { decision, sides, onDecide }) {
  const name = `conflict-${(cards += 1)}`;
  const result = h("div", { class: "conflict-result", "aria-live": "polite" });
  const editor = h("textarea", { rows: 4, spellcheck: false, oninput: () => edited() });
  const editing = field("Value, as JSON", editor, { class: "conflict-editor" });
  const radios = new Map();
  const option = (value, label) => {
    const input = h("input", { type: "radio", name, value, onchange: () => chosen(value) });
    radios.set(value, input);
    return h("label", { class: "choice" }, input, h("span", null, label));
  };
  const views = viewsOf(conflict);
  const [didOurs, didTheirs] = KINDS[conflict.kind] ?? [conflict.kind, conflict.kind];
  const side = (take, title, did) =>
    h("div", { class: ["conflict-side", take] },
      h("div", { class: "conflict-side-head" }, option(take, title), h("span", { class: "hint" }, sides[take])),
      did && h("p", { class: "hint" }, did),
      conflict.left_out ? h("p", { class: "hint" }, "too large to be shown here") : views[take]);

  function chosen(value) {
    editing.hidden = value !== "value";
    if (value === "value") return edited(true);
    tell(value === "absent" ? { absent: true } : { take: value });
  }
  function edited(isNew = false) {
    if (isNew && editor.value === "") editor.value = stringify(conflict.ours?.value ?? conflict.theirs?.value ?? null, 2);
    if (isNew) editor.focus();
    try {
      tell({ value: parse(editor.value) });
      editing.querySelector(".field-error").hidden = true;
      editor.setAttribute("aria-invalid", "false");
    } catch (error) {
      editing.fail(`This is not JSON: ${error.message}`);
      tell(null);
    }
  }
  function tell(next) {
    draw(next);
    onDecide(next);
  }
  function draw(next) {
    element.classList.toggle("decided", next !== null);
    state.textContent = next ? "decided" : "open";
    replace(result, next && [h("span", { class: "hint" }, "Will be"), shownResult(next)]);
  }
  function shownResult(next) {
    return conflict.left_out && "take" in next ? h("span", null, `as ${next.take} has it`) : valueView(resultOf(conflict, next));
  }
  function set(next) {
    const value = "take" in next ? next.take : "absent" in next ? "absent" : "value";
    radios.get(value).checked = true;
    editing.hidden = value !== "value";
    if (value === "value") editor.value = stringify(next.value, 2);
    draw(next);
  }

  const state = h("span", { class: "badge" }, "open");
  editing.hidden = true;
  const element = h("fieldset", { class: "conflict" },
    h("legend", null, h("span", { class: "conflict-document" }, conflict.document), h("code", null, namePath(conflict.path)), state),
    h("div", { class: "conflict-sides-row" }, side("base", "As before"), side("ours", "Ours", didOurs), side("theirs", "Theirs", didTheirs)),
    h("div", { class: "conflict-more" }, option("value", "Another value"), conflict.path !== "" && option("absent", "Nothing there")),
    editing, result);
  if (decision) set(decision);
  return { element, set };
}

/** Long texts show what each side changed in them. */
function viewsOf({ base, ours, theirs }) {
  const plain = { base: valueView(base?.value), ours: valueView(ours?.value), theirs: valueView(theirs?.value) };
  const isLong = (side) => side && kindOf(side.value) === "string" && side.value.length > LONG_CHARACTERS;
  if (!isLong(base)) return plain;
  if (isLong(ours)) plain.ours = h("div", null, textViews(base.value, ours.value)[1]);
  if (isLong(theirs)) plain.theirs = h("div", null, textViews(base.value, theirs.value)[1]);
  return plain;
}
