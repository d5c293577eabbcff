// A role as a form: its grants, and the bounds of those who have it.

import { field, h, select } from "./dom.js";
import { entry, rows, said } from "./entries.js";

export const ACTIONS = ["read", "write", "history", "subscribe", "branch", "merge", "observe", "admin"];
const BOUNDS = { connections_max: "Connections", in_flight_requests_max: "Requests without an answer", bytes_per_second_max: "Bytes a second", subscriptions_max: "Subscriptions" };

/**
 * @param {any} role as it is stored @param {{perspectives: string[], onchange: () => void}} options
 * @returns {{element: HTMLElement, read: () => any}}
 */
export function roleForm(role, { perspectives, onchange }) {
  const grants = rows(role.grants ?? [], (grant, changed) => grantRow(grant, perspectives, changed), { name: "grant", fresh: () => ({ documents: "**", actions: ["read"] }), onchange });
  const bounds = Object.fromEntries(Object.keys(BOUNDS).map((name) => [name, h("input", { type: "number", min: 1, step: 1, value: role.limits?.[name] ?? "", oninput: onchange })]));
  const description = h("input", { value: role.description ?? "", oninput: onchange });
  const element = h("div", { class: "definition-fields" },
    h("fieldset", { class: "field" }, h("legend", null, "Grants"), grants.element),
    h("fieldset", { class: "field" }, h("legend", null, "Bounds of each who has it"), h("div", { class: "row-form" }, Object.entries(BOUNDS).map(([name, label]) => field(label, bounds[name])))),
    field("Note", description));
  return {
    element,
    read: () => said({
      grants: grants.read(),
      limits: said(Object.fromEntries(Object.entries(bounds).map(([name, control]) => [name, control.value ? Number(control.value) : null]))),
      description: description.value,
    }),
  };
}

function grantRow(grant, perspectives, changed) {
  const patterns = typeof grant.documents === "string" ? [grant.documents] : grant.documents;
  const documents = entry("documents", patterns.join(" "), changed);
  const through = select([["", "as they are"], ...perspectives], grant.perspective ?? "", { "aria-label": "seen through", onchange: changed });
  if (grant.perspective && !perspectives.includes(grant.perspective)) {
    through.append(h("option", { value: grant.perspective, selected: true }, grant.perspective));
  }
  const level = entry("level", grant.level ?? "", changed, { type: "number", min: 1, step: 1 });
  const boxes = ACTIONS.map((action) => [action, h("input", { type: "checkbox", checked: grant.actions.includes(action), onchange: changed })]);
  const actions = h("div", { class: "checks", role: "group", "aria-label": "actions" }, boxes.map(([action, box]) => h("label", null, box, action)));
  return {
    elements: [documents, actions, through, level],
    read: () => said({
      documents: onlyOne(documents.value.split(/[\s,]+/).filter(Boolean)),
      actions: boxes.filter(([, box]) => box.checked).map(([action]) => action),
      perspective: through.value,
      level: level.value ? Number(level.value) : null,
    }),
  };
}

function onlyOne(patterns) {
  return patterns.length === 1 ? patterns[0] : patterns;
}
