// The viewer's arithmetic, clocks and keys, on stand-ins for what a browser gives; run by test_reading_units.py.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const heard = new Map();
const listening = { addEventListener: (name, hear) => heard.set(name, hear), removeEventListener: () => {} };
let seen;
Object.assign(globalThis, {
  window: { ...listening, devicePixelRatio: 1 },
  document: {
    ...listening, hidden: false,
    createElement: () => ({ getContext: () => context }),
  },
  IntersectionObserver: class {
    constructor(tell) { seen = (isIntersecting) => tell([{ isIntersecting }]); }
    observe() {}
    disconnect() {}
  },
  ResizeObserver: class { observe() {} disconnect() {} },
  requestAnimationFrame: () => 0,
  cancelAnimationFrame: () => {},
});
globalThis.navigator ??= {};
const context = new Proxy({}, {
  get: (_, name) => (name === "createImageData" ? (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }) : () => ({})),
  set: () => true,
});
const { FilmView, decodeFilm, PRESETS } = await import("./viewer_film.js");
const { Stopwatch } = await import("./viewer_stopwatch.js");
const { Drafts, Kernel } = await import("./viewer_kernel.js");
const { Keyboard } = await import("./viewer_keyboard.js");

function shown(greys, bits = 8) {
  const canvas = { ...listening, getContext: () => context, clientWidth: 200, clientHeight: 100, width: 200, height: 100, style: {}, getBoundingClientRect: () => ({ left: 0, top: 0, width: 200, height: 100 }) };
  const view = new FilmView(canvas);
  const bytes = bits === 8 ? Uint8Array.from(greys) : Uint16Array.from(greys);
  view.show(decodeFilm({ width: greys.length, height: 1, bits }, bytes));
  return view;
}

beforeEach(() => { document.hidden = false; });

test("films come as 8 or 16 bits, and bytes that make up no film are refused", () => {
  assert.deepEqual([...decodeFilm({ width: 2, height: 1, bits: 8 }, Uint8Array.from([3, 7])).pixels], [3, 7]);
  const deep = decodeFilm({ width: 3, height: 1, bits: 16 }, Uint16Array.from([500, 40000, 1000]).buffer);
  assert.deepEqual([...deep.pixels], [500, 40000, 1000]);
  assert.deepEqual(deep.range, [500, 40000]);
  assert.deepEqual(decodeFilm({ width: 1, height: 1, bits: 16 }, Uint16Array.from([9])).range, [9, 10]);
  assert.throws(() => decodeFilm({ width: 2, height: 1, bits: 16 }, new Uint8Array(3)), /wrong number of bytes/);
});

test("a window stays within what the film holds, whatever is asked for", () => {
  const view = shown([0, 100, 255]);
  view.setWindow(9000, 9000);
  assert.ok(view.centre <= 255 * 1.5);
  assert.equal(view.width, 510);
  view.setWindow(-9000, 0);
  assert.ok(view.centre >= -127.5);
  assert.ok(view.width > 0);
});

test("presets follow the film's own greys", () => {
  const view = shown(Array.from({ length: 100 }, (_, grey) => grey));
  view.preset(PRESETS.findIndex(({ name }) => name === "Lungs"));
  assert.deepEqual([view.centre - view.width / 2, view.centre + view.width / 2], [1, 59]);
  view.preset(0);
  assert.deepEqual([view.centre, view.width], [127.5, 255]);
});

test("a window is carried to a film of another depth", () => {
  const first = shown([0, 255]);
  first.setWindow(64, 32);
  first.invert();
  const second = shown([1000, 2000], 16);
  second.takeShares(first.windowShares);
  assert.deepEqual(second.windowShares, first.windowShares);
  assert.ok(Math.abs(second.centre - (1000 + (1000 * 64) / 255)) < 1e-9);
});

test("directions on the film and on the screen undo each other, however it is turned", () => {
  const view = shown([0, 255]);
  for (let turns = 0; turns < 8; turns++) {
    view.turn();
    if (turns === 4) view.flip();
    assert.deepEqual(view.inward(...view.outward(3, -5)).map((part) => part + 0), [3, -5]);
  }
});

