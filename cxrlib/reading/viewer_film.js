// One grey film on a canvas: window and level through a lookup table, zoom about a point, pan, turns, a lens, marks.

import { listenToHands } from "./viewer_hands.js";

const WINDOW_DRAG_PIXELS = 600; // a drag this long moves the window by the film's whole range of greys
const LENS = { pixels: 110, zoom: 2.5 };
const ZOOM_LIMITS = [0.25, 40]; // beside the film that just fits
const MARK_PIXELS = 11;

// Windows as shares of the film's pixels that are darker: what a preset shows adapts to the film's exposure.
export const PRESETS = [
  { name: "Whole range", low: null, high: null },
  { name: "Contrast", low: 0.01, high: 0.99 },
  { name: "Lungs", low: 0.02, high: 0.6 },
  { name: "Dense parts", low: 0.4, high: 0.995 },
];

// Greys as sent: little-endian, row by row. Throws where the bytes do not make up the film.
export function decodeFilm({ width, height, bits }, buffer) {
  const bytes = buffer instanceof ArrayBuffer ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  if (bytes.length !== width * height * (bits / 8)) throw new Error("a film came with the wrong number of bytes");
  const pixels = bits === 8 ? bytes : new Uint16Array(bytes.slice().buffer);
  const counts = new Uint32Array(2 ** bits);
  for (let i = 0; i < pixels.length; i++) counts[pixels[i]]++;
  return { pixels, width, height, bits, counts, range: bits === 8 ? [0, 255] : occupied(counts) };
}

function occupied(counts) {
  const low = counts.findIndex((count) => count > 0);
  const high = counts.findLastIndex((count) => count > 0);
  return high > low ? [low, high] : [low, low + 1];
}

function quantile({ counts, pixels }, share) {
  let below = 0;
  for (let grey = 0; grey < counts.length; grey++) {
    below += counts[grey];
    if (below >= share * pixels.length) return grey;
  }
  return counts.length - 1;
}

