// An event in the list: its picture, what it was in few words; its clip while it is pointed at.

import { own } from "./api.js";
import { el } from "./dom.js";
import { number, seconds, span } from "./format.js";
import { severityTag, time, verdictTag } from "./ui.js";

const REST_MS = 250; // a pointer that only passes starts no clip
const still = matchMedia("(prefers-reduced-motion: reduce)");

// The address of an event's picture; another one once it is of a higher peak.
export function shotOf(event) {
  const address = own(event.snapshot);
  return address && `${address}?peak=${encodeURIComponent(event.peak)}`;
}

export class Card {
  constructor(event, choose) {
    this.event = event;
    const picture = shotOf(event);
    this.frame = el("div", { class: "thumb" }, picture
      ? el("img", { src: picture, alt: "", loading: "lazy", width: "160", height: "90", onerror: (e) => e.target.remove() })
      : el("span", null, "no picture"));
    this.button = el("button", { type: "button", class: "card", onclick: choose },
      this.frame,
      el("span", { class: "text" },
        el("span", { class: "row" }, el("b", null, event.camera), time(event.start), el("span", { class: "soft" }, event.end === null ? "open" : span(seconds(event.end) - seconds(event.start)))),
        el("span", { class: "why" }, event.reasons[0] ?? "not normal", event.zones.length ? ` · ${event.zones.join(", ")}` : ""),
        el("span", { class: "row" }, severityTag(event), el("span", { class: "level", title: "highest level: score / threshold" }, event.peak_level > 0 ? `${number(event.peak_level, 2)} ×` : "no picture"), verdictTag(event))));
    this.node = el("li", null, this.button);
    for (const kind of ["pointerenter", "focus"]) this.button.addEventListener(kind, () => this.soon());
    for (const kind of ["pointerleave", "blur"]) this.button.addEventListener(kind, () => this.stop());
  }

  choose(yes) {
    if (yes) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  soon() {
    const clip = own(this.event.clip);
    if (!clip || still.matches || this.video) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.video = el("video", { src: clip, loop: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
      this.video.muted = true; // only then may it start by itself
      this.frame.append(this.video);
      this.video.play().catch(() => null);
    }, REST_MS);
  }

  stop() {
    clearTimeout(this.timer);
    if (!this.video) return;
    this.video.removeAttribute("src"); // ends the download too
    this.video.load();
    this.video.remove();
    this.video = null;
  }
}
