// A document that stays the newest one: read once, then moved on by the deltas of its feed, and read again where one does not fit.

import { api, documentPath, events } from "./api.js";
import { applyDelta } from "./delta.js";

/**
 * @param {object} options
 * @param {string} options.name
 * @param {any} options.document the envelope that was read; null where there was none
 * @param {Record<string, any>} options.view branch, perspective or family and level
 * @param {AbortSignal} options.signal
 * @param {(document: any, change: any) => void} options.onChange after each change; document: null once it is deleted
 * @param {(state: string) => void} [options.onState]
 * @param {(problem: any) => void} [options.onEnd]
 * @returns {{set: (document: any) => void}} set: what the document is by now is known from elsewhere, as from an answer to a write
 */
export function liveDocument({ name, document, view, signal, onChange, onState, onEnd }) {
  const isWhole = !view.perspective && !view.family;
  // Seen through a perspective, versions are left out; its snapshot closes the gap between reading and following.
  const start = isWhole && document ? { from_version: document.version + 1 } : { start: document ? "snapshot" : "now" };
  let rereading = false;
  let isStale = false;

  async function reread(change) {
    if (rereading) {
      isStale = true;
      return;
    }
    rereading = true;
    try {
      do {
        isStale = false;
        document = (await api.get(documentPath(name), { ...view, envelope: true }, { signal })).body;
      } while (isStale);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status !== 404) return onEnd?.(error);
      document = null;
    } finally {
      rereading = false;
    }
    if (!signal.aborted) onChange(document, change);
  }

  function take(change) {
    if (change.snapshot ? document && change.version <= document.version : document && change.version <= document.version && change.kind !== "erase") return;
    if (rereading) {
      isStale = true;
      return;
    }
    if (change.kind === "delete") {
      document = null;
      onChange(null, change);
      return;
    }
    const next = moved(change);
    if (next === undefined) {
      reread(change);
      return;
    }
    document = next;
    onChange(document, change);
  }

  /** The document after the change; undefined where that cannot be told from here. */
  function moved(change) {
    const { version, kind, at, by, description, tags, branch } = change;
    const head = { document: name, branch, version, kind, at, by, description, tags };
    if (change.snapshot) return { ...head, value: change.value };
    if (change.kind === "erase" || (isWhole && document && version !== document.version + 1)) return undefined;
    try {
      const before = change.kind === "create" || !document ? undefined : document.value;
      const value = applyDelta(before, change.delta);
      return value === undefined ? undefined : { ...head, value };
    } catch {
      return undefined; // it was seen from another place than ours
    }
  }

  events({ pattern: name, ...view, ...start }, { signal, onChange: take, onState, onEnd });
  return {
    set(other) {
      if (!document || !other || other.version > document.version) document = other;
    },
  };
}
