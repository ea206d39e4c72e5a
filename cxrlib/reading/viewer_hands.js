// What hands do to a film. Mouse: left drag window, right or middle (or Shift and left) drag pan, wheel zoom, double click
// reset. Touch: one finger pans, two zoom and pan.

const CLICK_PIXELS = 4; // a pointer that moved less than this has clicked; a finger trembles more
const TAP_PIXELS = 10;

export function listenToHands(view, signal) {
  const { canvas } = view;
  const hands = new Hands(view);
  const on = (name, handler, more) => canvas.addEventListener(name, (event) => view.film && handler(event), { signal, ...more });
  on("contextmenu", (event) => event.preventDefault());
  on("dblclick", () => view.byHand(() => view.reset()));
  on("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    view.byHand(() => view.zoomBy(Math.exp(-0.0015 * event.deltaY * lines), event.clientX, event.clientY));
  }, { passive: false });
  on("mousedown", (event) => event.button === 1 && event.preventDefault()); // no scrolling by the middle button
  on("pointerdown", (event) => hands.down(event));
  on("pointermove", (event) => hands.move(event));
  on("pointerup", (event) => hands.up(event));
  on("pointercancel", (event) => hands.fingers.delete(event.pointerId));
  on("pointerleave", () => hands.leave());
}

class Hands {
  constructor(view) {
    Object.assign(this, { view, fingers: new Map() });
  }

  down(event) {
    if (![0, 1, 2].includes(event.button)) return;
    this.view.canvas.setPointerCapture(event.pointerId);
    const touch = event.pointerType === "touch";
    const pan = touch || event.button > 0 || event.shiftKey;
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: 0, pan, touch, button: event.button });
    if (this.fingers.size > 1) this.fingers.forEach((finger) => { finger.moved = Infinity; });
  }

  move(event) {
    const { view } = this;
    if (view.lens && event.pointerType !== "touch") {
      view.lens = { x: event.clientX, y: event.clientY };
      view.later();
    }
    const finger = this.fingers.get(event.pointerId);
    if (!finger) return;
    const [dx, dy] = [event.clientX - finger.x, event.clientY - finger.y];
    finger.moved += Math.hypot(dx, dy);
    if (finger.moved < (finger.touch ? TAP_PIXELS : CLICK_PIXELS)) return;
    const before = this.spread();
    [finger.x, finger.y] = [event.clientX, event.clientY];
    view.byHand(() => (before ? this.pinch(before) : finger.pan ? view.panBy(dx, dy) : view.dragWindow(dx, dy)));
  }

  // Two fingers: the middle between them and their distance.
  spread() {
    const [one, other] = this.fingers.values();
    if (!other) return null;
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, distance: Math.max(1, Math.hypot(one.x - other.x, one.y - other.y)) };
  }

  pinch(before) {
    const after = this.spread();
    this.view.panBy(after.x - before.x, after.y - before.y);
    this.view.zoomBy(after.distance / before.distance, after.x, after.y);
  }

  up(event) {
    const finger = this.fingers.get(event.pointerId);
    this.fingers.delete(event.pointerId);
    if (finger && finger.button === 0 && finger.moved < (finger.touch ? TAP_PIXELS : CLICK_PIXELS)) {
      this.view.clicked(event.clientX, event.clientY);
    }
  }

  leave() {
    if (!this.view.lens) return;
    this.view.lens = { x: -1e6, y: -1e6 };
    this.view.later();
  }
}
