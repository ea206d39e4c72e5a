// What stands where: the film and its tools, the questions beside it, and the notes over and under them.

import { button, element, keyCap } from "./viewer_elements.js";
import { PRESETS } from "./viewer_film.js";

const NOTICE = "For research only. Not for diagnosis.";

// Shown on demand, and in this order. Names as people say them.
const KEYS = [
  [["1", "…", "9", "0"], "answer the marked question"],
  [["Tab"], "next question or button; with Shift the one before"],
  [["Page Down", "Page Up"], "next, previous question"],
  [["Enter"], "store the answer and go on"],
  [["A", "D"], "window narrower, wider"],
  [["W", "S"], "window brighter, darker"],
  [["G"], "next window preset"],
  [["I"], "invert black and white"],
  [["+", "−"], "zoom"],
  [["Arrows"], "move the film, while it has the focus"],
  [["F"], "fit the film to the window"],
  [["O"], "one to one, pixels not smoothed"],
  [["Z"], "magnifying lens at the pointer"],
  [["T", "H"], "turn by a quarter, flip sides"],
  [["R"], "reset the film"],
  [["L"], "link or unlink two films"],
  [["M"], "mark the last tag: arrows, then Enter"],
  [["U"], "undo the last stored answer"],
  [["P"], "pause, go on"],
  [["E"], "entire screen"],
  [["Escape"], "leave the text, mark or keys"],
  [["?"], "show or hide these keys"],
];
const MOUSE = [
  [["Left drag"], "window: right wider, up brighter"],
  [["Wheel"], "zoom at the pointer"],
  [["Right drag"], "move the film; also the middle button, or Shift"],
  [["Touch"], "one finger moves the film, two zoom"],
  [["Double click"], "reset"],
];

// `act(name)` is called with the name of a command. Returns the parts that change.
export function buildScreen(root, act, who = null) {
  const parts = {};
  const tool = (name, label, key, properties = {}) => {
    const made = button(label, key, () => act(name), { class: "tool", "data-act": name, ...properties });
    parts[name] = made;
    return made;
  };
  parts.badge = element("span", { class: "badge", text: "Practice" });
  parts.position = element("span", { class: "position" });
  parts.left = element("span", { class: "left" });
  parts.bar = element("div", { class: "bar", role: "progressbar", "aria-label": "Answered", "aria-valuemin": 0 }, element("i"));
  const head = element(
    "header",
    { class: "head" },
    parts.badge, parts.position, parts.bar, parts.left,
    element("strong", { class: "notice", text: NOTICE }),
    who,
  );

  parts.films = element("div", { class: "films" });
  parts.cover = element("div", { class: "cover", tabindex: -1 });
  parts.readout = element("p", { class: "readout", "aria-hidden": "true" });
  parts.connection = element("div", { class: "connection", role: "alert", hidden: true });
  const stage = element("div", { class: "stage" }, parts.films, parts.readout, parts.cover);

  parts.presets = element("select", { class: "presets", "aria-label": "Window preset", "aria-keyshortcuts": "G" });
  parts.presets.append(...PRESETS.map(({ name }, place) => element("option", { value: place, text: name })));
  parts.presets.append(element("option", { value: "own", text: "By hand", hidden: true }));
  parts.presets.addEventListener("change", () => act("choosePreset"));
  const pressed = { "aria-pressed": "false" };
  const tools = element(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "Film" },
    element("label", { class: "preset" }, parts.presets, element("kbd", { text: "G", "aria-hidden": "true" })),
    tool("invert", "Invert", "I", pressed), tool("fit", "Fit", "F"),
    tool("actual", "1:1", "O", { ...pressed, "aria-label": "One to one" }),
    tool("zoomOut", "−", null, { "aria-label": "Zoom out" }), tool("zoomIn", "+", null, { "aria-label": "Zoom in" }),
    tool("lens", "Lens", "Z", pressed), tool("turn", "Turn", "T"), tool("flip", "Flip", "H", pressed), tool("reset", "Reset", "R"),
    tool("link", "Linked", "L", { "aria-pressed": "true" }),
    element("span", { class: "space" }),
    tool("enlarge", "Entire screen", "E", pressed), tool("keys", "Keys", "?", { "aria-expanded": "false" }),
  );

  parts.form = element("div", { class: "form" });
  parts.message = element("div", { class: "message", role: "alert" });
  parts.submit = button("Store and go on", "Enter", () => act("submit"), { class: "submit" });
  const foot = element(
    "div",
    { class: "foot" },
    parts.message,
    element("div", { class: "row" }, tool("undo", "Undo", "U", { "aria-label": "Undo the last answer" }), tool("pause", "Pause", "P"), parts.submit),
  );
  parts.panel = element("div", { class: "panel", role: "group", "aria-label": "Questions" }, parts.form, foot);
  parts.help = helpSheet(() => act("keys"));
  parts.page = element("div", { class: "page", hidden: true });
  parts.live = element("div", { class: "spoken", role: "status", "aria-live": "polite" });
  parts.frame = element("div", { class: "frame" }, head, stage, tools, parts.panel, parts.page, parts.connection, parts.help, parts.live);
  root.replaceChildren(parts.frame);
  return parts;
}

function helpSheet(close) {
  const row = ([keys, meaning]) =>
    element("div", {}, element("dt", {}, ...keys.map(keyCap)), element("dd", { text: meaning }));
  const list = (rows) => element("dl", {}, ...rows.map(row));
  return element(
    "div",
    { class: "help", role: "dialog", "aria-label": "Keys and mouse", tabindex: -1, hidden: true },
    element("div", { class: "help-head" }, element("h3", { text: "Keys and mouse" }), button("Close", "Escape", close, { class: "tool" })),
    list([...KEYS, ...MOUSE]),
  );
}

// One canvas per film; sides are named where there are two.
export function buildFilms(parts, count) {
  const canvases = Array.from({ length: count }, () => element("canvas", { class: "film", role: "img", tabindex: 0 }));
  const sides = ["Left", "Right"];
  const boxes = canvases.map((canvas, place) =>
    element("figure", {}, canvas, count > 1 ? element("figcaption", { text: sides[place] }) : null));
  parts.films.replaceChildren(...boxes);
  parts.films.classList.toggle("pair", count > 1);
  parts.link.hidden = count < 2;
  return canvases;
}

// A calm sheet over the film, e.g. in a pause: a heading, a line, at most one button.
export function showCover(parts, heading, line = "", action = null) {
  parts.cover.replaceChildren(
    element("h3", { text: heading }),
    element("p", { text: line }),
    ...(action ? [button(action.label, action.key, action.act, { class: "submit" })] : []),
  );
  parts.cover.hidden = false;
}

export function showProgress(parts, { done, total, seconds_left: seconds }, practice, finished) {
  parts.position.textContent = finished ? `All ${total} answered` : `${done + 1} of ${total}`;
  parts.badge.hidden = !practice || finished;
  parts.bar.setAttribute("aria-valuemax", total);
  parts.bar.setAttribute("aria-valuenow", done);
  parts.bar.firstChild.style.width = `${(100 * done) / Math.max(1, total)}%`;
  parts.left.textContent = finished || seconds === null || seconds === undefined ? "" : timeInWords(seconds);
}

function timeInWords(seconds) {
  if (seconds < 60) return "less than a minute left";
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${minutes} min left`;
  return `about ${(minutes / 60).toFixed(1)} h left`;
}
