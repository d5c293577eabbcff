// The tab “time”: a scrubber over all versions of a branch, what each changed, who made it and why.

import { api, documentPath, events } from "../lib/api.js";
import { blameAt, blameMark } from "../lib/blame.js";
import { branchDialog } from "../lib/branchdialog.js";
import { changedPaths } from "../lib/delta.js";
import { button, empty, failure, field, h, loading, replace } from "../lib/dom.js";
import { ago, number } from "../lib/format.js";
import { segmentsOf } from "../lib/graph.js";
import { pagedSource, virtualList } from "../lib/list.js";
import { branchesOf, extentOf, graphOf, rangeReader, valuesOf } from "../lib/past.js";
import { note } from "../lib/router.js";
import { scrubber } from "../lib/scrubber.js";
import { valueTree } from "../lib/tree.js";
import { versionCard } from "../lib/versioncard.js";
import { Versions } from "../lib/versions.js";
import { goBack } from "../lib/wayback.js";

const ROW_PX = 52;
const PAGE_VERSIONS = 200;
const MARKS_SOON_MS = 200;

/** @param {HTMLElement} panel @param {any} context @param {AbortSignal} signal */
export async function show(panel, context, signal) {
  replace(panel, loading());
  const extent = await extentOf(context, signal);
  if (signal.aborted) return;
  if (!extent.newest) return replace(panel, empty("This document has no versions to be seen."));
  const page = new TimePage(context, extent, signal);
  replace(panel, page.element);
  await page.start();
}

class TimePage {
  constructor(context, { oldest, newest }, signal) {
    this.context = context;
    this.signal = signal;
    [this.oldest, this.newest] = [oldest, newest];
    this.values = valuesOf(context, signal);
    this.versions = new Versions(rangeReader(context, signal));
    this.lines = [];
    this.joins = [];
    this.tags = new Map();
    /** The look that is on its way; see `look`. @type {Promise<void>|null} */
    this.looking = null;
    this.blame = null;
    this.tree = null;
    const first = Math.min(Math.max(startOf(context) ?? newest, oldest), newest);
    this.wanted = first;
    this.scrubber = scrubber({ oldest, newest, version: first, describe: (version) => this.describe(version), onChange: (version) => this.look(version) });
    this.card = h("div", { class: "time-card" });
    this.value = h("div", { class: "time-value" });
    this.withBlame = h("input", { type: "checkbox", onchange: () => this.showBlame() });
    this.source = this.numbered();
    this.list = virtualList({
      label: "Versions, newest first",
      source: this.source,
      rowHeight: ROW_PX,
      render: (version) => this.row(version),
      onSelect: (version) => this.goTo(version.version),
      whenEmpty: (source) => (source.error ? failure(source.error) : h("p", { class: "faint" }, source.isComplete ? "No version meets these conditions." : "Looking…")),
    });
    this.element = this.build();
  }

  build() {
    return h("div", { class: "time" },
      this.scrubber.element,
      h("div", { class: "time-columns" },
        h("section", { class: "time-main", "aria-label": "The value at this version" },
          h("div", { class: "time-tools" }, field("Who set it, in the margin", this.withBlame)),
          this.value),
        h("div", { class: "time-side" }, this.card,
          h("section", { class: "time-list", "aria-label": "All versions" }, h("h3", null, "Versions"), this.filters(), this.list.element))));
  }

  async start() {
    this.follow();
    if (this.context.params.get("path")) this.filter();
    await Promise.all([this.look(this.wanted), this.readMarks()]);
  }

  // --- what is shown -------------------------------------------------------------------------------------------------

  /** One look at a time: while one is on its way, only the newest wish is kept. The promise is of the last of them. */
  look(version) {
    this.wanted = version;
    this.looking ??= this.lookOn().finally(() => (this.looking = null));
    return this.looking;
  }

  async lookOn() {
    for (;;) {
      const version = this.wanted;
      try {
        const [seen, said] = await Promise.all([this.values(version), this.versions.get(version)]);
        const blame = this.withBlame.checked ? await this.readBlame(version) : null;
        if (this.signal.aborted) return;
        this.draw(version, seen, said, blame);
      } catch (error) {
        if (this.signal.aborted) return;
        this.scrubber.pause();
        this.tree = null;
        replace(this.value, failure(error, () => this.look(version)));
      }
      if (version === this.wanted) return;
    }
  }

