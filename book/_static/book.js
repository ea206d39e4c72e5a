/* What a page of the book can do without a kernel: it asks nothing of any host and works from a folder too. */
"use strict";

const made = (name, attributes = {}, ...inside) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...inside);
  return element;
};
const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

/* Tables and figures that are wider than the page say so. */
function cueScrolling(within = document) {
  const all = ".exhibit-scroll, .pst-scrollable-table-container, .bd-article figure, .bd-article .cover";
  const watch = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target)));
  const mark = (box) => {
    const wide = box.scrollWidth > box.clientWidth + 2;
    box.classList.toggle("is-wide", wide);
    box.classList.toggle("at-end", box.scrollLeft + box.clientWidth >= box.scrollWidth - 2);
    if (wide) box.setAttribute("tabindex", "0");
  };
  within.querySelectorAll(all).forEach((box) => {
    watch.observe(box);
    box.querySelectorAll("img").forEach((image) => image.addEventListener("load", () => mark(box)));
    box.addEventListener("scroll", () => mark(box), { passive: true });
  });
}

/* The contents of the page follow the reader. */
function followReader() {
  const links = [...document.querySelectorAll(".page-toc a[href^='#'], .bd-toc-nav a[href^='#']")];
  const sections = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  if (!links.length) return;
  let waiting = false;
  const follow = () => {
    waiting = false;
    let current = 0;
    sections.forEach((section, place) => {
      const heading = section?.querySelector("h1, h2, h3, h4") ?? section;
      if (heading && heading.getBoundingClientRect().top < innerHeight * 0.3) current = place;
    });
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 4) current = links.length - 1;
    links.forEach((link, place) => {
      link.classList.toggle("here", place === current);
      if (place === current) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    });
  };
  addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(follow);
    waiting = true;
  }, { passive: true });
  follow();
}

/* A picture, as large as the window or larger, moved by hand, wheel or keys. */
function enlargePictures() {
  document.querySelectorAll(".bd-article figure img, .bd-article .cover img").forEach((image) => {
    if (image.closest("a") && image.closest("a").getAttribute("href") !== image.getAttribute("src")) return;
    image.closest("a")?.replaceWith(image);
    const open = made("button", { type: "button", class: "enlarge", title: "Enlarge", onclick: () => enlarge(image) }, "⤢ Enlarge");
    image.addEventListener("click", () => enlarge(image));
    image.after(open);
  });
}

function enlarge(image) {
  const copy = made("img", { src: image.src, alt: image.alt, draggable: "false" });
  const stage = made("div", { class: "stage" }, copy);
  let [scale, x, y] = [1, 0, 0];
  const place = () => { copy.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
  const zoom = (factor) => { scale = Math.min(8, Math.max(1, scale * factor)); if (scale === 1) [x, y] = [0, 0]; place(); };
  const button = (text, label, act) => made("button", { type: "button", "aria-label": label, onclick: act }, text);
  const window_ = made("dialog", { class: "enlarged", "aria-label": image.alt || "Picture" }, stage, made("div", { class: "tools" },
    button("+", "larger", () => zoom(1.5)), button("−", "smaller", () => zoom(1 / 1.5)),
    button("Close", "close", () => window_.close())));
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2); }, { passive: false });
  const held = new Map();
  stage.addEventListener("pointerdown", (event) => { held.set(event.pointerId, event); stage.setPointerCapture(event.pointerId); });
  stage.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const other = [...held.values()].find((one) => one.pointerId !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      zoom(apart(event) / apart(before));
    } else {
      x += event.clientX - before.clientX;
      y += event.clientY - before.clientY;
      place();
    }
    held.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => held.delete(event.pointerId));
  window_.addEventListener("keydown", (event) => {
    if (event.key === "+") zoom(1.5);
    if (event.key === "-") zoom(1 / 1.5);
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (step) { x += step[0]; y += step[1]; place(); event.preventDefault(); }
  });
  window_.addEventListener("close", () => window_.remove());
  document.body.append(window_);
  window_.showModal();
}

