// The first screen: asks for the reader's name, and keeps it for this tab of the browser.

const KEPT = "cxr-reading-reader";

const STYLE = `
.cxr-welcome { font: 1rem/1.5 system-ui, sans-serif; color: var(--jp-ui-font-color1, CanvasText); }
.cxr-welcome form, .cxr-welcome .trouble { max-width: 34em; margin: 12vh auto 0; padding: 0 1em; }
.cxr-welcome h1 { font-size: 1.5rem; margin: 0 0 .6em; }
.cxr-welcome label { display: block; font-weight: 600; }
.cxr-welcome input { font: inherit; padding: .35em .5em; width: 16em; max-width: 100%; margin-right: .5em; }
.cxr-welcome button { font: inherit; padding: .35em 1em; cursor: pointer; }
.cxr-welcome .message { min-height: 3em; }
.cxr-welcome .message button { margin: .4em .5em 0 0; }
.cxr-welcome .who { display: flex; gap: 1em; justify-content: flex-end; align-items: baseline; padding: 2px 10px;
  font-size: .875rem; }
.cxr-welcome .who button { padding: 0 .6em; }
`;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The page is there for the reading, so its keys work at once.
function focusReading() {
  const found = () => {
    const reading = document.querySelector(".cxr-reading");
    if (reading?.offsetWidth) { reading.focus({ preventScroll: true }); }
    return Boolean(reading?.contains(document.activeElement));
  };
  const waiting = window.setInterval(() => { if (found()) { window.clearInterval(waiting); } }, 50);
}

function storeOfTab() {
  try {
    return window.sessionStorage;
  } catch {
    // A browser that keeps nothing: the page asks again after a reload.
    return { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  }
}

function render({ model, el }) {
  const store = storeOfTab();
  el.classList.add("cxr-welcome");
  // While a form has the focus, keys belong to it and not to a notebook around it.
  el.dataset.lmSuppressShortcuts = "true";
  const input = element("input", { id: "cxr-reader", name: "reader", autocomplete: "off", spellcheck: false, maxLength: 31 });
  const message = element("div", { className: "message" });
  message.setAttribute("role", "status");
  const send = (name, sure) => model.send({ kind: "name", name, sure });
  const form = element(
    "form", {},
    element("h1", { textContent: model.get("title") }),
    element("p", { textContent: "You are about to read chest films: for research only, not for diagnosis. Your answers are kept "
      + "under a name of your choice. Use the same name each time, and the reading goes on where you left it." }),
    element("label", { htmlFor: input.id, textContent: "Your name, in small letters" }),
    input, element("button", { type: "submit", textContent: "Begin" }), message,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    message.replaceChildren();
    send(input.value.trim(), false);
  });

  const who = element("div", { className: "who" });
  const show = () => {
    const reader = model.get("reader");
    if (model.get("trouble")) {
      const trouble = element("p", { className: "trouble", textContent: model.get("trouble") });
      trouble.setAttribute("role", "alert");
      el.replaceChildren(element("style", { textContent: STYLE }), trouble);
      return;
    }
    if (!reader) {
      el.replaceChildren(element("style", { textContent: STYLE }), form);
      // The page shows itself only when all of it is there, and what is hidden can't have the focus.
      const seen = new ResizeObserver(() => { if (input.offsetWidth) { input.focus(); seen.disconnect(); } });
      seen.observe(input);
      return;
    }
    if (!model.get("fixed")) { store.setItem(KEPT, reader); }
    const other = element("button", { type: "button", textContent: "Someone else?" });
    other.addEventListener("click", () => { store.removeItem(KEPT); window.location.reload(); });
    const leave = element("a", { href: model.get("logout"), textContent: "Log out" });
    const ways = model.get("logout") ? [leave] : model.get("fixed") ? [] : [other];
    who.replaceChildren(element("span", { textContent: `Reading as ${reader}` }), ...ways);
    el.replaceChildren(element("style", { textContent: STYLE }), who);
    focusReading();
  };

  const received = (content) => {
    if (content.kind === "refused") {
      store.removeItem(KEPT);
      message.replaceChildren(element("p", { textContent: content.text }));
      input.focus();
    } else if (content.kind === "new") {
      const sure = element("button", { type: "button", textContent: `Begin as ${content.name}` });
      const correct = element("button", { type: "button", textContent: "Change the name" });
      sure.addEventListener("click", () => send(content.name, true));
      correct.addEventListener("click", () => { message.replaceChildren(); input.select(); });
      message.replaceChildren(
        element("p", { textContent: `There are no answers under the name ${content.name} yet.` }), sure, correct);
      sure.focus();
    }
  };
  model.on("msg:custom", received);
  model.on("change:reader", show);
  show();
  const kept = store.getItem(KEPT);
  if (!model.get("reader") && kept) { send(kept, true); }
  return () => {
    model.off("msg:custom", received);
    model.off("change:reader", show);
  };
}

export default { render };