  draw(version, seen, said, blame) {
    this.blame = blame;
    this.drawValue(version, seen, said);
    this.drawCard(version, said);
    this.scrubber.spoken();
    if (this.source.indexOf) this.list.select(this.source.indexOf(version));
    note(this.context.href({ v: version === this.newest ? "" : version }));
  }

  drawValue(version, seen, said) {
    if (seen.missing) {
      this.tree = null;
      return replace(this.value, empty(said?.kind === "delete" ? "The document was deleted in this version." : seen.missing));
    }
    if (this.tree) this.tree.update(seen.value);
    else {
      this.tree = valueTree({ label: "The value at this version", value: seen.value, margin: this.withBlame.checked ? (row) => this.marginOf(row) : undefined });
      replace(this.value, this.tree.element);
    }
    if (this.blame) this.tree.refresh();
    // What set the whole value changed all of it, which no mark says better.
    const paths = changedPaths(said?.delta ?? [], seen.value).filter((path) => path.length);
    this.tree.highlight(paths);
    if (paths.length) this.tree.reveal(paths[0]);
  }

  drawCard(version, said) {
    if (!said) return replace(this.card, empty(`Version ${number(version)} is not kept, or has nothing to be seen.`));
    const { name, branch } = this.context;
    replace(this.card, versionCard(said, {
      name,
      branch,
      newest: this.newest,
      onBack: (kind, to) => goBack(this.context, kind, to),
      onBranch: (at) => branchDialog(name, at).then((made) => made && this.readMarks()),
      onTags: (tags) => {
        this.versions.put({ ...said, tags });
        this.list.refresh();
        this.readMarks();
      },
    }));
  }

  goTo(version) {
    this.scrubber.set(version);
    this.look(version);
  }

  describe(version) {
    const said = this.versions.peek(version);
    const more = said ? [said.by && `by ${said.by}`, ago(said.at), said.description, said.tags.length > 0 && `tags ${said.tags.join(", ")}`] : [];
    return [`version ${version} of ${this.newest}`, ...more].filter(Boolean).join(", ");
  }

  // --- blame ---------------------------------------------------------------------------------------------------------

  showBlame() {
    this.tree = null; // the margin is a matter of the whole tree
    this.look(this.wanted);
  }

  async readBlame(version) {
    try {
      return await blameAt(this.context, version, this.signal);
    } catch {
      return null; // a version without a value has none; a value too large for it has the tab “blame”
    }
  }

  marginOf(row) {
    return row.part ? null : blameMark(this.blame?.get(row.id), this.context);
  }

  // --- the list ------------------------------------------------------------------------------------------------------

  /** Every version by its number, newest first. */
  numbered() {
    const page = this;
    const source = {
      get count() {
        return page.newest - page.oldest + 1;
      },
      isComplete: true,
      error: null,
      onChange: null,
      indexOf: (version) => page.newest - version,
      item: (index) => {
        const version = page.newest - index;
        const said = page.versions.peek(version);
        return said === null ? { version, missing: true } : said;
      },
      want: (first, last) => {
        const numbers = new Set();
        for (let index = first; index <= last; index += 1) {
          if (page.versions.peek(page.newest - index) === undefined) numbers.add(Math.floor((page.newest - index - 1) / Versions.CHUNK));
        }
        for (const number of numbers) fetchChunk(Math.max(page.oldest, number * Versions.CHUNK + 1));
      },
    };
    async function fetchChunk(version) {
      try {
        await page.versions.get(version);
        source.error = null;
      } catch (error) {
        if (page.signal.aborted) return;
        source.error = error;
      }
      source.onChange?.();
      page.marksSoon();
    }
    return source;
  }

  row(version) {
    if (version.missing) return h("span", { class: "version-row faint" }, h("span", { class: "version-number number" }, number(version.version)), h("span", { class: "version-why" }, "not kept, or nothing to be seen"));
    return h("span", { class: "version-row" },
      h("span", { class: "version-number number" }, number(version.version)),
      h("span", { class: "version-who" }, version.by ?? "—", h("span", { class: "faint" }, ` ${ago(version.at)}`), version.parents?.merged?.length > 0 && h("span", { class: "badge" }, `merges ${version.parents.merged.map((node) => node.join(":")).join(", ")}`), version.tags.map((tag) => h("span", { class: "tag" }, tag))),
      h("span", { class: "version-why" }, version.description ?? whatOf(version)));
  }

