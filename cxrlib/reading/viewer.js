// One reading in the browser: shows tasks, takes answers, and moves on only when an answer has been stored.

import { followTheme } from "./viewer_elements.js";
import { decodeFilm } from "./viewer_film.js";
import { Drafts, Kernel } from "./viewer_kernel.js";
import { Keyboard } from "./viewer_keyboard.js";
import { showAbout, showPage, toTheTop } from "./viewer_pages.js";
import { QuestionForm } from "./viewer_questions.js";
import { buildScreen, showCover, showProgress } from "./viewer_screen.js";
import { Stopwatch } from "./viewer_stopwatch.js";
import { FilmTools } from "./viewer_tools.js";

const TASKS_KEPT = 4;
const FRESH_MILLISECONDS = 350; // a second Enter or click so soon after the first was not meant for what came between
const AGAIN = "un the cell again or reload the page: the reading goes on at this film.";

class Reading {
  constructor(model, root, who) {
    Object.assign(this, { root, tasks: new Map(), phase: "waiting", given: null, turned: new Set() });
    this.parts = buildScreen(root, (name) => this.act(name), who);
    this.form = new QuestionForm(this.parts.form, {
      changed: () => this.answersChanged(),
      pointWanted: (tag) => this.tools.arm(tag !== null),
    });
    this.tools = new FilmTools(this.parts, {
      placed: (x, y) => this.form.pointGroup.place(x, y),
      marking: (on) => this.speak(on ? "Arrows move the mark, Enter sets it, Escape leaves it." : ""),
    });
    this.stopTheme = followTheme(root);
    this.kernel = new Kernel(model, {
      received: (message, buffers) => MESSAGES[message.kind]?.call(this, message, buffers),
      silent: (gone) => this.kernelSilent(gone),
      back: () => this.kernelBack(),
      idle: () => ["reading", "feedback", "page"].includes(this.phase),
    });
    this.stopwatch = new Stopwatch(this.parts.films, (seconds) => this.drafts.keep(this.task.task_id, "seconds", seconds));
    this.keyboard = new Keyboard(this);
    this.keyboard.listen(root);
    root.addEventListener("fullscreenchange", () => this.refresh());
    const touched = () => { root.dataset.touch = ""; };
    if (window.matchMedia("(pointer: coarse)").matches) touched();
    root.addEventListener("pointerdown", (event) => event.pointerType === "touch" && touched(), { capture: true });
    showCover(this.parts, "Opening the reading …");
    this.hello();
  }

  destroy() {
    this.kernel.close();
    this.keyboard.close();
    this.stopwatch.close();
    this.tools.destroy();
    this.stopTheme();
  }

  hello() {
    this.kernel.send({ kind: "ready", screen: this.screen });
  }

  // --- tasks

  keepTask({ task, films }, buffers) {
    this.tasks.delete(task.task_id);
    this.tasks.set(task.task_id, { ...task, films: films.map((film, place) => decodeFilm(film, buffers[place])) });
    if (this.tasks.size > TASKS_KEPT) this.tasks.delete(this.tasks.keys().next().value);
  }

  showNext() {
    if (this.next === null) this.showFinished();
    else if (this.tasks.has(this.next)) this.showTask(this.tasks.get(this.next));
    else this.hello();
  }

  showTask(task) {
    showProgress(this.parts, this.progress, task.practice, false);
    const onScreen = ["reading", "sending", "paused", "page"].includes(this.phase);
    if (onScreen && this.task?.task_id === task.task_id) return;
    if (task.page && !this.turned.has(task.task_id)) return this.turnPage(task);
    const takesFocus = this.task ? this.hasFocus : this.inSight;
    Object.assign(this, { task, phase: "reading" });
    this.tools.show(task.films, task.keep_window);
    this.stopwatch.begin(this.drafts.read(task.task_id, "seconds") ?? 0);
    const answers = this.drafts.read(task.task_id, "answers") ?? (this.given?.task === task.task_id ? this.given.answers : {});
    this.form.show(task.questions, answers);
    if (Object.keys(answers).length) this.makeFresh();
    if (!this.parts.page.hidden) toTheTop(this.parts.frame);
    this.parts.cover.hidden = this.parts.page.hidden = true;
    this.root.dataset.task = task.task_id;
    this.newSubmission();
    this.say("");
    this.drawMarks();
    this.speak(`${task.practice ? "Practice. " : ""}${this.parts.position.textContent}.`);
    if (takesFocus) this.form.focusActive();
    if (takesFocus && !this.shown) this.root.scrollIntoView({ block: "nearest" });
    this.shown = true;
  }

  // What comes before a part of the reading; the film is not shown yet, and no time counts.
  turnPage(task) {
    Object.assign(this, { task, phase: "page" });
    this.stopwatch.stop(true);
    this.root.dataset.task = "";
    this.makeFresh();
    const takesFocus = this.hasFocus || (!this.shown && this.inSight);
    const go = showPage(this.parts.page, task.page, () => this.submit());
    this.refresh();
    this.speak(task.page.heading);
    if (takesFocus) go.focus({ preventScroll: true });
  }

