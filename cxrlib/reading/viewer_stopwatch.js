// Time for which a film could be seen: not in a pause, not in a hidden tab, not scrolled out of sight. It goes on where a
// reload broke it off, and it ends: nobody looks at one film for longer.

const MOST_SECONDS = 1800;
const KEPT_EVERY_MILLISECONDS = 1000;

export class Stopwatch {
  // `keep(seconds)` every second and when the page goes, so that a reload can go on from there.
  constructor(film, keep) {
    Object.assign(this, { counted: 0, since: null, stopped: true, inSight: true, keep });
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    document.addEventListener("visibilitychange", () => this.update(), { signal });
    window.addEventListener("pagehide", () => this.save(), { signal });
    this.sight = new IntersectionObserver(([entry]) => {
      this.inSight = entry.isIntersecting;
      this.update();
    });
    this.sight.observe(film);
    this.saving = setInterval(() => this.save(), KEPT_EVERY_MILLISECONDS);
  }

  close() {
    this.listeners.abort();
    this.sight.disconnect();
    clearInterval(this.saving);
  }

  begin(seconds) {
    Object.assign(this, { counted: 1000 * seconds, since: null, stopped: false });
    this.update();
  }

  stop(stopped) {
    this.stopped = stopped;
    this.update();
  }

  get seconds() {
    const running = this.since === null ? 0 : performance.now() - this.since;
    return Math.min(MOST_SECONDS, (this.counted + running) / 1000);
  }

  update() {
    const runs = !this.stopped && this.inSight && !document.hidden;
    if (runs === (this.since !== null)) return;
    if (!runs) {
      this.save();
      this.counted = 1000 * this.seconds;
    }
    this.since = runs ? performance.now() : null;
  }

  save() {
    if (this.since !== null) this.keep(this.seconds);
  }
}
