// Pages over the whole reading: what it is about, where a part ends and the next begins, and questions about the reader
// and the screen.

import { button, element } from "./viewer_elements.js";
import { QuestionForm } from "./viewer_questions.js";

const ABOUT = {
  experience: {
    heading: "Before the first film: about you",
    lines: ["Asked once, and kept with your answers: how films are read depends on who reads them."],
  },
  display: {
    heading: "Your screen",
    lines: [
      "Asked once for every screen. Put the blinds down as you would for reading, and look at the black and the white field "
        + "below: is there a smaller square within one of them, or within both?",
    ],
  },
};
const GREYS = 12;

// A page of words and one button.
export function showPage(place, { heading, lines, button: label }, act) {
  const words = lines.map((text) => element("p", { text }));
  const go = button(label, "Enter", act, { class: "submit" });
  fill(place, element("h3", { text: heading }), ...words, element("div", { class: "line" }, go));
  return go;
}

// A page of questions; `act` is called by its button. Returns the form.
export function showAbout(place, name, questions, act) {
  const { heading, lines } = ABOUT[name];
  const answers = element("div", { class: "form" });
  const missing = element("p", { class: "missing", role: "alert" });
  const go = button("Store and go on", "Enter", act, { class: "submit" });
  const words = lines.map((text) => element("p", { text }));
  const pattern = name === "display" ? [testPattern()] : [];
  fill(place, element("h3", { text: heading }), ...words, ...pattern, answers, missing, element("div", { class: "line" }, go));
  const form = new QuestionForm(answers, { changed: () => { missing.textContent = ""; }, pointWanted: () => {} });
  form.show(questions);
  form.complain = (text) => { missing.textContent = text; };
  return form;
}

function fill(place, ...parts) {
  place.replaceChildren(element("div", { class: "sheet" }, ...parts));
  place.hidden = false;
  place.scrollTop = 0;
  toTheTop(place.parentElement);
}

// In a narrow place the whole frame scrolls, and what comes next begins at its top.
export function toTheTop(frame) {
  if (frame.getBoundingClientRect().top < 0) frame.scrollIntoView();
}

// Squares of 5 % within black and 95 % within white, and a stair of greys between the two.
function testPattern() {
  const canvas = element("canvas", { class: "pattern", width: 720, height: 200, role: "img", "aria-label": "Test pattern" });
  const context = canvas.getContext("2d");
  const field = (share, ...box) => {
    const grey = Math.round(255 * share);
    context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
    context.fillRect(...box);
  };
  field(0, 0, 0, 360, 130);
  field(0.05, 145, 30, 70, 70);
  field(1, 360, 0, 360, 130);
  field(0.95, 505, 30, 70, 70);
  for (let step = 0; step < GREYS; step++) field(step / (GREYS - 1), (720 / GREYS) * step, 130, 720 / GREYS, 70);
  return canvas;
}
