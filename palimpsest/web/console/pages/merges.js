// Merges that wait for their conflicts to be resolved: all of them, and one with its conflicts side by side.

import { api, encodeName, events, idempotencyKey } from "../lib/api.js";
import { conflictCard } from "../lib/conflictcard.js";
import { carriedOver, conflictsOf, keyOf, resolutionsOf } from "../lib/decisions.js";
import { announce, button, dialog, empty, failure, field, h, loading, replace, time, toast } from "../lib/dom.js";
import { ago, number, plural } from "../lib/format.js";
import { equal } from "../lib/json.js";
import { mergeDialog, wordsOf } from "../lib/mergedialog.js";
import { opsList } from "../lib/diffview.js";
import { documentHref, go, pageHref } from "../lib/router.js";
import { scrolling } from "../lib/table.js";

const CARDS_STEP = 50;
const DOCUMENTS_NAMED_MAX = 5;
const KINDS = { merge: "merge", pick: "cherry-pick", rebase: "rebase" };

/** @param {HTMLElement} main @param {import("../lib/router.js").Route} route @param {AbortSignal} signal */
export async function show(main, route, signal) {
  return route.id ? showOne(main, route.id, signal) : showAll(main, signal);
}

// --- all of them -----------------------------------------------------------------------------------------------------

async function showAll(main, signal) {
  const list = h("div", null, loading());
  replace(main,
    h("div", { class: "page-head" }, h("h1", null, "Merges"),
      h("div", { class: "actions" }, button("Merge many documents…", () => mergeDialog({ document: "**", isPattern: true }).then(read), { "aria-haspopup": "dialog" }))),
    h("p", { class: "lead" }, "What both sides changed differently waits here until somebody decides. Nothing of a merge has happened before."),
    list);

  async function read() {
    try {
      const items = await api.all("/merges", {}, { signal, items_max: 1_000 });
      replace(list, items.length ? pendingTable(items) : empty("No merge is pending.", h("p", { class: "hint" }, "Branches of one document are merged on its tab “Branches”.")));
    } catch (error) {
      if (!signal.aborted) replace(list, failure(error, read));
    }
  }
  await read();
  // Who may not follow these sees what was there when the page was opened.
  events({ pattern: "$system/merges/**" }, { signal, onChange: soonAfter(read, signal) });
}

/** Many changes in a row are one reason to look. */
function soonAfter(run, signal) {
  let timer = 0;
  signal.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, 150);
  };
}

function pendingTable(items) {
  return h("div", { class: "card flush" }, scrolling("Pending merges",
    h("table", null,
      h("thead", null, h("tr", null, ["Merge", "Documents", "Open", "Begun", "Why"].map((label) => h("th", { scope: "col", class: label === "Open" && "number" }, label)))),
      h("tbody", null, items.map(pendingRow)))));
}

function pendingRow(item) {
  const names = Object.keys(item.documents);
  const open = Object.values(item.documents).reduce((sum, count) => sum + count, 0);
  return h("tr", null,
    h("th", { scope: "row" }, h("a", { href: pageHref(`merges/${item.merge_id}`) }, `${item.source} → ${item.into}`), item.kind !== "merge" && h("span", { class: "badge" }, KINDS[item.kind] ?? item.kind)),
    h("td", null, names.slice(0, DOCUMENTS_NAMED_MAX).join(", "), names.length > DOCUMENTS_NAMED_MAX && ` and ${number(names.length - DOCUMENTS_NAMED_MAX)} more`),
    h("td", { class: "number" }, number(open)),
    h("td", null, time(item.at, ago(item.at)), item.by && ` by ${item.by}`),
    h("td", null, item.description ?? ""));
}

// --- one -------------------------------------------------------------------------------------------------------------

const SIDES = [["ours", "All ours"], ["theirs", "All theirs"], ["base", "All as before"]];