/* Where a number comes from: its row, its file, what that was made of, the settings and the code. */
function traceNumbers() {
  document.querySelectorAll(".exhibit").forEach((exhibit) => {
    const table = exhibit.querySelector("table");
    const cells = [...table.querySelectorAll("tbody td")].filter((cell) => /\d/.test(cell.textContent));
    cells.forEach((cell) => {
      cell.classList.add("traced");
      cell.title = "Where does this number come from?";
      cell.addEventListener("click", () => trace(exhibit, table, cell));
    });
    if (!cells.length) return;
    const begin = made("button", { type: "button", class: "trace", onclick: () => trace(exhibit, table, cells[0]) }, "Trace a number");
    exhibit.querySelector(".exhibit-links")?.append(" · ", begin);
  });
}

/* The table as a grid, so that a header that spans several rows stands in each. */
function gridOf(table) {
  const grid = [];
  [...table.rows].forEach((row, y) => {
    grid[y] ??= [];
    let x = 0;
    for (const cell of row.cells) {
      while (grid[y][x]) x += 1;
      for (let down = 0; down < cell.rowSpan; down += 1) {
        for (let right = 0; right < cell.colSpan; right += 1) (grid[y + down] ??= [])[x + right] = cell;
      }
    }
  });
  return grid;
}

/* A box that says, line by line, where a number comes from. */
function traceBox(after, ended, hint) {
  document.querySelector(".trace-box .close")?.click();
  const before = document.activeElement;
  const end = () => { box.remove(); ended(); before?.focus({ preventScroll: true }); };
  const told = made("dl", {});
  const box = made("aside", { class: "trace-box", role: "dialog", "aria-label": "Where this number comes from", tabindex: "-1" },
    made("button", { type: "button", class: "close", "aria-label": "close", onclick: () => end() }, "×"), told,
    made("p", { class: "hint" }, hint));
  box.addEventListener("keydown", (event) => { if (event.key === "Escape") end(); });
  after.after(box);
  const say = (name, ...value) => told.append(made("dt", {}, name), made("dd", {}, ...value));
  return { box, say, clear: () => told.replaceChildren() };
}

const root = () => document.documentElement.dataset.content_root ?? "";
const inStudy = (file) => made("code", {}, `results/${meta("cxr:study")}/${file}`);

function sayFile(say, file, where) {
  const name = /^tables\/(\w+)\.csv$/.exec(file)?.[1];
  const columns = name ? [" (", made("a", { href: `${root()}tables.html#${name.replaceAll("_", "-")}` }, "its columns"), ")"] : [];
  say("File", inStudy(file), where ? ` where ${where}` : "", ...columns);
}

function sayOrigin(say, arms) {
  if (arms.length) {
    const files = arms.flatMap((arm) => [inStudy(`classifier/${arm}/seed*/*/predictions.csv`), " "]);
    say("Predictions", ...files, "one row per film; they never leave the study's folder");
  } else {
    say("Made from", "what the record beside it lists, with a hash of every file: ", inStudy("tables/*.json"));
  }
  say("Settings", inStudy("study.yaml"), ", printed as ", made("a", { href: `${root()}provenance.html` }, "provenance"));
  say("Code", made("code", {}, meta("cxr:commit").slice(0, 12) || "not known"));
}

function trace(exhibit, table, cell) {
  const grid = gridOf(table);
  const header = grid[table.tHead.rows.length - 1].map((one) => one.textContent.trim());
  const unmark = () => table.querySelectorAll(".chosen").forEach((one) => one.classList.remove("chosen"));
  const { box, say, clear } = traceBox(exhibit, unmark, "Arrow keys move to other numbers, Esc closes.");
  let place = [0, 0];
  const move = (row, column) => {
    const chosen = grid[row][column];
    unmark();
    chosen.classList.add("chosen");
    const names = grid[row].filter((one) => one.tagName === "TH").map((one) => one.textContent.trim());
    const pairs = header.map((name, at) => [name || "row", grid[row][at].textContent.trim()]);
    const { source, where } = exhibit.dataset;
    clear();
    say("Number", `${header[column]}: ${chosen.textContent.trim()}`);
    say("Row", pairs.map(([name, value]) => `${name}: ${value || "–"}`).join(" · "));
    if (source) sayFile(say, `tables/${source}.csv`, where);
    const arms = names.filter((_, at) => /^(arms?|model)\b/.test(header[at])).flatMap((name) => name.split(" − "));
    sayOrigin(say, arms.filter((name) => source && !name.includes("(the paper)")));
    place = [row, column];
  };
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = [place[0] + step[0], place[1] + step[1]];
    if (grid[row]?.[column]?.tagName === "TD" && row >= table.tHead.rows.length) move(row, column);
  });
  const row = grid.findIndex((line) => line.includes(cell));
  move(row, grid[row].indexOf(cell));
  box.focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}