  /** A link may name the path to filter by. */
  filters() {
    const input = (label) => h("input", { type: "search", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: false });
    const [by, tag, path] = [input("Author"), input("Tag"), input("Path")];
    const apply = (this.filter = () => {
      const conditions = { by: by.value.trim(), tag: tag.value.trim(), path: path.value.trim() };
      this.source = Object.values(conditions).some(Boolean) ? this.filtered(conditions) : this.numbered();
      this.list.setSource(this.source);
      if (this.source.indexOf) this.list.select(this.source.indexOf(this.wanted));
    });
    path.value = this.context.params.get("path") ?? "";
    const clear = button("All", () => {
      for (const one of [by, tag, path]) one.value = "";
      apply();
    }, { class: "small" });
    return h("form", { class: "time-filter", role: "search", "aria-label": "Versions", onsubmit: (event) => {
      event.preventDefault();
      apply();
    } }, by, tag, path, h("button", { type: "submit", class: "button small" }, "Filter"), clear);
  }

  filtered(conditions) {
    const path = documentPath(this.context.name, "/history");
    return pagedSource(async (next) => {
      const { signal } = this;
      const answer = next ? await api.next(next, { signal }) : await api.get(path, { ...this.context.view, ...conditions, order: "newest", limit: PAGE_VERSIONS }, { signal });
      return answer.body;
    });
  }

  // --- marks ---------------------------------------------------------------------------------------------------------

  async readMarks() {
    try {
      const branches = await branchesOf(this.context.name, this.signal);
      Object.assign(this, await graphOf(this.context.name, branches, this.signal));
    } catch {
      return; // they are an aid, and there is a list of branches to see what is wrong
    }
    this.drawMarks();
  }

  marksSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.drawMarks(), MARKS_SOON_MS);
  }

  drawMarks() {
    const marks = [];
    const segments = segmentsOf(this.lines, this.context.branch);
    const isHere = ([branch, version]) => segments.some((one) => one.branch === branch && one.first <= version && version <= one.last);
    for (const { into, from } of this.joins) if (isHere(into)) marks.push({ version: into[1], kind: "merge", text: `version ${into[1]} merges ${from.join(":")}` });
    for (const { branch, base } of this.lines) if (base && isHere(base)) marks.push({ version: base[1], kind: "branch", text: `${branch} starts from version ${base[1]}` });
    const tagged = new Map();
    for (const [key, tags] of this.tags) {
      const at = key.lastIndexOf(":");
      if (isHere([key.slice(0, at), Number(key.slice(at + 1))])) tagged.set(Number(key.slice(at + 1)), tags);
    }
    for (const said of this.versions.known()) {
      if (said.tags.length) tagged.set(said.version, said.tags);
      else tagged.delete(said.version);
    }
    for (const [version, tags] of tagged) marks.push({ version, kind: "tag", text: `version ${version}: ${tags.join(", ")}` });
    this.scrubber.marks(marks);
  }

  // --- live ----------------------------------------------------------------------------------------------------------

  /** The page of the document follows it, unless it looks at the past. */
  follow() {
    const { context, signal } = this;
    const onChange = (change) => this.arrived(change);
    if (Object.keys(context.place).length === 0 && context.document) context.onChange(onChange, signal);
    else events({ pattern: context.name, ...context.view }, { signal, onChange });
  }

  arrived({ version }) {
    if (version <= this.newest) return;
    const wasNewest = this.scrubber.version === this.newest && !("playing" in this.scrubber.element.dataset);
    this.versions.forget(this.newest);
    this.newest = version;
    this.scrubber.range(this.oldest, this.newest);
    if (wasNewest) this.goTo(this.newest);
    this.list.refresh();
    this.marksSoon();
  }
}

/** The version that the address names; or what the page looks at, where that is the past. */
function startOf({ params, place, document }) {
  const named = Number(params.get("v"));
  if (named > 0) return named;
  return Object.keys(place).length && document ? document.version : null;
}

function whatOf(version) {
  if (version.kind === "create" || version.kind === "delete") return `${version.kind}d`;
  const paths = [...new Set((version.delta ?? []).map((op) => op.path || "the whole value"))];
  return paths.slice(0, 3).join(", ") + (paths.length > 3 ? ", …" : "");
}
