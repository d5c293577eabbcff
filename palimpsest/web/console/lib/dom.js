// Elements, made without a word of HTML as text: nothing that was stored can become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Props: `class` (text, or a list with falsy entries left out), `on…` (a listener), `style` (an object of CSS properties),
 * `dataset` (an object), names with a dash, `role`, `for` and the like (attributes; true is the empty one, false, null and undefined leave it out); all
 * others are properties of the element where it has them. Children: nodes, text, numbers, lists of these; null, undefined and false are left out.
 * @param {string} tag @param {Record<string, any>|null} [props] @param {...any} children
 * @returns {any} the element
 */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** As `h`, for SVG. @param {string} tag @param {Record<string, any>|null} [props] @param {...any} children @returns {any} */
export function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

/** @param {Element} node @param {...any} children what it holds from now on @returns {any} node */
export function replace(node, ...children) {
  node.replaceChildren(...nodes(children));
  return node;
}

/** @param {Element} node @param {...any} children @returns {any} node */
export function add(node, ...children) {
  node.append(...nodes(children));
  return node;
}

/** @param {any} value @returns {Text} */
export function text(value) {
  return document.createTextNode(String(value));
}

/** Spoken by a screen reader when it has finished its sentence. @param {string} message */
export function announce(message) {
  const region = document.getElementById("announcer");
  // The same message twice is no change, and would not be spoken.
  if (region) region.textContent = region.textContent === message ? `${message}\u00a0` : message;
}

/**
 * A short message at the edge of the screen that goes by itself; spoken, too.
 * @param {string} message @param {{kind?: "info"|"good"|"bad", seconds?: number, action?: {label: string, run: () => void}}} [options]
 */
export function toast(message, { kind = "info", seconds = kind === "bad" ? 12 : 6, action } = {}) {
  const close = () => element.remove();
  const element = h("div", { class: ["toast", kind] },
    h("span", null, message),
    action && button(action.label, () => { close(); action.run(); }, { class: "quiet" }),
    iconButton("Dismiss", "×", close));
  document.getElementById("toasts")?.append(element);
  announce(message);
  setTimeout(close, seconds * 1000);
}

/** @param {string} label @param {(event: Event) => any} onclick @param {Record<string, any>} [props] @returns {HTMLButtonElement} */
export function button(label, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props, class: ["button", props.class] }, label);
}

/** A button that shows a sign and says a word. @param {string} label @param {any} sign @param {(event: Event) => any} onclick @param {Record<string, any>} [props] @returns {HTMLButtonElement} */
export function iconButton(label, sign, onclick, props = {}) {
  return h("button", { type: "button", onclick, title: label, "aria-label": label, ...props, class: ["icon-button", props.class] }, h("span", { "aria-hidden": "true" }, sign));
}

let fields = 0;

/**
 * A control with its label, a hint and a place for what is wrong. `field.fail(message)` says what is wrong; `field.fail("")` takes it back.
 * @param {string} label @param {any} control an input, select or textarea @param {{hint?: string, class?: string}} [options]
 * @returns {any} the element
 */
export function field(label, control, { hint, class: more } = {}) {
  control.id ||= `field-${++fields}`;
  const error = h("p", { class: "field-error", id: `${control.id}-error`, hidden: true, role: "alert" });
  const note = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", `${note ? note.id : ""} ${error.id}`.trim());
  const check = control.type === "checkbox";
  const name = h("label", { for: control.id }, label);
  const element = h("div", { class: ["field", check && "check", more] }, check ? [control, name] : [name, control], note, error);
  element.fail = (message) => {
    error.textContent = message;
    error.hidden = !message;
    control.setAttribute("aria-invalid", message ? "true" : "false");
    if (message) control.focus();
  };
  return element;
}

/** @param {[string, string][] | string[]} options of value and label @param {string} value @param {Record<string, any>} [props] @returns {HTMLSelectElement} */
export function select(options, value, props = {}) {
  const pairs = options.map((one) => (Array.isArray(one) ? one : [one, one]));
  return h("select", props, pairs.map(([key, label]) => h("option", { value: key, selected: key === value }, label)));
}

/**
 * A question in a dialog. With `onConfirm`, the dialog stays until it has succeeded: what it throws is shown, and one may try again.
 * @param {string} title @param {any} content a node, text, or a list of these
 * @param {{confirm?: string, cancel?: string, danger?: boolean, wide?: boolean, ready?: () => boolean, onConfirm?: () => any}} [options]
 *   confirm: null has no such button, and there is just "Close". ready: false disables confirming; looked at on each input.
 * @returns {Promise<boolean>} whether it was confirmed
 */
