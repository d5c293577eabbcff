// The gateway, asked by `fetch`: JSON in and out, problems as errors, a token where one is wanted, and feeds that go on by themselves.

import { button, dialog, field, h } from "./dom.js";
import { parse, stringify } from "./json.js";
import { eventReader } from "./sse.js";

const TOKEN = "palimpsest.token";
const RETRY_SECONDS = { first: 0.5, most: 15 };
const SLOW_SECONDS = 4;

/** What the gateway says is wrong (RFC 9457), or that it could not be reached (status 0). */
export class Problem extends Error {
  /** @param {{title?: string, status?: number, detail?: string, code?: string, data?: any}} problem */
  constructor({ title = "", status = 0, detail = "", code = "", data = {} }) {
    super(detail || title || `the server answered ${status}`);
    this.name = "Problem";
    this.title = title || `Error ${status}`;
    this.status = status;
    this.detail = detail;
    this.code = code;
    this.data = data;
  }
}

/** @typedef {{status: number, headers: Headers, body: any}} Answer body: parsed JSON, with integers beyond 2^53 as BigInt; null where there is none */
/** @typedef {Record<string, any>} Params null, undefined, "" and false are left out; a list is given more than once */

export const api = {
  /**
   * @param {string} path such as `/documents/notes/1`, encoded: see `documentPath`
   * @param {Params} [params] @param {{signal?: AbortSignal, headers?: Record<string, string>}} [options]
   * @returns {Promise<Answer>}
   * @throws {Problem} and AbortError, where `signal` was aborted
   */
  get(path, params, options = {}) {
    return ask("GET", path, { ...options, params });
  },

  /**
   * @param {string} method @param {string} path
   * @param {{params?: Params, body?: any, type?: string, headers?: Record<string, string>, signal?: AbortSignal}} [options]
   *   type: the media type of the body; JSON where it is left out.
   * @returns {Promise<Answer>}
   * @throws {Problem} and AbortError
   */
  send(method, path, options = {}) {
    return ask(method, path, options);
  },

  /**
   * Every page of a list, up to items_max.
   * @param {string} path @param {Params} [params] @param {{signal?: AbortSignal, items_max?: number}} [options]
   * @returns {Promise<any[]>}
   */
  async all(path, params, { signal, items_max = 10_000 } = {}) {
    const items = [];
    let page = (await ask("GET", path, { params, signal })).body;
    items.push(...page.items);
    while (page.next && items.length < items_max) {
      page = (await api.next(page.next, { signal })).body;
      items.push(...page.items);
    }
    return items.slice(0, items_max);
  },

  /** The page that a list's `next` leads to. @param {string} next @param {{signal?: AbortSignal}} [options] @returns {Promise<Answer>} */
  next(next, options = {}) {
    const url = new URL(next, location.origin);
    return ask("GET", url.pathname + url.search, options);
  },
};

/** @param {string} name @param {string} [base] @returns {string} `/documents/…` with each segment of the name encoded */
export function documentPath(name, base = "/documents") {
  return `${base}/${encodeName(name)}`;
}

/** @param {string} name @returns {string} the name, segment by segment */
export function encodeName(name) {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** @returns {string|null} */
export function token() {
  return sessionStorage.getItem(TOKEN);
}

/** @param {string|null} value null forgets it */
export function setToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
  dispatchEvent(new CustomEvent("palimpsest:token"));
}

