// Open alarms above every screen: which camera, since when, why. Each is said once.

import { events } from "./api.js";
import { el, fill, icon } from "./dom.js";
import { clock, iso, seconds, span } from "./format.js";
import { now } from "./trace.js";
import { time } from "./ui.js";

const FRESH_S = 600; // an alarm of a moment ago is still worth a look though it is over
const SHOWN = 3;
const AGAIN_MS = 5000; // what is open could not be asked

const look = (event) => `#/review?event=${encodeURIComponent(event.id)}`;

export class Alarms {
  constructor(app, changed) {
    Object.assign(this, { app, changed });
    this.place = document.getElementById("alarms");
    this.events = new Map(); // that are shown
    this.opened = new Map(); // all that are open, quiet ones too
    this.seen = new Set(); // hidden by somebody: not shown again, whatever becomes of them
    this.said = new Set();
    this.told = new Set(); // what came of itself, since `load` asked last
    app.live.on("event", ({ event }) => this.take(event, true));
    setInterval(() => this.show(), 5000);
    // What sticks to the top of a screen sticks below them.
    new ResizeObserver(() => document.documentElement.style.setProperty("--alarms", `${this.place.offsetHeight}px`)).observe(this.place);
  }

  get open() {
    return [...this.events.values()].filter((e) => e.end === null).length;
  }

  // The open alarm of a camera, if it has one.
  of(camera) {
    return [...this.events.values()].find((e) => e.camera === camera && e.end === null);
  }

  // What is open, at the start and after the connection was lost: what is not any more is gone.
  async load() {
    clearTimeout(this.again);
    const told = (this.told = new Set()); // newer than the answer
    const found = await events({ since: iso(now() - FRESH_S) }).catch(() => null);
    if (!found) {
      this.again = setTimeout(() => this.app.live.open && this.load(), AGAIN_MS);
      return;
    }
    const there = new Set([...found.map((e) => e.id), ...told]);
    for (const kept of [this.events, this.opened]) {
      for (const [id, e] of kept) if (e.end === null && !there.has(id)) kept.delete(id);
    }
    for (const event of found) if (!told.has(event.id)) this.take(event, false);
    this.show();
  }

  // Whether what a camera has open is to be looked at later: only detections.
  quiet(camera) {
    const own = [...this.opened.values()].filter((e) => e.camera === camera);
    return own.length > 0 && own.every((e) => e.severity === "detection");
  }

  take(event, fresh) {
    this.told.add(event.id);
    if (event.end === null) this.opened.set(event.id, event);
    else this.opened.delete(event.id);
    const over = event.end !== null && now() - seconds(event.end) > FRESH_S;
    if (event.severity !== "alert" || event.verdict || over || this.seen.has(event.id)) this.events.delete(event.id);
    else this.events.set(event.id, event);
    if (fresh && event.severity === "alert" && event.state !== "end" && !this.said.has(event.id)) {
      this.said.add(event.id);
      document.getElementById("spoken").textContent =
        `Alarm, camera ${event.camera}, ${clock(event.start)}: ${event.reasons[0] ?? "something is not normal"}.`;
    }
    this.show();
  }

  hide(ids) {
    for (const id of ids) {
      this.seen.add(id);
      this.events.delete(id);
    }
    this.show();
  }

  show() {
    for (const [id, e] of this.events) if (e.end !== null && now() - seconds(e.end) > FRESH_S) this.events.delete(id);
    const all = [...this.events.values()].sort((a, b) => (a.end === null ? 0 : 1) - (b.end === null ? 0 : 1) || seconds(b.start) - seconds(a.start));
    // Made anew only where something changed: who tabs through it must not lose the place.
    const made = JSON.stringify(all.map((e) => [e.id, e.state, e.reasons, e.zones]));
    if (made !== this.made) {
      const focused = this.place.contains(document.activeElement);
      const open = all.filter((e) => e.end === null), over = all.filter((e) => e.end !== null);
      fill(this.place, open.slice(0, SHOWN).map((e) => this.row(e)),
        open.length > SHOWN && el("p", { class: "more" }, el("a", { href: "#/review" }, `and ${open.length - SHOWN} more`)),
        over.length === 1 ? this.row(over[0]) : over.length > 1 && this.rows(over));
      this.place.hidden = !all.length;
      if (focused) (this.place.querySelector("a") ?? document.getElementById("main")).focus();
      this.made = made;
    }
    this.changed();
  }

  // Several that are over, in one line.
  rows(all) {
    const own = (name) => all.filter((e) => e.camera === name).map((e) => clock(e.start)).join(", ");
    return el("div", { class: "call over" }, el("strong", null, icon("alarm"), `${all.length} alerts`),
      el("span", { class: "why" }, "are over and not judged: ", [...new Set(all.map((e) => e.camera))].map((name) => `${name} ${own(name)}`).join("; ")),
      el("a", { class: "button", href: look(all[0]), "aria-label": "Look at the newest of them" }, "Look"),
      el("button", { type: "button", class: "quiet", "aria-label": "Hide them", onclick: () => this.hide(all.map((e) => e.id)) }, "Hide"));
  }

  row(e) {
    const over = e.end !== null;
    return el("div", { class: over ? "call over" : "call" },
      el("strong", null, icon("alarm"), over ? "Alert" : "ALARM"),
      el("b", null, e.camera),
      el("span", { class: "why" }, e.reasons[0] ?? "something is not normal", e.zones.length ? ` · ${e.zones.join(", ")}` : ""),
      el("span", { class: "at" }, el("span", null, over ? `for ${span(seconds(e.end) - seconds(e.start))}, ` : "since "), time(e.start)),
      el("a", { class: "button", href: look(e), "aria-label": `Look at the alarm of ${e.camera}` }, "Look"),
      el("button", { type: "button", class: "quiet", "aria-label": `Hide the alarm of ${e.camera}`, onclick: () => this.hide([e.id]) }, "Hide"));
  }
}