/* The same for the numbers of a sentence: not for the digits of a name, a version or a hash, nor for the level of an interval. */
const NUMBER = /(?<![\w.-])([−+]?\d+(?:,\d{3})*(?:\.\d+)?)(?![\w-]|[.,]\d|\s%\s(?:interval|level))/;
function traceSentences() {
  document.querySelectorAll(".fact").forEach((fact) => {
    const { files, numbers } = JSON.parse(fact.dataset.trace);
    const walker = document.createTreeWalker(fact, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("a, code, math")) texts.push(walker.currentNode);
    texts.forEach((text) => text.replaceWith(...text.data.split(NUMBER).map((part, at) => {
      if (at % 2 === 0) return part;
      const open = () => {
        const sentence = fact.textContent;
        button.classList.add("chosen");
        const { box, say } = traceBox(fact.closest("p, li, blockquote") ?? fact, () => button.classList.remove("chosen"), "Esc closes.");
        say("Number", part);
        if (sentence !== part) say("Said in", sentence);
        const rows = numbers?.[part.replace(/^[−+]/, "")] ?? [];
        for (const row of rows) say("Row", row);
        if (!numbers) say("Row", "not shown, since films of this study are private");
        else if (!rows.length) say("Row", "none has it as it stands: it is counted or computed from those named here");
        for (const { file, where } of files) sayFile(say, file, where);
        sayOrigin(say, [...new Set(rows.flatMap((row) => /(?:^| · )(?:arm): (\S+)/.exec(row)?.[1] ?? []))]);
        box.focus({ preventScroll: true });
        box.scrollIntoView({ block: "nearest" });
      };
      // No element of HTML's own: a line may break on either side of a button, even between a bracket and its number.
      const button = made("span", { role: "button", tabindex: 0, class: "number", title: "Where does this number come from?", onclick: open }, part);
      button.addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); open(); } });
      return button;
    })));
  });
}

/* All code of a chapter at once. */
function unfoldCode() {
  const folds = [...document.querySelectorAll(".bd-article details.hide")];
  const title = document.querySelector(".bd-article h1");
  if (folds.length < 3 || !title) return;
  const said = (open) => (open ? "Hide all code" : "Show all code");
  let open = false;
  const button = made("button", { type: "button", class: "unfold", onclick: () => {
    open = !open;
    folds.forEach((fold) => { fold.open = open; });
    button.textContent = said(open);
  } }, said(false));
  title.after(button);
}

/* What the theme leaves unsaid to screen readers. */
function nameThings() {
  document.querySelectorAll(".bd-article pre").forEach((block) => block.setAttribute("tabindex", "0"));
  document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement.setAttribute("role", "banner");
  document.querySelectorAll("button.theme-switch-button:not([aria-label])").forEach((button) => button.setAttribute("aria-label", "Light or dark"));
}

/* From a folder no page may read another: the results of a search then have the pages' descriptions. */
function excerptsFromFolder() {
  const told = document.getElementById("page-descriptions");
  const results = document.getElementById("search-results");
  if (!told || !results || location.protocol !== "file:") return;
  const texts = Object.entries(JSON.parse(told.textContent));
  new MutationObserver(() => results.querySelectorAll("ul.search > li").forEach((item) => {
    const path = item.querySelector("a")?.pathname ?? "";
    const text = texts.find(([page]) => path.endsWith(`/${page}.html`))?.[1];
    if (text && !item.querySelector("p.context")) item.append(made("p", { class: "context" }, text));
  })).observe(results, { childList: true, subtree: true });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const begin of [excerptsFromFolder, cueScrolling, followReader, enlargePictures, traceNumbers, traceSentences, unfoldCode, nameThings]) begin();
});

/* Pictures that a hand moves. Each stands below its printed twin and draws nothing but what that rests on. */
const drawn = (name, attributes = {}, ...inside) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
};
const label = (text, attributes) => drawn("text", attributes, document.createTextNode(text));
const share = (part, whole) => (whole ? (100 * part) / whole : NaN);
const shown = (value, unit = " %") => (Number.isFinite(value) ? `${value.toFixed(1)}${unit}` : "–");

