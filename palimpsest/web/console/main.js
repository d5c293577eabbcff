// The start: the shell of the page, the colours, who one is, and the router.

import { api, setToken, token } from "./lib/api.js";
import { announce, button, dialog, field, h, replace, toast } from "./lib/dom.js";
import { start } from "./lib/router.js";

const THEME = "palimpsest.theme";
const THEMES = { system: ["◐", "as the system has them"], light: ["☀", "light"], dark: ["☾", "dark"] };

startTheme();
startSkipping();
startWho();
startWaiting();
start(/** @type {HTMLElement} */ (document.getElementById("main")));

function startTheme() {
  const toggle = /** @type {HTMLElement} */ (document.getElementById("theme"));
  const names = Object.keys(THEMES);
  let theme = localStorage.getItem(THEME) ?? "system";
  const apply = () => {
    const [sign, words] = THEMES[theme] ?? THEMES.system;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    toggle.setAttribute("aria-label", `Colours: ${words}`);
    toggle.title = `Colours: ${words}`;
    replace(toggle, h("span", { "aria-hidden": "true" }, sign));
  };
  toggle.addEventListener("click", () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    localStorage.setItem(THEME, theme);
    apply();
    announce(`Colours: ${THEMES[theme][1]}`);
  });
  apply();
}

/** The address says which page is shown, so that a jump to `#main` is not left to it. */
function startSkipping() {
  document.getElementById("skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    const main = document.getElementById("main");
    main?.focus();
    main?.scrollIntoView();
  });
}

function startWho() {
  const who = /** @type {HTMLButtonElement} */ (document.getElementById("who"));
  const look = async () => {
    try {
      const { body } = await api.get("/whoami");
      who.textContent = body.principal || (token() ? "signed in" : "no token");
    } catch {
      who.textContent = token() ? "signed in" : "no token";
    }
    who.setAttribute("aria-label", `Who you are: ${who.textContent}`);
  };
  who.addEventListener("click", () => askWho(who.textContent ?? ""));
  addEventListener("palimpsest:token", look);
  look();
}

/** Says it while an answer takes long. */
function startWaiting() {
  const waiting = /** @type {HTMLElement} */ (document.getElementById("waiting"));
  addEventListener("palimpsest:slow", (event) => replace(waiting, /** @type {CustomEvent} */ (event).detail > 0 && "Waiting for the server…"));
}

async function askWho(name) {
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: false });
  const forget = token() && button("Forget this token", () => { setToken(null); location.reload(); });
  const content = [
    h("p", null, "To this server you are ", h("strong", null, name), "."),
    field("Another token", input, { hint: "Kept until this browser tab is closed." }),
    forget,
  ];
  const confirmed = await dialog("Who you are", content, { confirm: "Use this token", ready: () => input.value.trim() !== "", onConfirm: () => setToken(input.value.trim()) });
  if (confirmed) {
    toast("The token is used from now on.");
    location.reload();
  }
}