export class FilmView {
  // `hooks.changed(view)` after every change by hand, `hooks.placed(x, y)` when a point was clicked while `armed`.
  constructor(canvas, hooks = {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.bitmap = document.createElement("canvas");
    this.hooks = hooks;
    this.film = null;
    this.marks = [];
    this.crosshair = this.lens = null;
    this.armed = false;
    this.listeners = new AbortController();
    this.sizes = new ResizeObserver(() => this.fitCanvas());
    this.sizes.observe(canvas);
    listenToHands(this, this.listeners.signal);
  }

  destroy() {
    this.sizes.disconnect();
    this.listeners.abort();
    cancelAnimationFrame(this.frame);
    this.film = null;
  }

  // `kept`: the window of the film before, as `windowShares` gave it, where the protocol wants it kept.
  show(film, kept = null) {
    this.film = film;
    this.bitmap.width = film.width;
    this.bitmap.height = film.height;
    this.bitmapContext = this.bitmap.getContext("2d", { alpha: false });
    this.image = this.bitmapContext.createImageData(film.width, film.height);
    this.coloured = new Uint32Array(this.image.data.buffer);
    this.table = new Uint32Array(2 ** film.bits);
    this.marks = [];
    this.crosshair = null;
    this.fitCanvas();
    this.reset();
    if (kept) this.takeShares(kept);
    this.draw(); // at once: the next film is not to wait for another frame
  }

  reset() {
    Object.assign(this, { inverted: false, quarters: 0, flipped: false });
    this.fit();
    this.preset(0);
  }

  // --- the window: greys from centre - width / 2 to centre + width / 2 go from black to white

  setWindow(centre, width, presetNumber = null) {
    this.presetNumber = presetNumber;
    const [low, high] = this.film.range;
    const range = high - low;
    this.centre = Math.min(high + range / 2, Math.max(low - range / 2, centre));
    this.width = Math.min(2 * range, Math.max(range / 256, width));
    this.repaint = true;
    this.later();
  }

  preset(number) {
    const { low, high } = PRESETS[number];
    const [from, to] = low === null ? this.film.range : [quantile(this.film, low), quantile(this.film, high)];
    this.setWindow((from + to) / 2, Math.max(1, to - from), number);
  }

  // The window as shares of the film's range of greys.
  get windowShares() {
    const [low, high] = this.film.range;
    return { centre: (this.centre - low) / (high - low), width: this.width / (high - low), presetNumber: this.presetNumber, inverted: this.inverted };
  }

  takeShares({ centre, width, presetNumber, inverted }) {
    const [low, high] = this.film.range;
    this.inverted = inverted;
    if (presetNumber === null) this.setWindow(low + centre * (high - low), width * (high - low));
    else this.preset(presetNumber);
  }

  invert() {
    this.inverted = !this.inverted;
    this.repaint = true;
    this.later();
  }

  // --- the place: `x`, `y` is the point of the film (as fractions) at the canvas's middle, `zoom` 1 just fits

  fit() {
    [this.x, this.y, this.zoom, this.smooth] = [0.5, 0.5, 1, true];
    this.later();
  }

  turn() {
    this.quarters = (this.quarters + 1) % 4;
    this.later();
  }

  flip() {
    this.flipped = !this.flipped;
    this.later();
  }

  // From directions on the film to directions on the screen, and back.
  outward(dx, dy) {
    let way = [this.flipped ? -dx : dx, dy];
    for (let turned = 0; turned < this.quarters; turned++) way = [-way[1], way[0]];
    return way;
  }

  inward(dx, dy) {
    let way = [dx, dy];
    for (let turned = 0; turned < this.quarters; turned++) way = [way[1], -way[0]];
    return [this.flipped ? -way[0] : way[0], way[1]];
  }

  actualPixels() {
    [this.zoom, this.smooth] = [1 / this.fitScale, false];
    this.later();
  }

  zoomBy(factor, clientX, clientY) {
    const before = clientX === undefined ? null : this.toFilm(clientX, clientY);
    this.zoom = Math.min(ZOOM_LIMITS[1], Math.max(ZOOM_LIMITS[0], this.zoom * factor));
    if (before) {
      const after = this.toFilm(clientX, clientY);
      this.moveTo(this.x + before.x - after.x, this.y + before.y - after.y);
    }
    this.later();
  }

  // By so many CSS pixels.
  panBy(dx, dy) {
    const scale = this.fitScale * this.zoom;
    const ratio = this.pixelRatio;
    const [across, down] = this.inward(dx * ratio, dy * ratio);
    this.moveTo(this.x - across / (scale * this.film.width), this.y - down / (scale * this.film.height));
    this.later();
  }

  moveTo(x, y) {
    this.x = Math.min(1, Math.max(0, x));
    this.y = Math.min(1, Math.max(0, y));
  }

  toFilm(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.fitScale * this.zoom;
    const [across, down] = this.inward(
      ((clientX - box.left) / box.width - 0.5) * this.canvas.width, ((clientY - box.top) / box.height - 0.5) * this.canvas.height);
    return { x: this.x + across / (scale * this.film.width), y: this.y + down / (scale * this.film.height) };
  }

  get pixelRatio() {
    return this.canvas.width / Math.max(1, this.canvas.clientWidth);
  }

  // What is kept with an answer, and what linked films take over.
  get view() {
    const { centre, width, presetNumber, inverted, x, y, zoom, smooth, quarters, flipped } = this;
    return { centre, width, presetNumber, inverted, x, y, zoom, smooth, quarters, flipped };
  }

  follow(view) {
    Object.assign(this, view);
    this.repaint = true;
    this.later();
  }

  // --- drawing

  fitCanvas() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (width !== this.canvas.width || height !== this.canvas.height) {
      Object.assign(this.canvas, { width, height });
      if (this.film && this.zoom) this.draw(); // a resized canvas is empty: fill it before it is seen
      if (this.film && this.zoom) this.hooks.resized?.();
    }
  }