async function showOne(main, id, signal) {
  const path = `/merges/${encodeName(id)}`;
  const title = h("h1", null, "A pending merge");
  const body = h("div", null, loading());
  replace(main, h("p", { class: "crumbs" }, h("a", { href: pageHref("merges") }, "Merges")), title, body);

  /** @type {any} */
  let merge;
  let conflicts = [];
  let decisions = new Map();
  let key = idempotencyKey(); // one for each set of decisions

  async function read() {
    try {
      take((await api.get(path, {}, { signal })).body);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) replace(body, empty("This merge is over, or never was.", h("a", { href: pageHref("merges") }, "All pending merges")));
      else replace(body, failure(error, read));
    }
  }

  /** A state of the merge, newer than the one that is shown; what was decided and still applies is kept. */
  function take(next) {
    const fresh = conflictsOf(next);
    decisions = carriedOver(conflicts, fresh, decisions, equal);
    [merge, conflicts] = [next, fresh];
    const [part] = merge.parts;
    if (part) title.textContent = `Merge of ${part.source[0]} into ${part.into[0]}`;
    draw();
  }

  let view;
  function draw() {
    view = viewOfOne();
    replace(body, view.element);
    view.count();
  }

  function viewOfOne() {
    const progress = h("progress", { max: Math.max(1, conflicts.length), value: 0, "aria-label": "Conflicts decided" });
    const words = h("span", { class: "number" });
    const why = h("input", { type: "text", autocomplete: "off" });
    const commit = button("Commit the merge", () => send(true), { class: "primary" });
    const save = button("Save decisions", () => send(false));
    const cards = h("div", { class: "conflicts" });
    const byKey = new Map();
    const more = button("", next, { class: "quiet more" });
    let shown = 0;

    function next() {
      for (const conflict of conflicts.slice(shown, shown + CARDS_STEP)) {
        const card = conflictCard(conflict, { decision: decisions.get(keyOf(conflict)), sides: sidesOf(conflict), onDecide: (decision) => decide(conflict, decision) });
        byKey.set(keyOf(conflict), card);
        cards.append(card.element);
      }
      shown = Math.min(conflicts.length, shown + CARDS_STEP);
      more.hidden = shown >= conflicts.length;
      more.textContent = more.hidden ? "" : `Show ${plural(Math.min(CARDS_STEP, conflicts.length - shown), "more conflict", "more conflicts")}`;
    }
    function sidesOf(conflict) {
      const part = merge.parts.find((one) => one.document === conflict.document && one.conflicts.length) ?? merge.parts[0];
      return { base: part.base?.join(":") ?? "nothing in common", ours: part.into.join(":"), theirs: part.source.join(":") };
    }
    function decide(conflict, decision) {
      if (decision) decisions.set(keyOf(conflict), decision);
      else decisions.delete(keyOf(conflict));
      tell();
    }
    function tell() {
      key = idempotencyKey();
      count();
    }
    function count() {
      const left = conflicts.length - decisions.size;
      progress.value = decisions.size;
      words.textContent = `${number(decisions.size)} of ${plural(conflicts.length, "conflict")} decided`;
      commit.disabled = left > 0;
      save.disabled = decisions.size === 0 || left === 0;
    }
    function decideAll(take) {
      for (const conflict of conflicts) decisions.set(keyOf(conflict), { take });
      for (const conflict of conflicts) byKey.get(keyOf(conflict))?.set({ take });
      tell();
      announce(words.textContent);
    }
    async function send(isLast) {
      for (const one of [commit, save]) one.disabled = true;
      try {
        const params = { description: why.value.trim() };
        const headers = { "Idempotency-Key": key };
        const answer = (await api.send("POST", `${path}/resolutions`, { params, headers, body: { resolutions: resolutionsOf(conflicts, decisions) } })).body;
        if (answer.committed || !conflictsOf(answer).length) return finish(answer);
        take(answer);
        const left = `${plural(conflicts.length, "conflict")} left`;
        toast(isLast ? `A branch went on meanwhile: ${left}. Nothing was committed.` : `Saved; ${left}.`, { kind: isLast ? "bad" : "good" });
      } catch (error) {
        toast(error.message, { kind: "bad" });
        if (error.status === 404) await read();
        else count();
      }
    }

    next();
    const parts = merge.parts.filter((part) => part.delta.length);
    return {
      count,
      element: h("div", { class: "merge" },
        h("p", { class: "lead" }, "Ours is what is there on ", h("strong", null, merge.parts[0]?.into[0] ?? "the target"), ", theirs what ", h("strong", null, merge.parts[0]?.source[0] ?? "the source"), " made of it."),
        h("div", { class: "merge-all", role: "group", "aria-label": "All conflicts at once" }, SIDES.map(([side, label]) => button(label, () => decideAll(side)))),
        cards, more,
        parts.length > 0 && h("details", { class: "merge-rest" }, h("summary", null, `What comes together by itself: ${plural(parts.reduce((sum, part) => sum + part.delta.length, 0), "change")}`),
          parts.map((part) => h("div", null, h("h3", null, part.document), opsList(part.delta)))),
        h("div", { class: "merge-bar" },
          h("div", { class: "merge-progress" }, progress, words),
          field("Why", why),
          h("div", { class: "actions" }, button("Abandon…", abandon, { "aria-haspopup": "dialog" }), save, commit))),
    };
  }

  function finish(answer) {
    const [part] = answer.parts;
    toast(`Merged: ${wordsOf(answer)}`, { kind: "good" });
    const isOne = new Set(answer.parts.map((one) => one.document)).size === 1;
    go(isOne ? documentHref(part.document, { tab: "branches", branch: part.into[0] === "main" ? "" : part.into[0] }) : pageHref("merges"));
  }

  async function abandon() {
    const isSure = await dialog("Abandon this merge?", "Nothing of it has happened to the documents, and nothing will. Decisions that were saved are remembered for a later merge of these branches.", {
      confirm: "Abandon it",
      danger: true,
      onConfirm: () => api.send("DELETE", path),
    });
    if (!isSure) return;
    toast("The merge was abandoned.");
    go(pageHref("merges"));
  }

  await read();
  if (merge?.parts.length) follow(merge.parts[0], body, signal, read);
}

/** Says when the target went on, as conflicts may come and go with it. */
function follow(part, body, signal, read) {
  let notice = null;
  events({ pattern: part.document, branch: part.into[0] }, {
    signal,
    onChange: (change) => {
      if (notice?.isConnected || !body.querySelector(".merge")) return;
      notice = h("div", { class: "notice", role: "status" }, h("p", null, `${change.branch} went on to version ${number(change.version)}${change.by ? `, by ${change.by}` : ""}.`), button("Bring up to date", read));
      body.prepend(notice);
    },
  });
}
