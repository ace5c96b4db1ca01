// The threshold of a camera: moved in the plot or typed, with what it would cost, before it is saved.

import { get, path, post, put } from "./api.js";
import { el, field, fill, say } from "./dom.js";
import { number, rate, span } from "./format.js";
import { Plot } from "./plot.js";
import { Trace, now } from "./trace.js";
import { action, badge, empty, load, sorry, time, toast } from "./ui.js";

const ASK_MS = 150; // a line that is dragged passes a hundred thresholds
const BACK_S = 300;
const LATE_MS = 2500;

export class Threshold {
  constructor(name, camera) {
    this.name = name;
    this.trace = new Trace(BACK_S);
    this.bands = [];
    this.plot = new Plot({
      label: "Score", time: true,
      threshold: { value: camera.threshold, onmove: (v) => this.choose(v) },
    });
    this.input = el("input", { type: "number", step: "any", min: "0", required: true, inputmode: "decimal", oninput: () => this.typed() });
    this.cost = el("p", { class: "cost" });
    this.words = el("p", { class: "fine" });
    this.sure = el("span");
    this.light = el("p", { class: "fine" });
    this.save = action("Save", () => this.put(), { class: "primary" });
    this.leave = el("button", { type: "button", onclick: () => this.reset() }, "Cancel");
    this.back = action("Undo the last change", () => this.undo());
    this.history = el("div");
    const past = el("details", { ontoggle: () => past.open && this.load() }, el("summary", null, "History"), this.history);
    this.panel = el("div", { class: "threshold-panel" },
      this.cost, el("p", null, this.sure), this.words, this.light,
      el("div", { class: "row" }, field("Threshold", this.input), this.save, this.leave, this.back), past);
    this.saved = camera.threshold;
    this.undoable = camera.threshold_undoable;
    this.reset();
    this.spoken = el("p", { class: "unseen", role: "status" });
    this.panel.append(this.spoken);
    this.recent();
  }

  // The minutes before the page was here, or that it was cut off for.
  recent() {
    get(path(["cameras", this.name, "recent"], { seconds: BACK_S })).then((found) => {
      this.trace.fill(found.t_utc, found.raw);
      this.draw();
    }, () => null);
  }

  add(t, score) {
    this.trace.add(t, score);
    this.draw();
  }

  draw() {
    const { points } = this.trace, end = points.at(-1)?.[0] ?? now();
    this.plot.set({ lines: [{ ink: "score", points }], bands: this.bands, x: [end - BACK_S, end], least: this.saved * 1.3 });
  }

  // What the camera says its threshold is: day and night may have their own.
  told(camera) {
    say(this.light, camera.light ? `For ${camera.light === "infrared" ? "infrared" : "colour"} pictures, as they are now: each kind of light has its own.` : "");
    if (Date.now() < (this.sureUntil ?? 0)) return;
    this.undoable = camera.threshold_undoable;
    this.back.hidden = this.changed || !this.undoable;
    if (camera.threshold === this.saved) return;
    const untouched = !this.changed;
    this.saved = camera.threshold;
    if (untouched) this.reset();
  }

  get changed() {
    return Math.abs(this.value - this.saved) > 1e-9;
  }

  reset() {
    this.value = this.saved;
    this.plot.setThreshold(this.saved);
    this.input.value = number(this.saved, 4);
    this.refresh();
  }

  // What was just saved. What the socket tells may have been on its way before.
  settle(value, undoable) {
    this.saved = value;
    this.undoable = undoable;
    this.sureUntil = Date.now() + LATE_MS;
    this.reset();
  }

  typed() {
    const value = Number(this.input.value);
    if (!(value > 0)) return;
    this.value = value;
    this.plot.setThreshold(value);
    this.refresh();
  }

  choose(value) {
    this.value = value;
    this.input.value = String(value);
    this.refresh();
  }

  refresh() {
    this.save.hidden = this.leave.hidden = !this.changed;
    this.back.hidden = this.changed || !this.undoable;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), ASK_MS);
  }

  async ask() {
    this.asking?.abort();
    this.asking = new AbortController();
    const threshold = this.value;
    try {
      const found = await get(path(["cameras", this.name, "rate"], { threshold }), this.asking.signal);
      const words = rate(found);
      say(this.cost, words || "How many alarms a day this makes is not known.");
      say(this.words, found.text ?? "");
      fill(this.sure, found.provisional && badge("provisional", "It rests on less footage than it should."));
      this.plot.handle.setAttribute("aria-valuetext", `${number(threshold, 4)}: ${words}`);
      if (this.changed) say(this.spoken, words);
    } catch (error) {
      if (error.name !== "AbortError") say(this.cost, error.message);
    }
  }

  async put() {
    const before = this.saved, wanted = this.value;
    const said = await put(path(["cameras", this.name, "threshold"]), { threshold: wanted });
    this.settle(said?.threshold ?? wanted, said?.undoable ?? true);
    toast(`The threshold of ${this.name} is ${number(this.saved, 4)}; it was ${number(before, 4)}.`, { label: "Undo", run: () => this.undo().catch(sorry) });
    if (this.history.firstChild) this.load();
  }

  async undo() {
    const said = await post(path(["cameras", this.name, "threshold", "undo"]));
    this.settle(said?.threshold ?? this.saved, said?.undoable ?? false);
    toast(`The threshold of ${this.name} is ${number(this.saved, 4)} again.`);
    if (this.history.firstChild) this.load();
  }

  load() {
    return load(this.history, get(path(["cameras", this.name, "thresholds"])), (rows) => {
      if (!rows.length) return empty("It was never changed.");
      return el("ol", { class: "past" }, rows.map((row) => el("li", null,
        el("b", null, number(row.threshold, 4)), row.light && ` in ${row.light}`, " ", time(row.created), ": ", row.why,
        row.hours > 0 && `, from ${span(row.hours * 3600)} of footage`,
        Number.isFinite(row.high) && `, ${number(row.low, 2)}–${number(row.high, 2)} alarms a day`)));
    });
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.plot.close();
  }
}