/** @returns {string} a key for one write, so that a repeat of it is applied once */
export function idempotencyKey() {
  return `console-${crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * A feed that goes on over lost connections, from where it was.
 * @param {Params} params of `GET /events`
 * @param {{signal: AbortSignal, onChange: (change: any) => void, onState?: (state: string) => void, onEnd?: (problem: Problem) => void}} options
 *   onState: "connecting", "open", "lost" (it tries again by itself), and what the server says: "live", "behind", "current", ….
 *   onEnd: the server ended it for good, or refused it; it is not tried again.
 * @returns {Promise<void>} when it is over
 */
export async function events(params, { signal, onChange, onState, onEnd }) {
  const feed = { cursor: null, failures: 0 };
  while (!signal.aborted) {
    try {
      onState?.("connecting");
      await follow(params, feed, { signal, onChange, onState });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && isFinal(error)) {
        onEnd?.(error);
        return;
      }
    }
    if (signal.aborted) return;
    onState?.("lost");
    const seconds = Math.min(RETRY_SECONDS.most, RETRY_SECONDS.first * 2 ** feed.failures++);
    await pause(seconds * (0.75 + Math.random() / 2), signal);
  }
}

/** A stream that is refused with these may be had in a while; with anything else, it is not tried again. */
function isFinal(problem) {
  return problem.status !== 0 && problem.status !== 503 && problem.status !== 504;
}

async function follow(params, feed, { signal, onChange, onState }) {
  const headers = { Accept: "text/event-stream", ...(feed.cursor ? { "Last-Event-ID": feed.cursor } : {}) };
  const response = await request("GET", "/events", { params, headers, signal });
  onState?.("open");
  const reading = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = eventReader(({ event, data, id }) => {
    // The place is taken after the change was handed on, so that none is lost where that fails.
    if (event === "change") onChange(parse(data));
    else if (event === "state") onState?.(parse(data).state);
    else if (event === "ended") throw new Problem(parse(data));
    if (id) feed.cursor = id;
  });
  try {
    for (;;) {
      const { done, value } = await reading.read();
      if (done) return;
      feed.failures = 0;
      read(value);
    }
  } finally {
    reading.cancel().catch(() => {}); // it has ended, or will with the page
  }
}

async function ask(method, path, options) {
  const response = await request(method, path, options);
  const text = response.status === 204 ? "" : await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: response.headers, body: text === "" ? null : isJson ? parse(text) : text };
}

/** A response of success; asks for a token where the gateway wants one. */
async function request(method, path, { params, body, type = "application/json", headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (body !== undefined) sent["Content-Type"] = type;
  for (;;) {
    const used = token();
    if (used) sent.Authorization = `Bearer ${used}`;
    const response = await reach(withParams(path, params), { method, headers: sent, body: body === undefined ? undefined : stringify(body), signal, cache: "no-cache" });
    if (response.ok || response.status === 304) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    if (token() !== used) continue; // somebody has given another one meanwhile
    if (!(await askForToken(problem, used !== null))) throw problem;
  }
}

async function reach(url, options) {
  let isSlow = false;
  const timer = setTimeout(() => { isSlow = true; slow(1); }, SLOW_SECONDS * 1000);
  try {
    return await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem({ title: "No connection", detail: "the gateway does not answer; is it running?" });
  } finally {
    clearTimeout(timer);
    if (isSlow) slow(-1);
  }
}

let slowRequests = 0;

/** A gateway waits for its server, and so does whoever waits for the gateway: that is said, as it looks like nothing at all. */
function slow(change) {
  slowRequests += change;
  dispatchEvent(new CustomEvent("palimpsest:slow", { detail: slowRequests }));
}

async function problemOf(response) {
  const text = await response.text();
  try {
    return new Problem({ status: response.status, ...parse(text) });
  } catch {
    return new Problem({ status: response.status, title: response.statusText, detail: text.slice(0, 200) });
  }
}

function withParams(path, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "" && one !== false) query.append(name, String(one));
    }
  }
  const text = query.toString();
  return text ? `${path}${path.includes("?") ? "&" : "?"}${text}` : path;
}

let asking = null;

/** One dialog, however many requests wait for it. */
function askForToken(problem, wasRefused) {
  asking ??= showTokenDialog(problem, wasRefused).finally(() => { asking = null; });
  return asking;
}

async function showTokenDialog(problem, wasRefused) {
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: false, required: true });
  const content = [
    h("p", null, wasRefused ? "The token was not accepted." : "This server wants a token."),
    field("Token", input, { hint: "Kept until this browser tab is closed." }),
    problem.detail && h("p", { class: "hint" }, problem.detail),
    wasRefused && button("Forget the token that was used", () => setToken(null), { class: "quiet" }),
  ];
  return dialog("Who are you?", content, { confirm: "Go on", ready: () => input.value.trim() !== "", onConfirm: () => setToken(input.value.trim()) });
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(undefined); }, { once: true });
  });
}
