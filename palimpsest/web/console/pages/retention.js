// How much of the past is kept: the policies, what documents take, and what pruning would free before anything is pruned.

import { api, idempotencyKey } from "../lib/api.js";
import { announce, button, dialog, empty, failure, field, h, loading, replace, toast } from "../lib/dom.js";
import { bytes, duration, number, plural } from "../lib/format.js";
import { documentHref } from "../lib/router.js";
import { scrolling } from "../lib/table.js";

const DAY_SECONDS = 86_400;
const LARGEST_MAX = 20;

/** @param {HTMLElement} main @param {any} route @param {AbortSignal} signal */
export async function show(main, route, signal) {
  const policies = h("div", null, loading());
  const freed = h("div", { role: "status" });
  const usage = h("div", null, loading());
  replace(main,
    h("header", { class: "page-head" }, h("h1", null, "Retention"), h("div", { class: "actions" }, button("New policy", () => edit(null), { class: "primary" }))),
    h("p", { class: "hint" }, "What a policy says is honoured in the background. The newest version of a document stays always, and so do versions with a tag that the policy names."),
    h("section", { class: "card retention", "aria-labelledby": "policies" }, h("h2", { id: "policies" }, "Policies"), policies),
    h("section", { class: "card retention", "aria-labelledby": "prune" }, h("h2", { id: "prune" }, "What would it free?"), pruneForm(), freed),
    h("section", { class: "card retention", "aria-labelledby": "usage" }, h("h2", { id: "usage" }, "What documents take"), usage));
  listPolicies();
  listUsage("**");

  async function listPolicies() {
    try {
      const items = await api.all("/retention", {}, { signal });
      replace(policies, items.length ? policyTable(items) : empty("There is no policy: everything is kept."));
    } catch (error) {
      if (!signal.aborted) replace(policies, failure(error, listPolicies));
    }
  }

  function policyTable(items) {
    return scrolling("Policies", h("table", null,
      h("thead", null, h("tr", null, ["name", "documents", "what is kept", "note"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "sr-only" }, "actions")))),
      h("tbody", null, items.map((item) => h("tr", null,
        h("th", { scope: "row" }, item.name),
        h("td", null, h("code", null, item.documents), item.branch && item.branch !== "main" && ` on ${item.branch}`),
        h("td", null, inWords(item)),
        h("td", null, item.description),
        h("td", { class: "actions" },
          button("What would it free?", () => preview(ofPolicy(item)), { class: "quiet", "aria-label": `What would the policy ${item.name} free?` }),
          button("Edit", () => edit(item), { class: "quiet", "aria-label": `Edit the policy ${item.name}` }),
          button("Delete", () => remove(item), { class: "quiet", "aria-label": `Delete the policy ${item.name}` })))))));
  }

  function edit(item) {
    const name = h("input", { value: item?.name ?? "", required: true, disabled: item !== null, autocomplete: "off" });
    const documents = h("input", { value: item?.documents ?? "", placeholder: "logs/**", autocomplete: "off", spellcheck: false });
    const fields = keepFields(item ?? {});
    const description = h("input", { value: item?.description ?? "" });
    const content = [field("Name", name), field("Documents", documents, { hint: "A name or a pattern: * is one level, ** any depth." }), fields.elements, field("Note", description)];
    dialog(item ? `The policy ${item.name}` : "A new policy", content, {
      confirm: "Save",
      ready: () => name.value.trim() !== "" && documents.value.trim() !== "",
      onConfirm: async () => {
        const body = { documents: documents.value.trim(), ...fields.read(), ...(item?.branch ? { branch: item.branch } : {}), description: description.value };
        await api.send("PUT", `/retention/${encodeURIComponent(name.value.trim())}`, { body, headers: { "Idempotency-Key": idempotencyKey() } });
        toast(`The policy ${name.value.trim()} is saved.`, { kind: "good" });
        await listPolicies();
      },
    });
  }

  function remove(item) {
    dialog(`Delete the policy ${item.name}?`, h("p", null, "What it let go does not come back; what another policy says stays."), {
      confirm: "Delete", danger: true,
      onConfirm: async () => {
        await api.send("DELETE", `/retention/${encodeURIComponent(item.name)}`);
        toast(`The policy ${item.name} is deleted.`);
        await listPolicies();
      },
    });
  }

  function pruneForm() {
    const pattern = h("input", { value: "**", autocomplete: "off", spellcheck: false });
    const fields = keepFields({ versions: 100 });
    return h("form", { class: "row-form", onsubmit: (event) => { event.preventDefault(); preview({ pattern: pattern.value.trim(), ...fields.read() }); } },
      field("Documents", pattern), fields.elements, h("div", { class: "actions" }, h("button", { type: "submit", class: "button primary" }, "Show what it would free")));
  }

  async function preview(wish) {
    replace(freed, loading("Counting…"));
    try {
      const { body } = await api.send("POST", "/prune", { body: { ...wish, dry_run: true }, signal });
      replace(freed, report(wish, body));
      announce(summary(body));
      freed.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!signal.aborted) replace(freed, failure(error));
    }
  }

  function report(wish, found) {
    const sure = found.events > 0 && button("Prune now…", () => prune(wish, found), { class: "danger" });
    return h("div", { class: "card" }, h("p", null, h("strong", null, summary(found)), " Nothing has been done."), found.largest.length > 0 && shareTable(found.largest, "events to go"), h("div", { class: "actions" }, sure));
  }

  function prune(wish, found) {
    const typed = h("input", { autocomplete: "off", spellcheck: false });
    const content = [h("p", null, summary(found), " Versions that are pruned cannot be read again."), field(`Type ${wish.pattern} to confirm`, typed)];
    dialog("Prune now?", content, {
      confirm: "Prune", danger: true, ready: () => typed.value.trim() === wish.pattern,
      onConfirm: async () => {
        const { body } = await api.send("POST", "/prune", { body: { ...wish, dry_run: false } });
        replace(freed, h("div", { class: "notice good" }, `${plural(body.events, "version")} of ${plural(body.documents, "document")} pruned; about ${bytes(body.bytes)} come back.`));
        listUsage("**");
      },
    });
  }

  async function listUsage(pattern) {
    try {
      const { body } = await api.get("/usage", { pattern, largest: LARGEST_MAX }, { signal });
      replace(usage, h("dl", { class: "tiles" }, [
        ["Documents", number(body.documents)], ["Deleted", number(body.deleted)], ["Versions kept", number(body.events)], ["Snapshots", number(body.snapshots)], ["Storage, about", bytes(body.bytes)],
      ].map(([name, value]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value)))),
      body.largest.length ? [h("h3", null, "The largest"), shareTable(body.largest, "versions")] : empty("There is no document yet."));
    } catch (error) {
      if (!signal.aborted) replace(usage, failure(error, () => listUsage(pattern)));
    }
  }
}

