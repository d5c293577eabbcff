// The tab “branches”: the graph of all versions, the branches that there are, and what one does with them.

import { events } from "../lib/api.js";
import { branchDialog, deleteBranchDialog } from "../lib/branchdialog.js";
import { add, announce, button, empty, failure, h, loading, replace, time } from "../lib/dom.js";
import { ago, number } from "../lib/format.js";
import { layout } from "../lib/graph.js";
import { graphView } from "../lib/graphview.js";
import { mergeDialog } from "../lib/mergedialog.js";
import { branchesOf, graphOf, rangeReader, versionOf } from "../lib/past.js";
import { documentHref } from "../lib/router.js";
import { scrolling } from "../lib/table.js";
import { nodeLink, versionCard } from "../lib/versioncard.js";
import { Versions } from "../lib/versions.js";
import { goBack } from "../lib/wayback.js";

const RECORD = "$versions";
const LOOK_SECONDS = 3;
const OPENED_STEP = 25;

/** @param {HTMLElement} panel @param {any} context @param {AbortSignal} signal */
export async function show(panel, context, signal) {
  replace(panel, loading());
  const page = new BranchesPage(context, signal);
  await page.read();
  if (signal.aborted) return;
  replace(panel, page.element);
  page.graph.refresh();
  page.follow();
}

class BranchesPage {
  constructor(context, signal) {
    this.context = context;
    this.signal = signal;
    /** What each branch is made of, by its name. @type {Map<string, Versions>} */
    this.versions = new Map();
    /** How many versions of a run are shown one by one, by the run's key. @type {Map<string, number>} */
    this.opened = new Map();
    this.branches = [];
    this.known = { lines: [], joins: [], tags: new Map() };
    this.seen = "";
    this.withDeleted = h("input", { type: "checkbox", id: "with-deleted", onchange: () => this.draw() });
    this.graph = graphView({ said: (row) => this.said(row), want: (rows) => this.want(rows), onSelect: (row) => this.select(row) });
    this.card = h("div", { class: "branches-card" }, empty("Select a version to see who made it and why."));
    this.table = scrolling("Branches");
    this.notices = h("div");
    this.problem = h("div");
    this.content = h("div", { class: "stack" });
    this.element = this.build();
  }

  build() {
    replace(this.content,
      h("div", { class: "cluster" },
        button("New branch…", () => this.make(`${this.context.branch}`), { class: "primary", "aria-haspopup": "dialog" }),
        button("Merge…", () => this.merge(), { "aria-haspopup": "dialog" }),
        h("label", { class: "choice push", for: "with-deleted" }, this.withDeleted, h("span", null, "Deleted branches, too"))),
      this.notices,
      h("div", { class: "card flush" }, this.table),
      h("div", { class: "columns wide-left" },
        h("section", { class: "card flush", "aria-label": "The graph of versions" }, h("div", { class: "card-head" }, h("h2", null, "Versions")), this.graph.element),
        this.card));
    return h("div", { class: "branches stack" }, this.problem, this.content);
  }

  // --- what there is -------------------------------------------------------------------------------------------------

  async read() {
    try {
      const branches = await branchesOf(this.context.name, this.signal);
      const known = await graphOf(this.context.name, branches, this.signal);
      replace(this.problem);
      this.content.hidden = false;
      this.take(branches.filter((branch) => !branch.document.includes("*")), known);
    } catch (error) {
      if (this.signal.aborted) return;
      replace(this.problem, failure(error, () => this.read(), { isSeen: true }));
      this.content.hidden = error.status === 403 || !this.branches.length; // there is nothing to be done with what is not known
    }
  }

  take(branches, known) {
    const seen = JSON.stringify([branches, known.lines, known.joins, [...known.tags]]);
    if (seen === this.seen) return;
    for (const branch of branches) {
      const old = this.branches.find((one) => one.branch === branch.branch && one.deleted === branch.deleted);
      if (old && old.head !== branch.head) this.versions.get(branch.branch)?.forget(old.head);
    }
    Object.assign(this, { seen, branches, known });
    replace(this.notices);
    this.draw();
  }

  draw() {
    const isShown = (one) => this.withDeleted.checked || !one.deleted;
    const lines = this.known.lines.filter((line) => isShown(line) || this.isNeeded(line));
    const graph = layout(lines, this.known.joins, { tags: this.known.tags, opened: this.opened });
    this.graph.update(graph);
    keepingFocus(this.table, () => replace(this.table, this.tableOf(this.branches.filter(isShown))));
    if (graph.isCut) replace(this.notices, h("p", { class: "notice" }, `The graph shows its newest ${number(graph.rows.length)} rows.`));
  }

  /** A deleted branch that something came from is part of how the rest came about. */
  isNeeded(line) {
    const isIn = ([branch, version]) => branch === line.branch && line.first <= version && version <= line.last;
    return this.known.joins.some(({ from }) => isIn(from)) || this.known.lines.some((other) => other.base && !other.deleted && isIn(other.base));
  }

  tableOf(branches) {
    return h("table", { class: "branch-table" },
      h("thead", null, h("tr", null, ["Branch", "Newest", "Starts from", "Made", "Why"].map((label) => h("th", { scope: "col", class: label === "Newest" && "number" }, label)), h("th", { scope: "col" }, h("span", { class: "sr-only" }, "What to do")))),
      h("tbody", null, branches.map((branch) => this.rowOf(branch))));
  }