  get fitScale() {
    const { width, height } = this.film;
    const [across, down] = this.quarters % 2 ? [height, width] : [width, height];
    return Math.min(this.canvas.width / across, this.canvas.height / down);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.film) return;
    if (this.repaint) this.paint();
    const { context, canvas, film } = this;
    const scale = this.fitScale * this.zoom;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#05070a";
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.drawFilm(canvas.width / 2, canvas.height / 2, this, scale);
    this.drawMarks(scale);
    if (this.lens) this.drawLens(scale);
  }

  // The film with its point `at` on the canvas's point (across, down).
  drawFilm(across, down, at, scale) {
    const { context, film } = this;
    const size = [film.width * scale, film.height * scale];
    // Pixels that are not smoothed begin on the screen's own, however the film is turned.
    const whole = this.smooth ? (value) => value : Math.round;
    context.save();
    context.translate(whole(across), whole(down));
    context.rotate((this.quarters * Math.PI) / 2);
    if (this.flipped) context.scale(-1, 1);
    context.imageSmoothingEnabled = this.smooth;
    context.imageSmoothingQuality = scale < 1 ? "high" : "medium";
    context.drawImage(this.bitmap, whole(-at.x * size[0]), whole(-at.y * size[1]), ...size);
    context.restore();
  }

  drawLens(scale) {
    const { context, pixelRatio: ratio } = this;
    const box = this.canvas.getBoundingClientRect();
    const [across, down] = [(this.lens.x - box.left) * ratio, (this.lens.y - box.top) * ratio];
    context.save();
    context.beginPath();
    context.arc(across, down, LENS.pixels * ratio, 0, 2 * Math.PI);
    context.clip();
    context.fillRect(across - LENS.pixels * ratio, down - LENS.pixels * ratio, 2 * LENS.pixels * ratio, 2 * LENS.pixels * ratio);
    this.drawFilm(across, down, this.toFilm(this.lens.x, this.lens.y), scale * LENS.zoom);
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "#8a959f";
    context.stroke();
    context.restore();
  }

  // Where a point of the film (as fractions) lies on the canvas.
  toCanvas(x, y, scale) {
    const [across, down] = this.outward((x - this.x) * this.film.width * scale, (y - this.y) * this.film.height * scale);
    return [this.canvas.width / 2 + across, this.canvas.height / 2 + down];
  }

  // The film's greys through the window's table. ImageData is little-endian RGBA on every browser's machine.
  paint() {
    const { film, table, coloured } = this;
    const slope = 255 / this.width;
    const start = this.centre - this.width / 2;
    const end = film.bits === 8 ? 255 : film.range[1];
    for (let grey = film.range[0]; grey <= end; grey++) {
      const ramp = Math.min(255, Math.max(0, Math.round((grey - start) * slope)));
      const shown = this.inverted ? 255 - ramp : ramp;
      table[grey] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
    }
    const pixels = film.pixels;
    for (let i = 0; i < pixels.length; i++) coloured[i] = table[pixels[i]];
    this.bitmapContext.putImageData(this.image, 0, 0);
    this.repaint = false;
  }

  drawMarks(scale) {
    const { context, pixelRatio: ratio } = this;
    const cross = this.crosshair ? [{ ...this.crosshair, label: "" }] : [];
    for (const { x, y, label } of [...this.marks, ...cross]) {
      const [across, down] = this.toCanvas(x, y, scale);
      const radius = MARK_PIXELS * ratio;
      for (const [colour, thickness] of [["#000000", 4], ["#ffd34d", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = thickness * ratio;
        context.beginPath();
        context.arc(across, down, radius, 0, 2 * Math.PI);
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          const inner = label ? 1 : 0.3;
          context.moveTo(across + inner * radius * dx, down + inner * radius * dy);
          context.lineTo(across + 1.6 * radius * dx, down + 1.6 * radius * dy);
        }
        context.stroke();
      }
      if (label) this.writeLabel(label, across + 1.3 * radius, down - 1.1 * radius, ratio);
    }
  }

  writeLabel(label, across, down, ratio) {
    this.context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    this.context.lineWidth = 3 * ratio;
    this.context.strokeStyle = "#000000";
    this.context.fillStyle = "#ffd34d";
    this.context.strokeText(label, across, down);
    this.context.fillText(label, across, down);
  }

  // To the right: wider, softer; upwards: brighter, as on a workstation.
  dragWindow(dx, dy) {
    const step = (this.film.range[1] - this.film.range[0]) / WINDOW_DRAG_PIXELS;
    this.setWindow(this.centre + dy * step, this.width + dx * step);
  }

  // A click or a tap, which places a mark where one is asked for.
  clicked(clientX, clientY) {
    if (!this.armed) return;
    const { x, y } = this.toFilm(clientX, clientY);
    if (x >= 0 && x <= 1 && y >= 0 && y <= 1) this.hooks.placed?.(x, y);
  }

  byHand(change) {
    change();
    this.hooks.changed?.(this);
  }
}