function chooser(names, chosen, swatch, changed) {
  const box = made("fieldset", {}, made("legend", {}, "Arms"));
  for (const name of names) {
    const input = made("input", { type: "checkbox" });
    input.checked = chosen.has(name);
    input.addEventListener("change", () => { if (input.checked) chosen.add(name); else chosen.delete(name); changed(); });
    box.append(made("label", {}, input, swatch(name), name));
  }
  return box;
}

function thresholdExplorer(box, data) {
  const names = Object.keys(data.arms);
  const last = data.arms[names[0]].found.length - 1;
  const chosen = new Set(["baseline", ...names.filter((name) => name.startsWith("synthetic"))].filter((name) => names.includes(name)).slice(0, 3));
  const colours = Object.fromEntries(names.map((name) => [name, data.arms[name].colour]));
  const line = (name) => ({ fill: "none", stroke: colours[name], "stroke-width": 2, "stroke-dasharray": data.arms[name].dashes.join(" ") });
  const swatch = (name) => drawn("svg", { viewBox: "0 0 36 8", class: "swatch", "aria-hidden": "true" }, drawn("path", { d: "M0 4H36", ...line(name) }));
  const slider = made("input", { type: "range", min: 0, max: last, value: Math.round(last / 2), "aria-label": "threshold" });
  const said = made("output", {});
  const picture = drawn("svg", { role: "img", "aria-label": "Where the threshold lies on the curves of the chosen arms" });
  const table = made("table", {});
  const axes = ([left, top], x, y) => {
    picture.append(drawn("rect", { x: left, y: top + 20, width: 230, height: 230, class: "frame" }));
    for (const tick of [0, 50, 100]) {
      picture.append(label(tick, { x: left + 2.3 * tick, y: top + 264, "text-anchor": "middle" }), label(tick, { x: left - 6, y: top + 254 - 2.3 * tick, "text-anchor": "end" }));
    }
    picture.append(label(x, { x: left + 115, y: top + 284, "text-anchor": "middle" }), label(y, { x: left, y: top + 12 }));
  };
  let narrow = false;
  const draw = () => {
    const at = Number(slider.value);
    said.textContent = (at / last).toFixed(2);
    picture.replaceChildren();
    // On a phone the curves stand one below the other.
    narrow = box.clientWidth < 520;
    picture.classList.toggle("narrow", narrow);
    picture.setAttribute("viewBox", narrow ? "0 0 300 600" : "0 0 640 300");
    const [first, second] = [[50, 0], narrow ? [50, 305] : [390, 0]];
    axes(first, "negatives called positive (%)", "positives found (%)");
    axes(second, "positives found (%)", "right of those called positive (%)");
    const lines = [];
    for (const name of names.filter((one) => chosen.has(one))) {
      const { found, alarms } = data.arms[name];
      const recall = found.map((count) => share(count, data.positives));
      const false_ = alarms.map((count) => share(count, data.negatives));
      const precision = found.map((count, place) => share(count, count + alarms[place]));
      for (const [[left, top], x, y] of [[first, false_, recall], [second, recall, precision]]) {
        const points = x.map((value, place) => [left + 2.3 * value, top + 250 - 2.3 * y[place]]).filter((point) => point.every(Number.isFinite));
        picture.append(drawn("polyline", { points: points.join(" "), ...line(name) }));
        if (Number.isFinite(x[at]) && Number.isFinite(y[at])) {
          picture.append(drawn("circle", { cx: left + 2.3 * x[at], cy: top + 250 - 2.3 * y[at], r: 6, fill: colours[name], stroke: "#fff" }));
        }
      }
      lines.push([name, `${found[at]} of ${data.positives}`, shown(recall[at]), `${alarms[at]} of ${data.negatives}`, shown(100 - false_[at]), shown(precision[at])]);
    }
    const head = ["arm", "positives found", "sensitivity", "false alarms", "specificity", "precision of these counts"];
    table.replaceChildren(made("caption", {}, "Answers at this threshold"),
      made("thead", {}, made("tr", {}, ...head.map((text) => made("th", { scope: "col" }, text)))),
      made("tbody", {}, ...lines.map((line) => made("tr", {}, ...line.map((text, place) => (place ? made("td", {}, text) : made("th", { scope: "row" }, text)))))));
  };
  slider.addEventListener("input", draw);
  addEventListener("resize", () => { if (narrow !== box.clientWidth < 520) draw(); });
  box.append(made("p", {}, made("strong", {}, "Move the threshold. "), "A film is called positive from ", said, " upwards. Counts are means over training runs; where each fold has a model of its own, the folds are counted together."),
    slider, chooser(names, chosen, swatch, draw), made("div", { class: "exhibit-scroll", tabindex: 0, role: "region", "aria-label": "curves" }, picture),
    made("div", { class: "exhibit-scroll", tabindex: 0, role: "region", "aria-label": "answers at this threshold" }, table));
  draw();
}

