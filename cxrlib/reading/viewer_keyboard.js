// What a key does, and that no key of the reading reaches the page around it. Keys are known by where they lie on the
// keyboard, so that every layout has the same ones, and one press does one thing however long it is held.

const PAN_STEP = 40; // CSS pixels
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PLACES = {
  KeyA: "narrower", KeyD: "wider", KeyW: "brighter", KeyS: "darker", KeyG: "nextPreset", KeyI: "invert", KeyF: "fit",
  KeyO: "actual", KeyR: "reset", KeyL: "link", KeyM: "mark", KeyU: "undo", KeyP: "pause", KeyE: "enlarge",
  KeyT: "turn", KeyH: "flip", KeyZ: "lens",
  Equal: "zoomIn", NumpadAdd: "zoomIn", Minus: "zoomOut", NumpadSubtract: "zoomOut",
};
// Signs lie in other places on other keyboards, and count wherever they are.
const SIGNS = { "?": "keys", "+": "zoomIn", "-": "zoomOut", "−": "zoomOut" };
const WHILE_HELD = new Set(["narrower", "wider", "brighter", "darker", "zoomIn", "zoomOut"]);

export class Keyboard {
  constructor(reading) {
    this.reading = reading;
    this.held = new Set();
    this.labels = new Map();
    navigator.keyboard?.getLayoutMap?.().then((labels) => labels.forEach((label, code) => this.learn(code, label)), () => {});
  }

  listen(root) {
    this.root = root;
    root.addEventListener("keydown", (event) => this.keyPressed(event));
    for (const name of ["keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
    root.addEventListener("pointerdown", (event) => this.takeFocus(event));
    this.listeners = new AbortController();
    const options = { signal: this.listeners.signal, capture: true };
    window.addEventListener("keyup", (event) => this.held.delete(event.code), options);
    // A key that is let go elsewhere is not seen to be let go.
    window.addEventListener("blur", (event) => event.target === window && this.held.clear(), options);
  }

  close() {
    this.listeners.abort();
  }

  // What stands on a key of this keyboard, as far as the browser says or a press has shown.
  learn(code, label) {
    if (label.length !== 1 || this.labels.get(code) === label) return;
    this.labels.set(code, label);
    for (const cap of this.root.querySelectorAll(`kbd[data-code="${code}"]`)) cap.textContent = label.toUpperCase();
  }

  keyPressed(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const again = event.repeat || (event.code !== "" && this.held.has(event.code));
    this.held.add(event.code);
    if (/^Key/.test(event.code) && !event.shiftKey) this.learn(event.code, event.key);
    if (this.handleKey(event, again)) event.preventDefault();
  }

  handleKey(event, again) {
    const { key, target } = event;
    if (this.reading.tools.marking) return this.markKey(event, again);
    if (key === "Escape") return this.escape(target);
    if (target.tagName === "SELECT") return false;
    const typing = target.tagName === "TEXTAREA";
    if (key === "Enter") return this.enter(event, typing, again);
    if (typing && !key.startsWith("Page")) return false;
    const command = commandOf(event);
    const moves = ARROWS[key] || WHILE_HELD.has(command);
    if (again && !moves) return key !== "Tab";
    if (key === "PageDown" || key === "PageUp") return this.reading.asked?.step(key === "PageDown" ? 1 : -1) ?? true;
    if (ARROWS[key]) return this.arrow(key, target);
    if (typeof command === "number") return this.reading.asked?.choose(command) ?? false;
    if (command === "mark") return this.startMarking();
    if (command) this.reading.act(command);
    return Boolean(command);
  }

  // In the questions Enter stores; on any other button or link it presses that, once.
  enter(event, typing, again) {
    if (typing && event.shiftKey) return false;
    if (again) return true;
    if (["A", "BUTTON"].includes(event.target.tagName) && !event.target.matches(".choice, .foot .submit")) return false;
    this.reading.submit();
    return true;
  }

  escape(target) {
    if (!this.reading.parts.help.hidden) this.reading.toggleHelp();
    else if (target.tagName === "TEXTAREA" || target.tagName === "SELECT") this.reading.root.focus({ preventScroll: true });
    else return false;
    return true;
  }

  arrow(key, target) {
    if (this.reading.parts.panel.contains(target) || !this.reading.tools.views.length) return false;
    const [across, down] = ARROWS[key];
    this.reading.tools.panBy(-across * PAN_STEP, -down * PAN_STEP);
    return true;
  }

  startMarking() {
    const group = this.reading.form.pointGroup;
    if (this.reading.phase !== "reading" || !group) return false;
    if (group.empty) this.reading.say("Choose what looks wrong first; then M puts it on the film.", null, "hint");
    else this.reading.tools.startMarking();
    return true;
  }

  markKey({ key, code, shiftKey }, again) {
    if (ARROWS[key]) this.reading.tools.moveMark(...ARROWS[key], shiftKey);
    else if (again) return key !== "Tab";
    else if (key === "Enter") this.reading.tools.setMark();
    else if (key === "Escape" || code === "KeyM") this.reading.tools.stopMarking();
    else return key !== "Tab";
    return true;
  }

  // A click on a bare spot would leave the focus, and with it the next key, to the notebook.
  takeFocus(event) {
    if (!event.target.closest("button, textarea, select, canvas, [tabindex]:not(.cxr-reading)")) {
      event.preventDefault();
      this.reading.root.focus({ preventScroll: true });
    }
  }
}

// A digit, the name of a command, or undefined. A digit's key counts without Shift even where it writes `&` or `é`.
function commandOf({ code, key, shiftKey }) {
  const [, place] = /^(?:Digit|Numpad)([0-9])$/.exec(code) ?? [];
  if (/^[0-9]$/.test(key)) return Number(key);
  if (place !== undefined && code.startsWith("Digit") && !shiftKey) return Number(place);
  if (SIGNS[key]) return SIGNS[key];
  return code ? PLACES[code] : PLACES[`Key${key.toUpperCase()}`]; // a keyboard on the screen names no places
}
