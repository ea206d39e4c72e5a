// What a key does, and that no key of the reading reaches the page around it.

const PAN_STEP = 40; // CSS pixels
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  a: "narrower", d: "wider", w: "darker", s: "brighter", g: "nextPreset", i: "invert", "+": "zoomIn", "=": "zoomIn",
  "-": "zoomOut", "−": "zoomOut", f: "fit", o: "actual", r: "reset", l: "link", m: "mark", u: "undo", p: "pause",
  e: "enlarge", "?": "keys",
};

export class Keyboard {
  constructor(reading) {
    this.reading = reading;
  }

  listen(root) {
    root.addEventListener("keydown", (event) => this.keyPressed(event));
    for (const name of ["keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
    root.addEventListener("pointerdown", (event) => this.takeFocus(event));
  }

  keyPressed(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (this.handleKey(event)) event.preventDefault();
  }

  handleKey(event) {
    const { key, target } = event;
    if (this.reading.tools.marking) return this.markKey(event);
    if (key === "Escape") return this.escape(target);
    if (target.tagName === "SELECT") return false;
    const typing = target.tagName === "TEXTAREA";
    if (key === "Enter") return this.enter(event, typing);
    if (key === "PageDown" || key === "PageUp") return this.reading.form.step(key === "PageDown" ? 1 : -1) ?? true;
    if (typing) return false;
    if (/^[0-9]$/.test(key)) return this.reading.phase === "reading" && this.reading.form.choose(Number(key));
    if (ARROWS[key]) return this.arrow(key, target);
    const name = KEYS[key] ?? KEYS[key.toLowerCase()];
    if (name === "mark") return this.startMarking();
    if (name) this.reading.act(name);
    return Boolean(name);
  }

  // In the questions Enter stores; on any other button it presses that button.
  enter(event, typing) {
    if (typing && event.shiftKey) return false;
    const pressesButton = event.target.tagName === "BUTTON" && !event.target.classList.contains("choice");
    if (pressesButton || event.repeat) return event.repeat;
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

  markKey({ key, shiftKey }) {
    if (ARROWS[key]) this.reading.tools.moveMark(...ARROWS[key], shiftKey);
    else if (key === "Enter") this.reading.tools.setMark();
    else if (key === "Escape" || key.toLowerCase() === "m") this.reading.tools.stopMarking();
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
