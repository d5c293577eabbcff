// The versions of one branch of a document, read in chunks as they are looked at, and kept for a while.

const CHUNK_VERSIONS = 64;
const CHUNKS_MAX = 128;

/**
 * @typedef {import("./api.js").Problem} Problem
 * @typedef {{document: string, branch: string, version: number, kind: string, at: string, by: string|null, description: string|null, tags: string[], delta: any[]|null, parents: any}} Version
 */

export class Versions {
  /** How many versions are read at once; a chunk begins after a multiple of it. */
  static CHUNK = CHUNK_VERSIONS;

  /** @param {(first: number, last: number, signal?: AbortSignal) => Promise<Version[]>} read those from first to last that there are, in any order */
  constructor(read) {
    this.read = read;
    /** @type {Map<number, {found: Map<number, Version>, asking: Promise<void>|null, isThere: boolean}>} */
    this.chunks = new Map();
  }

  /** @param {number} version @returns {Version|null|undefined} undefined: not known yet; null: there is none with that number, or it is not kept */
  peek(version) {
    const chunk = this.chunks.get(chunkOf(version));
    return chunk?.isThere ? (chunk.found.get(version) ?? null) : undefined;
  }

  /** @param {number} version @returns {Promise<Version|null>} null: there is none with that number, or it is not kept */
  async get(version) {
    const number = chunkOf(version);
    const chunk = this.chunks.get(number) ?? { found: new Map(), asking: null, isThere: false };
    // The one that was looked at last is the last to go.
    this.chunks.delete(number);
    this.chunks.set(number, chunk);
    this.makeRoom();
    if (!chunk.isThere) await (chunk.asking ??= this.fill(chunk, number));
    return chunk.found.get(version) ?? null;
  }

  /** What is said of it is another thing now, such as its tags. @param {Version} version */
  put(version) {
    const chunk = this.chunks.get(chunkOf(version.version));
    if (chunk?.found.has(version.version)) chunk.found.set(version.version, version);
  }

  /** @returns {Version[]} those that are kept here, in no order */
  known() {
    return [...this.chunks.values()].flatMap((chunk) => [...chunk.found.values()]);
  }

  /** What is known of versions from this one on is read again when it is looked at. @param {number} version */
  forget(version) {
    for (const number of this.chunks.keys()) if (number >= chunkOf(version)) this.chunks.delete(number);
  }

  async fill(chunk, number) {
    try {
      const first = number * CHUNK_VERSIONS + 1;
      for (const version of await this.read(first, first + CHUNK_VERSIONS - 1)) chunk.found.set(version.version, version);
      chunk.isThere = true;
    } finally {
      chunk.asking = null;
    }
  }

  makeRoom() {
    for (const number of this.chunks.keys()) {
      if (this.chunks.size <= CHUNKS_MAX) return;
      this.chunks.delete(number);
    }
  }
}

function chunkOf(version) {
  return Math.floor((version - 1) / CHUNK_VERSIONS);
}
