// The questions of one task, in order: one choice, tags with points on the film, or free text.

import { button, element, keyCap } from "./viewer_elements.js";

let groupsMade = 0;

export class QuestionForm {
  // `hooks.changed()` after every change; `hooks.pointWanted(tag)` when a tag asks for a place on the film.
  constructor(container, hooks) {
    this.container = container;
    this.hooks = hooks;
    this.groups = [];
  }

  // `draft`: answers given earlier to this very task, or undefined.
  show(questions, draft = {}) {
    this.groups = questions.map((question) => KINDS[question.kind](question, this, draft[question.name]));
    this.container.replaceChildren(...this.groups.map((group) => group.node));
    this.activate(this.firstOpen());
  }

  get answers() {
    return Object.fromEntries(this.groups.map((group) => [group.question.name, group.value]));
  }

  // Required questions that have no answer yet.
  get missing() {
    return this.groups.filter((group) => group.question.required && group.empty).map((group) => group.question);
  }

  get pointGroup() {
    return this.groups.find((group) => group.question.points);
  }

  firstOpen() {
    return this.groups.find((group) => group.empty && group.question.kind !== "text") ?? this.groups[0];
  }

  activate(group) {
    this.active = group;
    for (const other of this.groups) other.node.classList.toggle("active", other === group);
  }

  focusActive() {
    this.active?.focus();
  }

  step(by) {
    const place = this.groups.indexOf(this.active) + by;
    if (place >= 0 && place < this.groups.length) {
      this.goTo(this.groups[place]);
    }
  }

  // A digit, 0 being the tenth; false where the active question has no such choice.
  choose(digit) {
    return this.active?.choose?.((digit + 9) % 10) ?? false;
  }

  changed() {
    this.hooks.changed();
  }

  // On to the next question without an answer; from the last one nothing moves.
  advanceFrom(group) {
    const later = this.groups.slice(this.groups.indexOf(group) + 1);
    const next = later.find((other) => other.empty && other.question.kind !== "text");
    if (next) this.goTo(next);
  }

  // Where the questions stand under the film, the next one may be out of sight.
  goTo(group) {
    this.activate(group);
    group.focus();
    group.node.scrollIntoView({ block: "nearest" });
  }
}

class ChoiceGroup {
  constructor(question, form, chosen) {
    Object.assign(this, { question, form });
    this.value = question.choices.includes(chosen) ? chosen : null;
    const id = `cxr-question-${++groupsMade}`;
    this.options = question.choices.map((choice, place) =>
      element(
        "button",
        { type: "button", role: "radio", class: "choice", "data-choice": choice, onclick: () => this.choose(place) },
        choice === String(place + 1) ? null : keyCap(place + 1),
        element("span", { class: "label", text: choice }),
      ),
    );
    const row = element("div", { role: "radiogroup", class: "choices", "aria-labelledby": id }, ...this.options);
    row.setAttribute("aria-required", String(question.required));
    row.style.setProperty("--columns", columnsFor(question.choices));
    row.addEventListener("keydown", (event) => this.arrow(event));
    this.node = questionNode(this, id, row);
    this.refresh();
  }

  get empty() {
    return this.value === null;
  }

  choose(place) {
    if (place >= this.options.length) return false;
    this.value = this.question.choices[place];
    this.refresh();
    this.options[place].focus({ preventScroll: true });
    this.form.advanceFrom(this);
    this.form.changed();
    return true;
  }

  // As in every group of radio buttons: arrows choose, and stay within the group.
  arrow(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return;
    const count = this.options.length;
    const place = this.empty ? (by > 0 ? 0 : count - 1) : (this.chosenPlace + by + count) % count;
    this.value = this.question.choices[place];
    this.refresh();
    this.options[place].focus({ preventScroll: true });
    this.form.changed();
  }

  get chosenPlace() {
    return this.question.choices.indexOf(this.value);
  }

  focus() {
    this.options[Math.max(0, this.chosenPlace)].focus({ preventScroll: true });
  }

