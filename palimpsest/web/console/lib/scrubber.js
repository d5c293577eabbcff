// A slider over versions that can be played. It knows numbers only: what stands at one is the caller's affair.

import { announce, button, h, iconButton, replace, select, svg } from "./dom.js";
import { number, plural } from "./format.js";

const MARKS_MAX = 400;
const STEPS_PER_SECOND_MAX = 12;
/** Drawn, as fonts differ in the signs that they have. */
const SIGNS = { tag: "M1 2h8L5 9z", merge: "M5 0l5 5-5 5-5-5z", branch: "M5 1a4 4 0 1 1 0 8a4 4 0 1 1 0-8z" };
const WORDS = { tag: "tag", merge: "merge", branch: "a branch starts" };

/** @typedef {{version: number, kind: "tag"|"merge"|"branch", text: string}} Mark */

/**
 * @param {{oldest: number, newest: number, version: number, describe: (version: number) => string, onChange: (version: number) => any}} options
 *   describe: what a screen reader says of a version. onChange: called with each version that is to be shown; playing waits for what it returns.
 * @returns {{element: HTMLElement, version: number, set: (version: number) => void, range: (oldest: number, newest: number) => void, marks: (marks: Mark[]) => void, pause: () => void, spoken: () => void}}
 */
export function scrubber({ oldest, newest, version, describe, onChange }) {
  const state = { oldest, newest, version, marks: [], speed: 5, playing: 0 };
  const slider = h("input", { type: "range", class: "scrubber-slider", step: "1", "aria-label": "Version", oninput: moved });
  const ticks = h("div", { class: "scrubber-marks", "aria-hidden": "true" });
  const where = h("output", { class: "scrubber-where number" });
  const play = button("Play", () => (state.playing ? pause() : start()), { class: "primary scrubber-play" });
  const speeds = select([["1", "1 a second"], ["5", "5 a second"], ["25", "25 a second"], ["100", "100 a second"], ["1000", "1,000 a second"]], "5", {
    "aria-label": "Speed of playing",
    onchange: () => (state.speed = Number(speeds.value)),
  });
  const steps = {
    first: iconButton("Oldest version", "⇤", () => go(state.oldest)),
    markBefore: iconButton("Mark before", "↞", () => jump(-1)),
    before: iconButton("Version before", "←", () => go(state.version - 1)),
    after: iconButton("Version after", "→", () => go(state.version + 1)),
    markAfter: iconButton("Mark after", "↠", () => jump(1)),
    last: iconButton("Newest version", "⇥", () => go(state.newest)),
  };
  const element = h("div", { class: "scrubber", role: "group", "aria-label": "Versions in time" },
    h("div", { class: "scrubber-controls" },
      h("div", { class: "scrubber-buttons" }, steps.first, steps.markBefore, steps.before, play, steps.after, steps.markAfter, steps.last),
      h("label", { class: "scrubber-speed" }, h("span", null, "Speed"), speeds),
      where),
    h("div", { class: "scrubber-track" }, ticks, slider),
    h("div", { class: "scrubber-legend", "aria-hidden": "true" }, Object.keys(SIGNS).map((kind) => h("span", { class: `mark-${kind}` }, sign(kind), WORDS[kind]))));

  function moved() {
    pause();
    show(Number(slider.value));
  }
  function go(next) {
    pause();
    show(next);
  }
  /** @param {number} direction to the next mark in it */
  function jump(direction) {
    const beyond = state.marks.filter((mark) => (mark.version - state.version) * direction > 0);
    if (!beyond.length) return announce("There is no further mark");
    go(direction > 0 ? beyond[0].version : beyond[beyond.length - 1].version);
  }
  function show(next) {
    state.version = Math.min(Math.max(next, state.oldest), state.newest);
    draw();
    return onChange(state.version);
  }
  function draw() {
    slider.min = String(state.oldest);
    slider.max = String(state.newest);
    slider.value = String(state.version);
    slider.setAttribute("aria-valuetext", describe(state.version));
    where.textContent = `version ${number(state.version)} of ${number(state.newest)}`;
    const [isFirst, isLast] = [state.version <= state.oldest, state.version >= state.newest];
    for (const [name, isOff] of [["first", isFirst], ["before", isFirst], ["after", isLast], ["last", isLast]]) {
      // Not `disabled`: the focus would be lost on the way.
      steps[name].setAttribute("aria-disabled", String(isOff));
    }
  }
  function drawMarks() {
    const span = Math.max(1, state.newest - state.oldest);
    const drawn = new Map();
    for (const mark of state.marks) {
      const place = Math.round(((mark.version - state.oldest) / span) * MARKS_MAX);
      drawn.set(place, [...(drawn.get(place) ?? []), mark]);
    }
    replace(ticks, [...drawn].map(([, some]) =>
      h("span", {
        class: ["scrubber-mark", `mark-${some[0].kind}`],
        title: some.slice(0, 8).map((mark) => mark.text).join("\n") + (some.length > 8 ? `\nand ${plural(some.length - 8, "mark")} more` : ""),
        style: { "--at": String((some[0].version - state.oldest) / span) },
        onclick: () => go(some[0].version),
      }, sign(some[0].kind))));
  }

  /** Each start has a number of its own, so that an older one that still waits finds that it is over. */
  let starts = 0;
  async function start() {
    if (state.version >= state.newest) state.version = state.oldest;
    const mine = (state.playing = starts += 1);
    play.textContent = "Pause";
    element.dataset.playing = "";
    while (state.playing === mine && element.isConnected) {
      const began = performance.now();
      await show(state.version);
      if (state.playing !== mine) return;
      if (state.version >= state.newest) break;
      const perSecond = Math.min(state.speed, STEPS_PER_SECOND_MAX);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 / perSecond - (performance.now() - began))));
      if (state.playing === mine) state.version = Math.min(state.newest, state.version + Math.max(1, Math.round(state.speed / perSecond)));
    }
    if (state.playing === mine) pause();
  }
  function pause() {
    if (!state.playing) return;
    state.playing = 0;
    delete element.dataset.playing;
    play.textContent = "Play";
  }

  draw();
  return {
    element,
    get version() {
      return state.version;
    },
    /** Without telling onChange. */
    set(next) {
      pause();
      state.version = Math.min(Math.max(next, state.oldest), state.newest);
      draw();
    },
    range(first, last) {
      [state.oldest, state.newest] = [first, last];
      draw();
      drawMarks();
    },
    marks(marks) {
      state.marks = marks.filter((mark) => mark.version >= state.oldest && mark.version <= state.newest).sort((one, other) => one.version - other.version);
      drawMarks();
    },
    spoken: draw,
    pause,
  };
}

function sign(kind) {
  return svg("svg", { width: 10, height: 10, viewBox: "0 0 10 10" }, svg("path", { d: SIGNS[kind] }));
}