  rowOf({ branch, base, head, at, by, description, deleted }) {
    const { name } = this.context;
    const isMain = branch === "main";
    return h("tr", null,
      h("th", { scope: "row" }, deleted ? branch : h("a", { href: documentHref(name, { branch: isMain ? "" : branch }) }, branch), deleted && h("span", { class: "badge" }, "deleted"), branch === this.context.branch && !deleted && h("span", { class: "badge accent" }, "shown")),
      h("td", { class: "number" }, number(head)),
      h("td", null, base ? nodeLink(name, base) : "—"),
      h("td", null, at ? time(at, ago(at)) : "—", by && ` by ${by}`),
      h("td", null, description ?? ""),
      h("td", null, !deleted && h("div", { class: "actions nowrap" },
        !isMain && button("Merge…", () => this.merge(branch, base?.[0] ?? "main"), { class: "small", "aria-label": `Merge ${branch}…`, "aria-haspopup": "dialog" }),
        !isMain && button("Delete…", () => this.remove(branch), { class: "small", "aria-label": `Delete ${branch}…`, "aria-haspopup": "dialog" }))));
  }

  // --- one version ---------------------------------------------------------------------------------------------------

  versionsOf(branch) {
    if (!this.versions.has(branch)) this.versions.set(branch, new Versions(rangeReader({ name: this.context.name, branch, view: { ...this.context.view, branch } }, this.signal)));
    return /** @type {Versions} */ (this.versions.get(branch));
  }

  /** What a deleted branch made is read by its number; a list of it is not to be had. */
  said(row) {
    if (row.kind === "run") return undefined;
    return row.line.deleted ? null : this.versionsOf(row.branch).peek(row.last);
  }

  async want(rows) {
    const wanted = rows.filter((row) => row.kind === "version" && this.said(row) === undefined);
    const chunks = new Map(wanted.map((row) => [`${row.branch} ${Math.floor((row.last - 1) / Versions.CHUNK)}`, row]));
    if (!chunks.size) return;
    await Promise.allSettled([...chunks.values()].map((row) => this.versionsOf(row.branch).get(row.last)));
    if (!this.signal.aborted) this.graph.refresh();
  }

  async select(row) {
    if (row.kind === "run") {
      this.opened.set(row.key, (this.opened.get(row.key) ?? 0) + OPENED_STEP);
      this.draw();
      this.graph.select(`${row.branch}:${row.last}`);
      return;
    }
    const { name } = this.context;
    const version = row.line.deleted ? await versionOf(name, row.branch, row.last, this.signal) : await this.versionsOf(row.branch).get(row.last);
    if (this.signal.aborted) return;
    const href = documentHref(name, { tab: "time", branch: row.branch === "main" ? "" : row.branch, v: row.last });
    if (!version) return replace(this.card, empty(`${row.branch}:${row.last} is not kept, or deleted the document.`));
    replace(this.card, versionCard(version, {
      name,
      branch: row.branch,
      newest: row.line.last,
      isGone: row.line.deleted,
      onBack: (kind, to) => goBack({ name, branch: row.branch, view: { branch: row.branch } }, kind, to).then((made) => made && this.read()),
      onBranch: (at) => this.make(at),
      onTags: (tags) => {
        this.versions.get(row.branch)?.put({ ...version, tags });
        this.read();
      },
    }));
    announce([`Version ${version.version}`, version.by && `by ${version.by}`, version.description].filter(Boolean).join(", "));
    if (matchMedia("(max-width: 60rem)").matches) this.card.scrollIntoView({ block: "nearest" });
    if (!row.line.deleted) add(this.card.firstElementChild, h("p", { class: "version-see" }, h("a", { href }, "See it in time")));
  }

  // --- what one does -------------------------------------------------------------------------------------------------

  async make(at) {
    if (await branchDialog(this.context.name, at)) await this.read();
  }

  async remove(branch) {
    if (await deleteBranchDialog(this.context.name, branch)) await this.read();
  }

  async merge(source, into) {
    const branches = this.branches.filter((branch) => !branch.deleted).map((branch) => branch.branch);
    const from = source ?? (this.context.branch === "main" ? branches.find((branch) => branch !== "main") : this.context.branch);
    const target = into ?? (from === this.context.branch ? "main" : this.context.branch);
    if (branches.length < 2) return replace(this.notices, h("p", { class: "notice" }, "There is one branch only: nothing to merge."));
    const merge = await mergeDialog({ document: this.context.name, branches, source: from, into: target });
    if (merge?.committed) await this.read();
  }

  // --- live ----------------------------------------------------------------------------------------------------------

  /** The record tells of branches, merges and tags; how far each branch is, is looked at now and then. */
  follow() {
    events({ pattern: this.context.name, branch: RECORD }, { signal: this.signal, onChange: () => this.read() });
    const timer = setInterval(() => document.visibilityState === "visible" && this.read(), LOOK_SECONDS * 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }
}

/** A live change is not to take the focus away from who is about to press something. */
function keepingFocus(box, change) {
  const focused = box.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
  change();
  if (focused) [...box.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focused)?.focus();
}