  refresh() {
    this.options.forEach((option, place) => {
      option.setAttribute("aria-checked", String(place === this.chosenPlace));
      option.tabIndex = place === Math.max(0, this.chosenPlace) ? 0 : -1;
    });
  }
}

class TagGroup {
  constructor(question, form, chosen = []) {
    Object.assign(this, { question, form });
    this.points = new Map(chosen.map(({ tag, x, y }) => [tag, { x, y }]));
    const id = `cxr-question-${++groupsMade}`;
    this.options = question.choices.map((tag, place) => {
      const key = place < 10 ? keyCap((place + 1) % 10) : null;
      const label = element("span", { class: "label", text: tag });
      return element("button", { type: "button", class: "choice tag", "data-choice": tag, onclick: () => this.choose(place) }, key, label);
    });
    const row = element("div", { role: "group", class: "choices tags", "aria-labelledby": id }, ...this.options);
    this.node = questionNode(this, id, row);
    this.refresh();
  }

  get empty() {
    return this.points.size === 0;
  }

  get value() {
    return [...this.points].map(([tag, { x, y }]) => ({ tag, x, y }));
  }

  get marks() {
    return this.value.filter(({ x }) => x !== null).map(({ tag, x, y }) => ({ x, y, label: String(this.question.choices.indexOf(tag) + 1) }));
  }

  choose(place) {
    const tag = this.question.choices[place];
    if (tag === undefined) return false;
    const taken = this.points.delete(tag);
    if (!taken) this.points.set(tag, { x: null, y: null });
    this.latest = taken ? [...this.points.keys()].at(-1) : tag;
    this.form.activate(this);
    this.refresh();
    this.options[place].focus({ preventScroll: true });
    if (this.question.points) this.form.hooks.pointWanted(taken ? null : tag);
    this.form.changed();
    return true;
  }

  place(x, y) {
    if (!this.points.has(this.latest)) return;
    this.points.set(this.latest, { x, y });
    this.refresh();
    this.form.changed();
  }

  focus() {
    this.options[0].focus({ preventScroll: true });
  }

  refresh() {
    this.options.forEach((option) => {
      const point = this.points.get(option.dataset.choice);
      option.setAttribute("aria-pressed", String(point !== undefined));
      option.classList.toggle("placed", point !== undefined && point.x !== null);
      const spoken = point && point.x !== null ? `${option.dataset.choice}, marked on the film` : option.dataset.choice;
      option.setAttribute("aria-label", spoken);
    });
    const spot = this.question.points && !this.empty;
    this.node.querySelector(".hint").textContent = spot ? "click the film, or M" : "optional";
  }
}

class TextAnswer {
  constructor(question, form, written = "") {
    Object.assign(this, { question, form });
    const id = `cxr-question-${++groupsMade}`;
    this.field = element("textarea", { rows: 1, placeholder: " ", "aria-labelledby": id, maxlength: 2000 });
    this.field.value = written;
    this.field.addEventListener("input", () => form.changed());
    this.node = questionNode(this, id, this.field);
    this.node.classList.add("written");
  }

  get value() {
    return this.field.value.trim();
  }

  get empty() {
    return this.value === "";
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }
}

function questionNode(group, id, ...parts) {
  const { name, text, required } = group.question;
  const hint = required ? null : element("span", { class: "hint", text: "optional" });
  const title = element("h4", { class: "question-text" }, element("span", { id, text }), hint);
  const node = element("section", { class: "question", "data-question": name }, title, ...parts);
  node.addEventListener("focusin", () => group.form.activate(group));
  return node;
}

// Long words side by side would be cut off: six steps stand in two rows of three.
function columnsFor(choices) {
  const longest = Math.max(...choices.map((choice) => choice.length));
  return longest > 12 && choices.length > 3 ? Math.ceil(choices.length / 2) : choices.length;
}

const KINDS = {
  choice: (...given) => new ChoiceGroup(...given),
  tags: (...given) => new TagGroup(...given),
  text: (...given) => new TextAnswer(...given),
};