function armLadder(box, data) {
  const select = made("select", { "aria-label": "measure" }, ...data.metrics.map(([key, name]) => made("option", { value: key }, name)));
  const said = made("p", { "aria-live": "polite" });
  const picture = drawn("svg", { role: "group", "aria-label": "The arms as a ladder, by the chosen measure" });
  const draw = () => {
    const metric = select.value;
    picture.replaceChildren();
    let y = 10;
    let rung = "";
    const plain = data.plain.includes(metric);
    // On a phone names stand above their lines, so that nothing is cut.
    narrow = box.clientWidth < 520;
    picture.classList.toggle("narrow", narrow);
    const [left, step, width, high_] = narrow ? [10, 3.1, 340, 34] : [210, 4.1, 640, 22];
    const x = (value) => left + step * (plain ? 100 * value : value);
    const told = (value, unit) => (plain && value !== null ? value.toFixed(2) : shown(value ?? NaN, unit));
    const base = data.arms.find(({ arm }) => arm === "baseline")?.values[metric][0];
    for (const { arm, rung: its, colour, values } of data.arms) {
      if (its !== rung) { y += 20; picture.append(label(its, { x: left, y, class: "rung" })); rung = its; }
      y += high_;
      const [middle, low, high] = values[metric];
      const tell = () => { said.textContent = `${arm}: ${Object.fromEntries(data.metrics)[metric]} ${told(middle)}, 95 % interval ${told(low, "")} to ${told(high)}${base === null || arm === "baseline" ? "" : `; the baseline's is ${told(base)}`}.`; };
      const line = drawn("g", { tabindex: 0, class: "rung-line", role: "button", "aria-label": `${arm} ${told(middle)}` },
        drawn("rect", { x: 0, y: y + 8 - high_, width, height: high_, class: "hit" }),
        label(arm, narrow ? { x: left, y: y - 12 } : { x: 200, y, "text-anchor": "end" }));
      if (low !== null) line.append(drawn("line", { x1: x(low), x2: x(high), y1: y - 4, y2: y - 4, stroke: colour, "stroke-width": 3 }));
      if (middle !== null) line.append(drawn("circle", { cx: x(middle), cy: y - 4, r: 5.5, fill: colour, stroke: "#fff" }));
      for (const event of ["mouseenter", "focus", "click"]) line.addEventListener(event, tell);
      picture.append(line);
    }
    if (base !== null && base !== undefined) picture.prepend(drawn("line", { x1: x(base), x2: x(base), y1: 14, y2: y + 6, class: "base" }));
    for (const tick of [0, 25, 50, 75, 100]) picture.append(label(plain ? tick / 100 : tick, { x: left + step * tick, y: y + 24, "text-anchor": "middle" }));
    if (!plain) picture.append(label("%", { x: x(50), y: y + 42, "text-anchor": "middle" }));
    picture.setAttribute("viewBox", `0 0 ${width} ${y + 50}`);
    said.textContent = "Point at an arm to read its numbers. The thin line is the baseline.";
  };
  let narrow = false;
  select.addEventListener("change", draw);
  addEventListener("resize", () => { if (narrow !== box.clientWidth < 520) draw(); });
  box.append(made("p", {}, made("strong", {}, "The ladder by another measure: "), select),
    made("div", { class: "exhibit-scroll", tabindex: 0, role: "region", "aria-label": "ladder of arms" }, picture), said);
  draw();
}

/* Frames of one picture, one at a time. */
function latentWalk(box, data) {
  const strip = box.previousElementSibling?.querySelector("img");
  if (!strip) return;
  const slider = made("input", { type: "range", min: 0, max: data.frames - 1, value: 0, "aria-label": "step of the walk" });
  const panes = data.rows.map((name, row) => {
    const canvas = made("canvas", { width: data.size, height: data.size, role: "img", "aria-label": `synthetic film, ${name}` });
    return { canvas, row, pane: made("figure", { class: "small" }, canvas, made("figcaption", {}, name)) };
  });
  const draw = () => {
    const at = Number(slider.value);
    for (const { canvas, row } of panes) {
      const lines = Math.ceil(data.frames / data.columns);
      const y = (row * lines + Math.floor(at / data.columns)) * data.step + (row + 1) * data.heading;
      canvas.getContext("2d").drawImage(strip, (at % data.columns) * data.step, y, data.size, data.size, 0, 0, data.size, data.size);
    }
  };
  let timer = 0;
  const play = made("button", { type: "button", onclick: () => {
    if (timer) { clearInterval(timer); timer = 0; } else { timer = setInterval(() => { slider.value = (Number(slider.value) + 1) % data.frames; draw(); }, 180); }
    play.textContent = timer ? "Stop" : "Play";
  } }, "Play");
  slider.addEventListener("input", draw);
  box.append(made("p", {}, made("strong", {}, "Walk by hand. "), "Each step is a film that the generator could draw. ", play), slider,
    made("div", { class: "panes" }, ...panes.map(({ pane }) => pane)));
  strip.loading = "eager";
  if (strip.complete) draw();
  strip.addEventListener("load", draw);
}

/* The film under the pointer, on the map and on its twin of pictures; by slider for hands without one. */
function filmsOnMap(box, data) {
  const sheet = box.previousElementSibling?.querySelector("img");
  if (!sheet) return;
  sheet.loading = "eager";
  const there = data.films.flatMap((text, cell) => (text ? [cell] : []));
  const edge = (data.step - data.size) / 2;
  const pane = () => {
    const canvas = made("canvas", { width: data.size, height: data.size, role: "img" });
    const said = made("figcaption", {});
    const show = (cell) => {
      const [row, column] = [Math.floor(cell / data.cells), cell % data.cells];
      canvas.getContext("2d").drawImage(sheet, column * data.step + edge, data.heading + row * data.step + edge, data.size, data.size, 0, 0, data.size, data.size);
      said.textContent = data.films[cell];
      canvas.setAttribute("aria-label", data.films[cell]);
    };
    return [made("figure", { class: "small" }, canvas, said), show];
  };
  const [floating, follow] = pane();
  floating.classList.add("under-pointer");
  floating.hidden = true;
  document.body.append(floating);
  const under = (image, panels) => {
    image.addEventListener("mousemove", (event) => {
      const [x, y] = [event.offsetX / image.clientWidth, 1 - event.offsetY / image.clientHeight];
      const panel = panels.find(([left, low, width, height]) => x >= left && x < left + width && y >= low && y < low + height);
      const [column, row] = panel ? [data.cells * (x - panel[0]) / panel[2], data.cells * (1 - (y - panel[1]) / panel[3])] : [-9, -9];
      const away = (cell) => Math.hypot((cell % data.cells) + 0.5 - column, Math.floor(cell / data.cells) + 0.5 - row);
      const cell = there.reduce((best, one) => (away(one) < away(best) ? one : best), there[0]);
      floating.hidden = away(cell) > 1;
      if (floating.hidden) return;
      follow(cell);
      floating.style.left = `${Math.min(event.clientX + 16, innerWidth - 150)}px`;
      floating.style.top = `${Math.min(event.clientY + 16, innerHeight - 170)}px`;
    });
    image.addEventListener("mouseleave", () => { floating.hidden = true; });
  };
  const map = document.getElementById(data.figure)?.querySelector("img");
  if (map) under(map, data.panels);
  const sheetHeight = data.heading + data.cells * data.step;
  under(sheet, [[0, 0, 1, 1 - data.heading / sheetHeight]]);
  const [chosen, show] = pane();
  const slider = made("input", { type: "range", min: 0, max: there.length - 1, value: 0, "aria-label": "film on the map" });
  const draw = () => show(there[Number(slider.value)]);
  slider.addEventListener("input", draw);
  box.append(made("p", {}, made("strong", {}, "Point at the map "), "to see a film of the place, or go through the films from top to bottom:"),
    slider, made("div", { class: "panes" }, chosen));
  if (sheet.complete) draw();
  sheet.addEventListener("load", draw);
}

document.addEventListener("DOMContentLoaded", () => {
  const kinds = { threshold: thresholdExplorer, ladder: armLadder, walk: latentWalk, map: filmsOnMap };
  document.querySelectorAll(".interactive").forEach((box) => {
    kinds[box.dataset.kind]?.(box, JSON.parse(box.querySelector("script").textContent));
    cueScrolling(box);
  });
});
