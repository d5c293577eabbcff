// Documents and systems outside: what a plan would do, row by row, which rows are to be done, and what became of it.

import { api } from "../lib/api.js";
import { announce, button, dialog, empty, failure, h, loading, replace, time, toast } from "../lib/dom.js";
import { moment, number, plural } from "../lib/format.js";
import { stringify } from "../lib/json.js";
import { documentHref, go, pageHref } from "../lib/router.js";
import { table } from "../lib/table.js";

const ROWS_MAX = 500;

/** @param {HTMLElement} main @param {any} route nothing, `plans/SOURCE/ID` or `runs/SOURCE/ID` as its id @param {AbortSignal} signal */
export async function show(main, route, signal) {
  const [kind, ...rest] = (route.id ?? "").split("/");
  const id = rest.join("/");
  const content = h("div", { class: "reconcile" }, loading());
  const title = kind === "plans" ? "A plan" : kind === "runs" ? "A run" : "Reconciliation";
  replace(main, h("header", { class: "page-head" }, h("h1", null, title), id && h("a", { href: pageHref("reconcile") }, "All sources")), content);
  const open = async () => {
    try {
      if (kind === "plans") await showPlan(content, id, signal);
      else if (kind === "runs") await showRun(content, id, signal);
      else await listSources(content, signal);
    } catch (error) {
      if (!signal.aborted) replace(content, failure(error, open));
    }
  };
  await open();
}

// --- sources -------------------------------------------------------------------------------------------------------

async function listSources(content, signal) {
  const items = await api.all("/reconcile/sources", {}, { signal });
  if (!items.length) {
    replace(content, empty("Nothing outside is reconciled with documents here.", h("p", { class: "hint" }, "A source is added by ", h("code", null, "palimpsest reconcile add"), ".")));
    return;
  }
  replace(content, items.map((item) => sourceCard(item, signal)));
}

function sourceCard({ name, source, state }, signal) {
  const runs = h("div");
  const plan = button("Make a plan", async () => {
    plan.disabled = true;
    try {
      const { body } = await api.send("POST", `/reconcile/sources/${encodeURIComponent(name)}/plans`, { signal });
      go(pageHref(`reconcile/plans/${body.id}`));
    } catch (error) {
      toast(error.detail || error.message, { kind: "bad" });
    } finally {
      plan.disabled = false;
    }
  }, { class: "primary", "aria-label": `Make a plan for ${name}` });
  const more = h("details", { ontoggle: () => more.open && listRuns(runs, name, signal) }, h("summary", null, `Runs of ${name}`), runs);
  const last = state?.last_run ?? null;
  return h("section", { class: "card", "aria-labelledby": `source-${name}` },
    h("h2", { id: `source-${name}` }, name),
    h("dl", { class: "facts" },
      fact("Documents", h("code", null, source.documents)),
      fact("Direction", { in: "from outside in", out: "from here out", both: "both ways" }[source.direction ?? "in"]),
      fact("Conflicts", source.on_conflict ?? "fail"),
      last && fact("Last run", h("a", { href: pageHref(`reconcile/runs/${last}`) }, state.outcome || "under way")),
      source.interval_seconds && fact("Every", `${number(source.interval_seconds)} s`)),
    source.description && h("p", null, source.description),
    h("div", { class: "actions" }, plan), more);
}

async function listRuns(element, name, signal) {
  replace(element, loading());
  try {
    const runs = await api.all(`/reconcile/sources/${encodeURIComponent(name)}/runs`, {}, { signal });
    replace(element, runs.length ? table("Runs", ["run", "began", "outcome", "what was done"], runs.map((run) => [
      h("a", { href: pageHref(`reconcile/runs/${run.id}`) }, run.id), run.started_at ? time(run.started_at, moment(run.started_at)) : "", outcome(run.outcome), inWords(run.summary),
    ])) : empty("It has not been run yet."));
  } catch (error) {
    if (!signal.aborted) replace(element, failure(error, () => listRuns(element, name, signal)));
  }
}

// --- a plan --------------------------------------------------------------------------------------------------------

async function showPlan(content, id, signal) {
  const { body: plan } = await api.get(`/reconcile/plans/${id.split("/").map(encodeURIComponent).join("/")}`, {}, { signal });
  const rows = plan.rows.filter((row) => row.id && row.outcome !== "agreed");
  const models = [...new Set(rows.map((row) => row.model))].sort();
  const chosen = { model: new Set(models), action: new Set(["create", "update", "delete"]) };
  const boxes = (field, names) => h("fieldset", { class: "checks" }, h("legend", null, field), names.map((name) => h("label", null, h("input", { type: "checkbox", checked: true, onchange: (event) => {
    if (event.target.checked) chosen[field].add(name);
    else chosen[field].delete(name);
    draw();
  } }), name)));
  const shown = h("div");
  const apply = button("", () => confirmApply(plan, selection(), picked().length, signal), { class: "primary" });
  const isChosen = (row) => row.outcome === "apply" && chosen.model.has(row.model) && chosen.action.has(row.action);
  const picked = () => rows.filter(isChosen);

  /** Null where everything is to be done. */
  function selection() {
    const all = chosen.model.size === models.length && chosen.action.size === 3;
    return all ? null : { model: [...chosen.model], action: [...chosen.action] };
  }
  function draw() {
    const count = picked().length;
    apply.textContent = count ? `Apply ${plural(count, "change")}…` : "Nothing to apply";
    apply.disabled = count === 0;
    replace(shown, models.map((model) => modelSection(model, rows.filter((row) => row.model === model), isChosen)));
    announce(plural(count, "change") + " chosen");
  }
  replace(content,
    h("p", null, `For `, h("strong", null, plan.source), `, made `, time(plan.at, moment(plan.at)), `. ${inWords(plan.summary, TO_DO) || "Both sides agree: nothing is to be done."}`),
    plan.too_many_deletes && h("p", { class: "notice bad" }, `It would delete ${number(plan.too_many_deletes[0])}, and ${number(plan.too_many_deletes[1])} may be deleted at a time: it has to be forced.`),
    rows.length > 0 && h("div", { class: "row-form" }, boxes("model", models), boxes("action", ["create", "update", "delete"])),
    rows.length > 0 && h("div", { class: "actions" }, apply),
    shown,
    plan.conflicts.length > 0 && conflictSection(plan.conflicts));
  if (rows.length) draw();
}

