// The reading as a page of its own: who reads, and then the reading, over a web socket that comes back by itself.

import { button, element, followTheme } from "./viewer_elements.js";
import { keptBy } from "./viewer_kernel.js";
import { render } from "./viewer.js";

const KEPT = "cxr-reading-reader";
const KEPT_COLOURS = "cxr-reading-colours";
const AGAIN_MILLISECONDS = 1000;

// What a widget's model is to the reading: it sends, and tells what has come.
class Socket {
  constructor(hooks) {
    Object.assign(this, { hooks, heard: {}, comesBack: true });
    this.connect();
  }

  on(name, listen) {
    (this.heard[name] ??= []).push(listen);
  }

  off(name, listen) {
    this.heard[name] = (this.heard[name] ?? []).filter((other) => other !== listen);
  }

  tell(name, ...given) {
    for (const listen of this.heard[name] ?? []) listen(...given);
  }

  send(content) {
    if (this.socket.readyState !== WebSocket.OPEN) throw new Error("the reading's server can't be reached");
    this.socket.send(JSON.stringify(content));
  }

  connect() {
    const address = new URL("talk", location.href);
    address.protocol = location.protocol.replace("http", "ws");
    address.search = address.hash = "";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    let waiting = null;
    this.socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        const content = JSON.parse(data);
        if (content.bytes.length) waiting = content;
        else this.received(content, []);
        return;
      }
      let start = 0;
      const films = waiting.bytes.map((size) => new DataView(data, (start += size) - size, size));
      this.received(waiting, films);
    });
    this.socket.addEventListener("close", () => {
      this.hooks.closed();
      this.tell("comm_live_update");
      setTimeout(() => this.connect(), AGAIN_MILLISECONDS);
    });
  }

  received(content, films) {
    const own = this.hooks[content.kind];
    if (own) own(content);
    else this.tell("msg:custom", content, films);
  }
}

const store = keptBy("sessionStorage");
const ofBrowser = keptBy("localStorage");
const body = document.body;
let reading = null;
setColours(ofBrowser.getItem(KEPT_COLOURS) === "light");

const input = element("input", { id: "cxr-reader", name: "reader", autocomplete: "off", spellcheck: "false", maxlength: 64 });
const message = element("div", { class: "message", role: "status" });
const form = element(
  "form",
  { class: "welcome" },
  element("h1", { text: "Reading of chest films" }),
  element("p", {
    text: "You are about to read chest films, for research only, not for diagnosis. Choose a name: your answers are kept under it. "
      + "Use the same name each time, and the reading goes on where you left it.",
  }),
  element("label", { for: input.id, text: "Your name" }),
  element("div", { class: "line" }, input, element("button", { type: "submit", class: "submit", text: "Begin" })),
  message,
  colours(),
);
const surface = element("main", { class: "cxr-welcome" });
followTheme(surface);

// A reading is dark, as the room should be, whatever the system prefers; who wants it light says so, once per browser.
function setColours(light) {
  body.dataset.jpThemeLight = String(light);
  for (const box of document.querySelectorAll(".colours")) box.setAttribute("aria-pressed", String(light));
}

function colours() {
  const change = () => {
    const light = body.dataset.jpThemeLight !== "true";
    ofBrowser.setItem(KEPT_COLOURS, light ? "light" : "dark");
    setColours(light);
  };
  const light = body.dataset.jpThemeLight === "true";
  return button("Light colours", null, change, { class: "tool colours", "aria-pressed": String(light) });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  message.replaceChildren();
  sendName(input.value.trim(), false);
});

function sendName(name, sure) {
  try {
    socket.send({ kind: "name", name, sure });
  } catch {
    message.replaceChildren(element("p", { text: "The reading's server can't be reached. Try again when it is back." }));
  }
}

const socket = new Socket({
  welcome({ fixed, logout }) {
    Object.assign(socket, { fixed, logout });
    const kept = reading?.name ?? store.getItem(KEPT);
    if (fixed) return;
    if (kept) sendName(kept, true);
    else if (!reading) askName();
  },
  reader({ reader }) {
    if (!socket.fixed) store.setItem(KEPT, reader);
    if (reading?.name === reader) reading.hello();
    else showReading(reader);
  },
  new({ name }) {
    const sure = button(`Begin as ${name}`, null, () => sendName(name, true), { class: "submit" });
    const correct = button("Change the name", null, () => { message.replaceChildren(); input.select(); });
    message.replaceChildren(element("p", { text: `There are no answers under the name ${name} yet.` }), sure, correct);
    sure.focus();
  },
  unwelcome({ text }) {
    store.removeItem(KEPT);
    askName();
    message.replaceChildren(element("p", { text }));
  },
  trouble({ text }) {
    surface.replaceChildren(element("p", { class: "trouble", role: "alert", text }), colours());
    body.replaceChildren(surface);
  },
  closed() {
    if (!reading) message.replaceChildren(element("p", { text: "The reading's server can't be reached. It is tried again." }));
  },
});

function askName() {
  if (surface.contains(form) && surface.isConnected) return;
  message.replaceChildren();
  surface.replaceChildren(form);
  body.replaceChildren(surface);
  input.focus();
}

function showReading(name) {
  const who = element("span", { class: "who" }, element("span", { text: `Reading as ${name}` }), wayOut(), colours());
  body.replaceChildren();
  reading = render({ model: socket, el: body, who, asPage: true });
  reading.name = name;
  reading.root.focus({ preventScroll: true });
}

function wayOut() {
  if (socket.logout) return element("a", { href: socket.logout, text: "Log out" });
  if (socket.fixed) return null;
  return button("Someone else?", null, () => { store.removeItem(KEPT); location.reload(); }, { class: "tool" });
}
