// The bytes of an event stream, cut into events. What it knows is the format; connections are the business of `api.js`.

/** @typedef {{event: string, data: string, id: string|null}} ServerEvent id: null where it had none */

/**
 * @param {(event: ServerEvent) => void} onEvent
 * @returns {(text: string) => void} takes the text of the stream in whatever pieces it arrives
 */
export function eventReader(onEvent) {
  let rest = "";
  let event = "message";
  let id = null;
  let data = [];

  function line(text) {
    if (text === "") {
      if (data.length) onEvent({ event, data: data.join("\n"), id });
      [event, id, data] = ["message", null, []];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment: it is alive
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }

  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    lines.forEach(line);
  };
}