export function dialog(title, content, { confirm = "OK", cancel, danger = false, wide = false, ready, onConfirm } = {}) {
  const before = document.activeElement;
  return new Promise((resolve) => {
    const heading = h("h2", { id: `dialog-${++fields}` }, title);
    const failure = h("div", { class: "notice bad", role: "alert", hidden: true });
    const yes = confirm && h("button", { type: "submit", class: ["button", danger ? "danger" : "primary"] }, confirm);
    const no = button(cancel ?? (confirm ? "Cancel" : "Close"), () => element.close("no"));
    const form = h("form", { method: "dialog", novalidate: true, onsubmit: submit, oninput: look, onchange: look }, heading,
      h("div", { class: "dialog-body" }, content), failure, h("div", { class: "actions" }, no, yes));
    const element = h("dialog", { class: ["dialog", wide && "wide"], "aria-labelledby": heading.id, onclose: closed }, form);
    let busy = false;

    function look() {
      failure.hidden = true; // what was refused is another thing by now
      if (yes && ready) yes.disabled = !ready();
    }
    async function submit(event) {
      event.preventDefault();
      if (busy || (ready && !ready())) return;
      busy = true;
      yes?.setAttribute("aria-busy", "true");
      try {
        await onConfirm?.();
        element.close("yes");
      } catch (error) {
        failure.textContent = error?.message ?? String(error);
        failure.hidden = false;
      } finally {
        busy = false;
        yes?.removeAttribute("aria-busy");
      }
    }
    function closed() {
      element.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
      resolve(element.returnValue === "yes");
    }
    document.body.append(element);
    look();
    element.showModal();
  });
}

/** A calm word where there is nothing to show. @param {string} message @param {any} [more] @returns {HTMLElement} */
export function empty(message, more) {
  return h("div", { class: "empty" }, h("p", null, message), more);
}

/** @param {string} [message] @returns {HTMLElement} */
export function loading(message = "Loading…") {
  return h("p", { class: "loading", role: "status" }, message);
}

/**
 * What went wrong, with its name and what to try; calmly, where it is only that somebody has no right to it.
 * @param {any} error @param {() => void} [again] @param {{isSeen?: boolean}} [options] isSeen: some of the document is shown beside it
 * @returns {HTMLElement}
 */
export function failure(error, again, { isSeen = false } = {}) {
  if (error?.status === 403 && error.data?.action) return refusal(error.data, isSeen);
  return h("div", { class: "notice bad", role: "alert" },
    h("p", null, h("strong", null, error?.title ?? "Something went wrong"), ": ", error?.detail || error?.message || String(error)),
    again && button("Try again", again));
}

/** Nothing is broken, and trying again changes nothing: so it is no alarm. */
function refusal({ action, document: name }, isSeen) {
  return h("div", { class: "notice", role: "status" },
    h("p", null, h("strong", null, "You have no right to see this. "), "It takes a role with the action ", h("code", null, action), name && [" for ", h("code", null, name)],
      isSeen && action === "read" && ", and for all of it: not through a perspective", "."));
}

/** A time, with the whole of it on hover. @param {string} at @param {string} shown @returns {HTMLElement} */
export function time(at, shown) {
  return h("time", { datetime: at, title: at }, shown);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  element.append(...nodes(children));
  return element;
}

function setProp(element, name, value) {
  if (name === "class") {
    const classes = (Array.isArray(value) ? value.flat() : [value]).filter(Boolean).join(" ");
    if (classes) element.setAttribute("class", classes);
  } else if (name.startsWith("on")) {
    if (value) element.addEventListener(name.slice(2), value);
  } else if (name === "style") {
    for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, String(setting));
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (name in element && !name.includes("-") && !ATTRIBUTES.has(name) && !(element instanceof SVGElement)) {
    if (value !== undefined) element[name] = value;
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false && value !== null && value !== undefined) {
    element.setAttribute(name, String(value));
  }
}

/** Names whose property is read-only, or reads otherwise than the attribute. */
const ATTRIBUTES = new Set(["role", "list", "form", "for", "datetime", "autofocus"]);

function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== true && child !== "")
    .map((child) => (child instanceof Node ? child : text(child)));
}