function modelSection(model, rows, isChosen) {
  const label = model || "objects";
  return h("section", { class: "card" }, h("h2", null, `${label} `, h("small", null, plural(rows.length, "row"))), table(label, [h("span", { class: "sr-only" }, "chosen"), "object", "where", "what", "before", "after"], rows.slice(0, ROWS_MAX).map((row) => [
    h("span", { class: "chosen-mark" }, row.outcome === "conflict" ? "waits" : isChosen(row) ? "✓ chosen" : "left out"),
    row.id, row.direction === "out" ? "outside" : h("a", { href: documentHref(row.document) }, row.document),
    h("span", { class: ["badge", { create: "good", delete: "bad" }[row.action]] }, row.action), value(row, "before"), value(row, "after"),
  ])), rows.length > ROWS_MAX && h("p", { class: "hint" }, `and ${number(rows.length - ROWS_MAX)} more`));
}

function conflictSection(conflicts) {
  return h("section", { class: "card", "aria-labelledby": "conflicts" }, h("h2", { id: "conflicts" }, "Both sides changed"),
    h("p", { class: "hint" }, "These wait for a decision: as a pending merge once the plan is applied."),
    table("Conflicts", ["document", "path", "agreed before", "document now", "outside now"], conflicts.map((one) => [
      one.document, h("code", null, one.path), value(one, "base"), value(one, "ours"), value(one, "theirs"),
    ])));
}

function value(from, name) {
  return name in from && from[name] !== undefined ? h("pre", { class: "value small" }, stringify(from[name], 1)) : h("span", { class: "hint" }, "nothing");
}

async function confirmApply(plan, select, count, signal) {
  const force = h("input", { type: "checkbox" });
  const content = [h("p", null, `${plural(count, "change")} for ${plan.source} are done exactly as they are shown; what has moved since is left alone.`),
    plan.too_many_deletes && h("label", { class: "check" }, force, "Even though it deletes so much")];
  let run = null;
  const done = await dialog("Apply this plan?", content, {
    confirm: "Apply",
    ready: () => !plan.too_many_deletes || force.checked,
    onConfirm: async () => {
      run = (await api.send("POST", "/reconcile/apply", { body: { plan: plan.id, select, force: force.checked }, signal })).body;
    },
  });
  if (!done) return;
  toast(`Applied: ${run.outcome}.`, { kind: run.outcome === "applied" ? "good" : "info" });
  go(pageHref(`reconcile/runs/${run.id}`));
}

// --- a run ---------------------------------------------------------------------------------------------------------

async function showRun(content, id, signal) {
  const { body: run } = await api.get(`/reconcile/runs/${id.split("/").map(encodeURIComponent).join("/")}`, {}, { signal });
  const versions = Object.entries(run.versions ?? {});
  const merges = Object.entries(run.merges ?? {});
  replace(content,
    h("dl", { class: "facts" }, fact("Source", run.source), fact("Outcome", outcome(run.outcome)), run.started_at && fact("Began", time(run.started_at, moment(run.started_at))), run.ended_at && fact("Ended", time(run.ended_at, moment(run.ended_at))),
      fact("What was done", inWords(run.summary) || "nothing"), run.plan && fact("Plan", h("a", { href: pageHref(`reconcile/plans/${run.plan}`) }, run.plan))),
    run.message && h("p", { class: "notice bad" }, run.message),
    versions.length > 0 && h("section", null, h("h2", null, "Versions"), table("Versions", ["document", "version"], versions.map(([name, version]) => [h("a", { href: documentHref(name, { tab: "time", version }) }, name), number(version)]))),
    merges.length > 0 && h("section", null, h("h2", null, "Waiting for a decision"), table("Pending merges", ["document", "merge"], merges.map(([name, merge]) => [name, h("a", { href: pageHref(`merges/${merge}`) }, merge)]))));
}

// --- what they share -----------------------------------------------------------------------------------------------

const OUTCOMES = { running: "under way", applied: "applied", conflict: "applied; conflicts wait", partial: "in part", moved: "nothing: documents have moved", refused: "refused: too many deletes", failed: "failed" };

function outcome(word) {
  return h("span", { class: ["badge", word === "applied" ? "good" : word === "running" ? "" : "bad"] }, OUTCOMES[word] ?? word);
}

const DONE = { create: "created", update: "updated", delete: "deleted", conflict: "in conflict" };
const TO_DO = { create: "to create", update: "to update", delete: "to delete", conflict: "in conflict" };

/** @param {Record<string, number>|undefined} summary such as {"in.create": 2} @param {Record<string, string>} [words] */
function inWords(summary, words = DONE) {
  return Object.entries(summary ?? {}).map(([key, count]) => {
    const [direction, action] = key.split(".");
    return `${number(count)} ${words[action] ?? action}${direction === "out" ? " outside" : ""}`;
  }).join(", ");
}

function fact(name, said) {
  return h("div", null, h("dt", null, name), h("dd", null, said));
}