test("the stopwatch counts what can be seen, and goes on where it was", (t) => {
  let now = 0;
  mock.method(performance, "now", () => now);
  const kept = [];
  const watch = new Stopwatch({}, (seconds) => kept.push(seconds));
  t.after(() => { watch.close(); mock.restoreAll(); });
  watch.begin(10);
  now += 4000;
  watch.stop(true);
  now += 60_000;
  watch.stop(false);
  seen(false);
  now += 60_000;
  seen(true);
  document.hidden = true;
  heard.get("visibilitychange")();
  now += 60_000;
  document.hidden = false;
  heard.get("visibilitychange")();
  now += 1000;
  assert.equal(watch.seconds, 15);
  assert.equal(kept.at(0), 14);
  now += 10 ** 8;
  assert.equal(watch.seconds, 1800);
});

test("a kernel that does not answer is told of, and so is its return", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  t.after(() => mock.timers.reset());
  const told = [];
  const model = { on: (name, hear) => (model[name] = hear), off: () => {}, send: () => {} };
  const kernel = new Kernel(model, { received: (m) => told.push(m), silent: (gone) => told.push(gone ? "gone" : "silent"), back: () => told.push("back"), idle: () => false });
  kernel.send({ kind: "answer" });
  mock.timers.tick(5000);
  assert.deepEqual(told, []);
  mock.timers.tick(2000);
  model["msg:custom"]("stored", []);
  model.send = () => { throw new Error("closed"); };
  kernel.send({ kind: "answer" });
  assert.deepEqual(told, ["silent", "back", "stored", "gone"]);
  kernel.close();
});

test("unfinished answers are kept where a tab may keep nothing, and forgotten once stored", () => {
  for (const store of [undefined, new Map()]) {
    Object.defineProperty(window, "sessionStorage", {
      configurable: true,
      get: () => {
        if (!store) throw new Error("forbidden");
        return { setItem: (key, value) => store.set(key, value), getItem: (key) => store.get(key) ?? null, removeItem: (key) => store.delete(key) };
      },
    });
    const drafts = new Drafts("ward");
    drafts.keep("t1", "answers", { quality: 3 });
    drafts.keep("t1", "seconds", 12);
    assert.deepEqual(drafts.read("t1", "answers"), { quality: 3 });
    assert.equal(drafts.read("t2", "answers"), undefined);
    drafts.forget("t1");
    assert.equal(drafts.read("t1", "seconds"), undefined);
  }
});

function keyboard() {
  const acts = [];
  const reading = {
    tools: { marking: false, views: [{}], panBy: (dx, dy) => acts.push(["pan", dx, dy]) },
    parts: { help: { hidden: true }, panel: { contains: () => false } },
    asked: { choose: (number) => { acts.push(number); return true; }, step: (way) => { acts.push(["step", way]); return true; } },
    act: (command) => acts.push(command),
    submit: () => acts.push("submit"),
  };
  const keys = new Keyboard(reading);
  keys.root = { querySelectorAll: () => [] };
  const press = (key, code, more = {}) => keys.keyPressed({ key, code, target: { tagName: "DIV" }, stopPropagation() {}, preventDefault() {}, ...more });
  return { acts, keys, press };
}

test("keys are known by their place, digits with and without shift, signs wherever they are", () => {
  const { acts, press } = keyboard();
  press("ä", "KeyI");
  press("&", "Digit1");
  press("3", "Numpad3");
  press("+", "BracketRight");
  press("f", "");
  press("ArrowLeft", "ArrowLeft");
  assert.deepEqual(acts, ["invert", 1, 3, "zoomIn", "fit", ["pan", 40, -0]]);
});

test("one press does one thing however long it is held, and browser commands are left alone", () => {
  const { acts, keys, press } = keyboard();
  press("i", "KeyI");
  press("i", "KeyI", { repeat: true });
  press("Enter", "Enter");
  press("Enter", "Enter", { repeat: true });
  press("r", "KeyR", { ctrlKey: true });
  press("w", "KeyW", {});
  press("w", "KeyW", { repeat: true });
  assert.deepEqual(acts, ["invert", "submit", "brighter", "brighter"]);
  keys.held.delete("KeyI");
  press("i", "KeyI");
  assert.equal(acts.at(-1), "invert");
});

test("what is typed into a field is no command", () => {
  const { acts, press } = keyboard();
  press("i", "KeyI", { target: { tagName: "TEXTAREA" } });
  press("5", "Digit5", { target: { tagName: "TEXTAREA" } });
  press("1", "Digit1", { target: { tagName: "SELECT" } });
  assert.deepEqual(acts, []);
});

test("Enter on a link or on another button presses that, and stores nothing", () => {
  const { acts, press } = keyboard();
  for (const tagName of ["A", "BUTTON"]) {
    press("Enter", `Enter of ${tagName}`, { target: { tagName, matches: () => false } });
  }
  assert.deepEqual(acts, []);
});
