// A perspective as a form, and as JSON: two ways to write the same definition.

import { button, field, h, replace, select } from "./dom.js";
import { entry, fieldOf, lines, rows, said } from "./entries.js";
import { parse, stringify } from "./json.js";

const FIELDS = ["documents", "include", "exclude", "rename", "mask", "compute", "extends", "family", "level", "read", "write", "writable", "description"];

/**
 * @param {Record<string, any>} definition without its name @param {{others: string[], onchange: () => void}} options others: names of perspectives
 * @returns {{element: HTMLElement, read: () => Record<string, any>, fail: (problem: any|null) => void}} read throws SyntaxError for what is no JSON.
 *   fail: shows a problem where it belongs; null takes it back.
 */
export function perspectiveForm(definition, { others, onchange }) {
  const element = h("div", { class: "definition" });
  const general = h("div", { class: "notice bad", role: "alert", hidden: true });
  let view = formView(definition, others, onchange);
  let isJson = false;
  const toggle = button("Write it as JSON", () => {
    const written = attempt(() => view.read());
    if (written === null) return;
    isJson = !isJson;
    view = isJson ? jsonView(written, onchange) : formView(written, others, onchange);
    toggle.textContent = isJson ? "Write it in the form" : "Write it as JSON";
    draw();
  }, { class: "quiet" });

  function attempt(read) {
    try {
      return read();
    } catch (error) {
      fail({ detail: error.message });
      return null;
    }
  }
  function draw() {
    replace(element, h("div", { class: "actions" }, toggle), view.element, general);
  }
  function fail(problem) {
    general.hidden = true;
    view.fail(null);
    if (!problem) return;
    if (view.fail(problem)) return;
    general.textContent = problem.detail || problem.message || problem.title;
    general.hidden = false;
  }
  draw();
  return { element, read: () => view.read(), fail };
}

function jsonView(definition, onchange) {
  const control = h("textarea", { class: "code", rows: 18, spellcheck: false, oninput: onchange, value: stringify(definition, 2) });
  return { element: field("Definition", control), read: () => parse(control.value), fail: () => false };
}

function formView(definition, others, onchange) {
  const documents = lines(definition.documents ?? "**", onchange);
  const include = lines(definition.include, onchange);
  const exclude = lines(definition.exclude, onchange);
  const writable = lines(definition.writable, onchange);
  const read = lines(definition.read, onchange);
  const write = lines(definition.write, onchange);
  const rename = pairs(definition.rename, ["path", "new name"], "name", onchange);
  const compute = pairs(definition.compute, ["place in the view", "JMESPath expression"], "computed value", onchange);
  const mask = masks(definition.mask, onchange);
  const above = select([["", "none"], ...others], definition.extends ?? "", { onchange });
  const family = h("input", { value: definition.family ?? "", autocomplete: "off", oninput: onchange });
  const level = h("input", { type: "number", min: 1, step: 1, value: definition.level ?? "", oninput: onchange });
  const description = h("input", { value: definition.description ?? "", oninput: onchange });
  const shown = {
    documents: field("Documents", documents.control, { hint: "Patterns, one a line." }),
    include: field("Shown", include.control, { hint: 'Paths, one a line; * is one step; "" is all of it.' }),
    exclude: field("Never shown", exclude.control),
    rename: group("Other names", rename.element),
    mask: group("Masks", mask.element),
    compute: group("Computed", compute.element),
    writable: field("May be written", writable.control),
    extends: field("Extends", above),
    family: field("Family", family, { hint: "For levels of disclosure." }),
    level: field("Level", level),
    read: field("Roles that may read by it", read.control),
    write: field("Roles that may write by it", write.control),
    description: field("Note", description),
  };
  return {
    element: h("div", { class: "definition-fields" }, FIELDS.map((name) => shown[name])),
    read: () => said({
      documents: documents.read(), include: include.read(), exclude: exclude.read(), rename: rename.read(), mask: mask.read(), compute: compute.read(),
      extends: above.value, family: family.value.trim(), level: level.value ? Number(level.value) : null,
      read: read.read(), write: write.read(), writable: writable.read(), description: description.value,
    }),
    fail(problem) {
      for (const one of Object.values(shown)) one.fail("");
      const name = problem && fieldOf(problem, FIELDS);
      if (!name) return false;
      const focused = document.activeElement;
      shown[name].fail(problem.detail);
      if (focused instanceof HTMLElement) focused.focus(); // who is writing goes on writing
      return true;
    },
  };
}

function group(label, content) {
  const error = h("p", { class: "field-error", role: "alert", hidden: true });
  const element = h("fieldset", { class: "field" }, h("legend", null, label), content, error);
  element.fail = (message) => {
    error.textContent = message;
    error.hidden = !message;
  };
  return element;
}

function pairs(given, [first, second], name, onchange) {
  const made = rows(Object.entries(given ?? {}), ([key, value], changed) => {
    const [one, other] = [entry(first, key, changed), entry(second, value, changed)];
    return { elements: [one, other], read: () => [one.value.trim(), other.value.trim()] };
  }, { name, fresh: () => ["", ""], onchange });
  return { element: made.element, read: () => Object.fromEntries(made.read().filter(([key]) => key)) };
}

function masks(given, onchange) {
  const made = rows(Object.entries(given ?? {}), ([path, mask], changed) => {
    const place = entry("path", path, changed);
    const kind = select([["constant", "a constant"], ["last", "the last characters"], ["hash", "a hash"]], mask.kind ?? "constant", { "aria-label": "kind of mask", onchange: look });
    const value = entry("JSON value", "value" in mask ? stringify(mask.value) : '"***"', changed);
    const characters = entry("characters", mask.characters ?? 4, changed, { type: "number", min: 0, step: 1 });
    const key = entry("key", mask.key ?? "", changed);
    function look() {
      value.hidden = kind.value !== "constant";
      characters.hidden = kind.value !== "last";
      key.hidden = kind.value !== "hash";
      changed();
    }
    for (const [control, of] of [[value, "constant"], [characters, "last"], [key, "hash"]]) control.hidden = kind.value !== of;
    const read = () => {
      if (kind.value === "last") return [place.value.trim(), { kind: "last", characters: Number(characters.value) }];
      if (kind.value === "hash") return [place.value.trim(), { kind: "hash", key: key.value }];
      return [place.value.trim(), { kind: "constant", value: parse(value.value) }];
    };
    return { elements: [place, kind, value, characters, key], read };
  }, { name: "mask", fresh: () => ["", {}], onchange });
  return { element: made.element, read: () => Object.fromEntries(made.read().filter(([path]) => path)) };
}
