// Messages to and from the kernel, a watch on whether it answers, and unfinished answers kept in this tab.

const REPLY_SECONDS = 6;
const PING_SECONDS = 20;

export class Kernel {
  // `hooks.received(message, buffers)`; `hooks.silent(gone)` when no reply came, `gone` if none can come any more;
  // `hooks.back()` at the first sign of life after that; `hooks.idle()` tells whether now is a time to ask.
  constructor(model, hooks) {
    Object.assign(this, { model, hooks, quiet: false, gone: false });
    this.receive = (message, buffers) => {
      clearTimeout(this.waiting);
      if (this.quiet) hooks.back();
      this.quiet = this.gone = false;
      hooks.received(message, buffers);
    };
    // Told when the kernel goes, and when it comes back; an answer tells which.
    this.liveChanged = () => {
      this.unheard(true);
      this.send({ kind: "ping" });
    };
    model.on("msg:custom", this.receive);
    model.on("comm_live_update", this.liveChanged);
    this.pings = setInterval(() => hooks.idle() && !document.hidden && this.send({ kind: "ping" }), 1000 * PING_SECONDS);
  }

  close() {
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.liveChanged);
    clearInterval(this.pings);
    clearTimeout(this.waiting);
  }

  send(content) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.unheard(false), 1000 * REPLY_SECONDS);
    try {
      this.model.send(content);
    } catch {
      this.unheard(true);
    }
  }

  unheard(gone) {
    clearTimeout(this.waiting);
    this.quiet = true;
    this.gone ||= gone;
    this.hooks.silent(this.gone);
  }
}

// An unfinished answer outlives a reload and a new kernel: it stays in this tab until it is stored. Where a browser
// forbids pages to keep anything, it lasts as long as the page.
export class Drafts {
  constructor(reading) {
    this.prefix = `cxr-reading ${reading} `;
    this.store = keptBy("sessionStorage");
  }

  // `part` is what is kept of a task: its answers, or the seconds that its film was seen.
  keep(taskId, part, value) {
    this.store.setItem(`${this.prefix}${part} ${taskId}`, JSON.stringify(value));
  }

  read(taskId, part) {
    const kept = this.store.getItem(`${this.prefix}${part} ${taskId}`);
    return kept === null ? undefined : JSON.parse(kept);
  }

  forget(taskId) {
    for (const part of ["answers", "seconds"]) this.store.removeItem(`${this.prefix}${part} ${taskId}`);
  }
}

// What this tab keeps (`sessionStorage`), or this browser (`localStorage`).
export function keptBy(name) {
  try {
    return window[name];
  } catch {
    const kept = new Map();
    return {
      setItem: (key, value) => kept.set(key, value),
      getItem: (key) => kept.get(key) ?? null,
      removeItem: (key) => kept.delete(key),
    };
  }
}
