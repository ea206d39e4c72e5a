// The films of a task and what can be done to them: commands, linking, and points for tags.

import { FilmView, PRESETS } from "./viewer_film.js";
import { buildFilms } from "./viewer_screen.js";

const WINDOW_STEP = 1 / 32; // of the film's range of greys, per key press
const ZOOM_STEP = 1.25;
const MARK_STEP = 0.01; // of the film's side

export class FilmTools {
  // `hooks.placed(x, y)` when a point was put on the film, `hooks.marking(on)` when the keys move the mark or no longer.
  constructor(parts, hooks) {
    Object.assign(this, { parts, hooks, views: [], linked: true, touched: 0 });
  }

  destroy() {
    this.views.forEach((view) => view.destroy());
    this.views = [];
  }

  // `keepWindow`: the protocol's choice that a film is shown with the window of the one before.
  show(films, keepWindow = false) {
    const kept = keepWindow && this.views.length ? this.views[0].windowShares : null;
    if (this.views.length !== films.length) {
      this.destroy();
      const hooks = {
        changed: (view) => this.changed(view), placed: (x, y) => this.placed(x, y), resized: () => this.refresh(),
      };
      this.views = buildFilms(this.parts, films.length).map((canvas) => new FilmView(canvas, hooks));
      this.views.forEach((view, place) => view.canvas.addEventListener("focus", () => { this.touched = place; }));
    }
    this.parts.frame.dataset.films = films.length;
    this.views.forEach((view, place) => view.show(films[place], kept));
    this.touched = 0;
    this.arm(false);
    this.stopMarking();
    this.refresh();
  }

  // The films that a command is for: both, or the one that was touched last.
  get chosen() {
    return this.linked ? this.views : [this.views[this.touched]];
  }

  // False where there is no such command, or no film.
  act(name) {
    if (!COMMANDS[name] || !this.views.length) return false;
    COMMANDS[name].call(this);
    this.refresh();
    return true;
  }

  adjustWindow(centreSteps, widthSteps) {
    for (const view of this.chosen) {
      const step = WINDOW_STEP * (view.film.range[1] - view.film.range[0]);
      view.setWindow(view.centre + centreSteps * step, view.width + widthSteps * step);
    }
  }

  panBy(dx, dy) {
    this.chosen.forEach((view) => view.panBy(dx, dy));
  }

  changed(view) {
    this.touched = this.views.indexOf(view);
    if (this.linked) this.views.filter((other) => other !== view).forEach((other) => other.follow(view.view));
    this.refresh();
  }

  // --- points: with the mouse a click while armed, with keys a crosshair

  arm(armed) {
    const [view] = this.views;
    view.armed = armed;
    view.canvas.classList.toggle("armed", armed);
  }

  placed(x, y) {
    this.arm(false);
    this.stopMarking();
    this.hooks.placed(x, y);
  }

  get marking() {
    return Boolean(this.views[0]?.crosshair);
  }

  startMarking() {
    const [view] = this.views;
    view.crosshair = { x: view.x, y: view.y };
    view.later();
    this.hooks.marking(true);
  }

  stopMarking() {
    const [view] = this.views;
    if (!view?.crosshair) return;
    view.crosshair = null;
    view.later();
    this.hooks.marking(false);
  }

  moveMark(across, down, far) {
    const { crosshair } = this.views[0];
    const step = MARK_STEP * (far ? 5 : 1);
    crosshair.x = Math.min(1, Math.max(0, crosshair.x + across * step));
    crosshair.y = Math.min(1, Math.max(0, crosshair.y + down * step));
    this.views[0].later();
  }

  setMark() {
    const { x, y } = this.views[0].crosshair;
    this.placed(x, y);
  }

  drawMarks(marks) {
    this.views[0].marks = marks;
    this.views[0].later();
  }

  // --- what is shown of the state

  // What is kept with an answer, for each film.
  get shown() {
    return this.views.map(({ centre, width, zoom, inverted, quarters, flipped }) => (
      { window_centre: centre, window_width: width, zoom, inverted, quarter_turns: quarters, flipped }));
  }

  refresh() {
    const view = this.views[this.touched];
    const { parts } = this;
    if (!view?.film) return;
    parts.lens.setAttribute("aria-pressed", String(Boolean(view.lens)));
    parts.flip.setAttribute("aria-pressed", String(view.flipped));
    const zoom = Math.round(100 * view.zoom * view.fitScale);
    parts.readout.textContent = `Centre ${Math.round(view.centre)}   Width ${Math.round(view.width)}   Zoom ${zoom} %`;
    parts.presets.value = view.presetNumber === null ? "own" : String(view.presetNumber);
    parts.invert.setAttribute("aria-pressed", String(view.inverted));
    parts.actual.setAttribute("aria-pressed", String(!view.smooth));
    parts.link.setAttribute("aria-pressed", String(this.linked));
    this.views.forEach(({ canvas }, place) => {
      const side = this.views.length > 1 ? ["left ", "right "][place] : "";
      canvas.setAttribute("aria-label", `Chest film, ${side}shown ${view.inverted ? "inverted" : "as usual"}, zoom ${zoom} %`);
    });
  }
}

// Called with the tools as `this`.
const COMMANDS = {
  invert() { this.chosen.forEach((view) => view.invert()); },
  fit() { this.chosen.forEach((view) => view.fit()); },
  actual() { this.chosen.forEach((view) => (view.smooth ? view.actualPixels() : view.fit())); },
  reset() { this.chosen.forEach((view) => view.reset()); },
  narrower() { this.adjustWindow(0, -1); },
  wider() { this.adjustWindow(0, 1); },
  darker() { this.adjustWindow(1, 0); },
  brighter() { this.adjustWindow(-1, 0); },
  zoomIn() { this.chosen.forEach((view) => view.zoomBy(ZOOM_STEP)); },
  zoomOut() { this.chosen.forEach((view) => view.zoomBy(1 / ZOOM_STEP)); },
  choosePreset() { this.chosen.forEach((view) => view.preset(Number(this.parts.presets.value))); },
  turn() { this.chosen.forEach((view) => view.turn()); },
  flip() { this.chosen.forEach((view) => view.flip()); },
  lens() {
    const on = !this.views[0].lens;
    this.views.forEach((view) => {
      view.lens = on ? { x: -1e6, y: -1e6 } : null;
      view.later();
    });
  },
  nextPreset() {
    const next = ((this.views[this.touched].presetNumber ?? -1) + 1) % PRESETS.length;
    this.chosen.forEach((view) => view.preset(next));
  },
  link() {
    this.linked = !this.linked;
    if (this.linked) this.changed(this.views[this.touched]);
  },
};