  // Questions about the reader or the screen, each asked once.
  showAbout({ name, questions }) {
    this.phase = "about";
    this.makeFresh();
    const takesFocus = this.hasFocus || (!this.shown && this.inSight);
    this.about = { name, form: showAbout(this.parts.page, name, questions, () => this.submit()) };
    this.refresh();
    if (takesFocus) this.about.form.focusActive();
  }

  sendAbout() {
    const { name, form } = this.about;
    const [open] = form.missing;
    if (open) return form.complain(`Still open: ${open.text}`);
    this.kernel.send({ kind: "about", name, answers: form.answers });
  }

  showFeedback(text) {
    this.phase = "feedback";
    this.makeFresh();
    this.say(text, "Next film", "feedback");
    this.parts.submit.focus({ preventScroll: true });
  }

  showFinished() {
    Object.assign(this, { phase: "finished", task: null });
    this.stopwatch.stop(true);
    this.root.dataset.task = "";
    this.tools.destroy();
    this.parts.films.replaceChildren();
    this.form.show([]);
    showProgress(this.parts, this.progress, false, true);
    showCover(this.parts, "Thank you", "Every film has an answer, and every answer is stored. You can close this page.");
    this.say("");
    this.speak("Every film has an answer. Thank you.");
    if (this.hasFocus) this.root.focus({ preventScroll: true });
  }

  // --- answers

  // What has just come up is not to be left before it can have been seen.
  makeFresh() {
    this.root.dataset.fresh = "";
    clearTimeout(this.freshness);
    this.freshness = setTimeout(() => { delete this.root.dataset.fresh; }, FRESH_MILLISECONDS);
  }

  newSubmission() {
    this.submission = { id: crypto.getRandomValues(new Uint32Array(4)).join("-"), sent: null };
  }

  answersChanged() {
    this.drafts.keep(this.task.task_id, "answers", this.form.answers);
    if (this.submission.sent) this.newSubmission(); // no longer the answer that was sent
    if (this.parts.message.dataset.tone === "hint") this.say("");
    this.drawMarks();
    this.refresh();
  }

  submit() {
    if ("fresh" in this.root.dataset) return;
    if (this.phase === "about") return this.sendAbout();
    if (this.phase === "page") {
      this.turned.add(this.task.task_id);
      return this.showTask(Object.assign(this, { phase: "waiting" }).task);
    }
    if (this.phase === "feedback") return this.showNext();
    if (this.phase !== "reading") return;
    const missing = this.form.missing;
    if (missing.length) {
      this.form.activate(this.form.groups.find((group) => group.question === missing[0]));
      this.form.focusActive();
      return this.say(`Still open: ${missing.map((question) => question.text).join(" ")}`, null, "hint");
    }
    this.submission.sent ??= {
      kind: "answer", submission: this.submission.id, task_id: this.task.task_id, answers: this.form.answers,
      seconds: this.stopwatch.seconds, view: this.tools.shown, screen: this.screen,
    };
    this.phase = "sending";
    this.refresh();
    this.kernel.send(this.submission.sent);
  }

  stored({ submission, progress, next, feedback }) {
    if (submission !== this.submission?.id) return;
    this.stopwatch.stop(true);
    this.drafts.forget(this.task.task_id);
    this.given = { task: this.task.task_id, answers: this.form.answers };
    Object.assign(this, { progress, next });
    if (feedback) this.showFeedback(feedback);
    else this.showNext();
  }

  // The answer is still on the screen, unless it has one already, e.g. from another tab: then only the way on is open.
  refused({ submission, text, next }) {
    if (!submission && this.phase === "about") return this.about.form.complain(text);
    if (!submission) return this.say(text, this.label); // an undo or a pause: nothing else has changed
    if (submission !== this.submission?.id) return;
    const answered = this.task && next !== this.task.task_id;
    if (answered) this.stopwatch.stop(true);
    if (answered) this.drafts.forget(this.task.task_id);
    this.phase = answered ? "feedback" : "reading";
    if (answered) this.makeFresh();
    this.next = next;
    this.say(text, answered ? "Go on" : "Send again");
    this.refresh();
  }

  kernelSilent(gone) {
    if (this.phase === "finished") return;
    if (this.phase === "sending") {
      this.phase = "reading";
      this.say("", "Send again");
    }
    const kept = this.task ? "Your answer is still here. " : "";
    this.parts.connection.textContent = this.kernel.model.comesBack
      ? `The reading's server can't be reached. ${kept}What was stored is safe. This goes on by itself when the server is back.`
      : gone ? `The connection to the kernel is lost. ${kept}R${AGAIN}`
      : `The kernel doesn't answer; it may be busy. ${kept}If it was restarted, r${AGAIN}`;
    this.parts.connection.hidden = false;
    if (this.phase === "waiting" && !gone) this.hello();
  }

  kernelBack() {
    this.parts.connection.hidden = true;
  }