/** The controls for what is kept, and what they say by now. */
function keepFields(kept) {
  const versions = h("input", { type: "number", min: 1, step: 1, value: kept.versions ?? "" });
  const days = h("input", { type: "number", min: 0, step: "any", value: kept.seconds ? kept.seconds / DAY_SECONDS : "" });
  const size = h("input", { type: "number", min: 1, step: 1, value: kept.bytes_max ?? "" });
  const tags = h("input", { value: (kept.tags ?? ["*"]).join(" "), autocomplete: "off", spellcheck: false });
  return {
    elements: [
      field("Newest versions", versions, { hint: "So many are kept." }),
      field("Days", days, { hint: "Younger versions are kept." }),
      field("Bytes of a document", size, { hint: "Beyond it, the oldest go." }),
      field("Tags", tags, { hint: "Versions with one of these stay; * is any." }),
    ],
    read: () => ({
      ...(versions.value ? { versions: Number(versions.value) } : {}),
      ...(days.value ? { seconds: Number(days.value) * DAY_SECONDS } : {}),
      ...(size.value ? { bytes_max: Number(size.value) } : {}),
      tags: tags.value.split(/[\s,]+/).filter(Boolean),
    }),
  };
}

/** What a dry run is asked for a policy. */
function ofPolicy({ documents, branch, versions, seconds, bytes_max: size, tags }) {
  const given = { pattern: documents, branch, versions, seconds, bytes_max: size, tags };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
}

function inWords(policy) {
  const kept = [
    policy.versions && `the newest ${number(policy.versions)}`,
    policy.seconds && `what is younger than ${duration(policy.seconds)}`,
  ].filter(Boolean);
  const said = kept.length ? kept.join(", and ") : "everything";
  const size = policy.bytes_max ? `, up to ${bytes(policy.bytes_max)} a document` : "";
  const tags = policy.tags ?? ["*"];
  return `${said}${size}${tags.length ? `; tagged ${tags.join(", ")}` : ""}`;
}

function summary(found) {
  if (!found.events) return "Nothing would go.";
  return `${plural(found.events, "version")} of ${plural(found.documents, "document")} would go, and about ${bytes(found.bytes)} come back.`;
}

function shareTable(shares, name) {
  return scrolling("The largest documents", h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "document"), h("th", { scope: "col", class: "number" }, name), h("th", { scope: "col", class: "number" }, "bytes"))),
    h("tbody", null, shares.map((share) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: documentHref(share.document) }, share.document)),
      h("td", { class: "number" }, number(share.events)), h("td", { class: "number" }, bytes(share.bytes)))))));
}