  undo() {
    if (!this.progress?.can_undo || !["reading", "feedback", "finished"].includes(this.phase)) return;
    this.kernel.send({ kind: "undo", next: this.phase === "reading" ? this.task.task_id : this.next });
  }

  pause() {
    if (this.phase === "paused") {
      this.phase = "reading";
      this.stopwatch.stop(false);
      this.root.focus({ preventScroll: true });
      this.parts.cover.hidden = true;
      this.refresh();
    } else if (this.phase === "reading") {
      this.phase = "paused";
      this.stopwatch.stop(true);
      this.refresh();
      showCover(this.parts, "Paused", "The clock stands still.", { label: "Go on", key: "P", act: () => this.pause() });
      this.parts.cover.querySelector("button").focus({ preventScroll: true });
    } else return;
    this.kernel.send({ kind: this.phase === "paused" ? "pause" : "resume", task_id: this.task.task_id });
  }

  // --- commands

  act(name) {
    if (name === "submit") this.submit();
    else if (name === "undo") this.undo();
    else if (name === "pause") this.pause();
    else if (name === "keys") this.toggleHelp();
    else if (name === "enlarge") this.enlarge();
    else if (this.phase !== "paused") this.tools.act(name);
  }

  enlarge() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen().catch(() => this.say("This browser keeps the reading in its window.", this.label, "hint"));
  }

  toggleHelp() {
    const { help, keys } = this.parts;
    if (help.hidden) this.beforeHelp = document.activeElement;
    help.hidden = !help.hidden;
    keys.setAttribute("aria-expanded", String(!help.hidden));
    (help.hidden ? this.beforeHelp : help).focus({ preventScroll: true });
  }

  // The questions that keys answer.
  get asked() {
    return this.phase === "about" ? this.about.form : this.phase === "reading" ? this.form : null;
  }

  // --- the screen

  get hasFocus() {
    return this.root.contains(document.activeElement);
  }

  // At the start the keys go to the reading only if most of it can be seen.
  get inSight() {
    const { top, bottom, height } = this.root.getBoundingClientRect();
    return Math.min(bottom, innerHeight) - Math.max(top, 0) > 0.6 * Math.min(height, innerHeight);
  }

  get screen() {
    const canvas = this.tools.views[0]?.canvas;
    return {
      width: screen.width, height: screen.height, window_width: innerWidth, window_height: innerHeight,
      pixel_ratio: devicePixelRatio, colour_depth: screen.colorDepth, theme: this.root.dataset.theme,
      film_width: canvas?.width ?? 0, film_height: canvas?.height ?? 0,
    };
  }

  say(text, label = null, tone = "problem") {
    const { message, submit } = this.parts;
    this.label = label;
    message.textContent = text;
    message.dataset.tone = tone;
    message.hidden = !text;
    submit.querySelector(".label").textContent = label ?? "Store and go on";
    this.refresh();
  }

  // A form that is closed lets go of the focus; the keys must stay here all the same.
  openForm(open) {
    const { form } = this.parts;
    if (form.inert === !open) return;
    if (form.contains(document.activeElement)) this.root.focus({ preventScroll: true });
    form.inert = !open;
    if (open && document.activeElement === this.root) this.form.focusActive();
  }

  speak(text) {
    this.parts.live.textContent = text;
  }

  drawMarks() {
    if (this.form.pointGroup) this.tools.drawMarks(this.form.pointGroup.marks);
  }

  refresh() {
    const { parts, phase } = this;
    this.root.dataset.phase = phase;
    this.openForm(phase === "reading");
    parts.undo.disabled = !this.progress?.can_undo;
    parts.pause.disabled = !["reading", "paused"].includes(phase);
    parts.submit.hidden = phase === "finished";
    parts.submit.classList.toggle("complete", phase === "feedback" || (phase === "reading" && !this.form.missing.length));
    parts.enlarge.setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
  }
}

// From the kernel or the server; called with the reading as `this`.
const MESSAGES = {
  task(message, buffers) {
    this.drafts ??= new Drafts(message.reading);
    this.keepTask(message, buffers);
    Object.assign(this, { progress: message.progress, next: message.task.task_id });
    if (message.undone) this.turned.add(message.task.task_id);
    this.showNext();
    if (message.undone) this.say("Your last answer was taken back. Change it, and store it again.", null, "hint");
  },
  next(message, buffers) { this.keepTask(message, buffers); },
  about(message) { this.showAbout(message); },
  stored(message) { this.stored(message); },
  refused(message) { this.refused(message); },
  finished(message) {
    this.progress = message.progress;
    this.showFinished();
  },
};

// In a notebook `el` is a cell's output; a page of its own gives its body, and says who reads.
export function render({ model, el, who = null, asPage = false }) {
  const root = document.createElement("div");
  root.className = "cxr-reading";
  root.classList.toggle("as-page", asPage);
  root.tabIndex = -1;
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab listens before anything here could stop a key
  root.setAttribute("role", "region");
  root.setAttribute("aria-label", "Reading of chest films");
  el.append(root);
  const reading = new Reading(model, root, who);
  return asPage ? reading : () => reading.destroy();
}
