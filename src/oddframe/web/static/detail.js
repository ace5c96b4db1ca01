// One event in full: what was seen, why it was told, what normal looks like there, and the verdict.

import { get, own, path } from "./api.js";
import { shotOf } from "./card.js";
import { el, fill, meter, say } from "./dom.js";
import { ENDED, number, seconds, span, when } from "./format.js";
import { Plot } from "./plot.js";
import { action, empty, severityTag, time, verdictTag } from "./ui.js";

export class Detail {
  // judge(verdict, note): "real", "false_alarm" or null.
  constructor(judge) {
    this.judge = judge;
    this.node = el("section", { class: "panel detail", "aria-label": "The chosen event" });
    this.clear();
  }

  clear() {
    this.close();
    this.event = null;
    fill(this.node, empty("Choose an event on the list, or press J."));
  }

  close() {
    this.asking?.abort();
    this.plot?.close();
    this.plot = null;
  }

  show(event) {
    if (this.event?.id === event.id) return this.update(event);
    this.close();
    this.event = event;
    this.state = el("p", { class: "row" });
    this.buttons = el("div", { class: "row verdicts" });
    this.note = el("input", { type: "text", maxlength: "2000", id: "note", value: event.note });
    this.shot = el("div");
    this.reasons = el("p", { class: "reasons" });
    this.drawn = this.explained = "";
    this.why = el("div", { class: "why-panel" }, empty("Looking why …"));
    fill(this.node,
      el("h2", null, event.camera, " ", time(event.start)), this.state,
      this.reasons, this.buttons, this.shot,
      el("div", { class: "field" }, el("label", { for: "note" }, "Note"), this.note, el("small", null, "Kept with the verdict.")),
      this.why);
    this.update(event);
  }

  update(event) {
    this.event = event;
    const long = event.end === null ? "open" : `for ${span(seconds(event.end) - seconds(event.start))}`;
    fill(this.state, severityTag(event), el("span", null, long),
      event.peak_level > 0 && el("span", null, `highest level ${number(event.peak_level, 3)} at ${when(event.peak)}`),
      event.zones.length > 0 && el("span", null, `in ${event.zones.join(", ")}`),
      event.ended && event.ended !== "calm" && el("span", null, `ended: ${ENDED[event.ended] ?? event.ended}`), verdictTag(event));
    // The picture is of the peak so far, and the clip comes when all is over.
    const drawn = JSON.stringify([event.snapshot, event.clip, event.peak]);
    if (drawn !== this.drawn && !this.shot.querySelector("video")) fill(this.shot, this.picture(event));
    this.drawn = drawn;
    say(this.reasons, event.reasons.length ? event.reasons.join("; ") : "What was unusual is not known.");
    // Why it rang is of the peak so far too.
    const explained = JSON.stringify([event.peak, event.end]);
    if (explained !== this.explained) this.load(event);
    this.explained = explained;
    const made = event.verdict;
    fill(this.buttons,
      action([el("kbd", { "aria-hidden": "true" }, "R"), "Real"], () => this.judge("real", this.note.value), { class: made === "real" ? "chosen" : "", "aria-pressed": String(made === "real"), "aria-keyshortcuts": "R" }),
      action([el("kbd", { "aria-hidden": "true" }, "F"), "False alarm: normal here"], () => this.judge("false_alarm", this.note.value), { class: made === "false_alarm" ? "chosen" : "", "aria-pressed": String(made === "false_alarm"), "aria-keyshortcuts": "F" }),
      made && action([el("kbd", { "aria-hidden": "true" }, "U"), "Take it back"], () => this.judge(null, this.note.value), { "aria-keyshortcuts": "U" }));
  }

  picture(event) {
    const clip = own(event.clip), address = shotOf(event);
    if (!address) return empty("There is no picture: it is not written yet, or was deleted by its age.");
    const image = el("img", { src: address, alt: `${event.camera} at ${when(event.peak)}, with boxes around what was not normal`, width: event.width || null, height: event.height || null });
    const boxes = el("input", { type: "checkbox", id: "boxes", checked: true, onchange: () => {
      image.src = boxes.checked ? address : `${address}&plain=1`;
    } });
    const place = el("div", { class: "shot" }, image);
    this.play = () => {
      const video = el("video", { src: clip, controls: true, loop: true, playsinline: true, "aria-label": `Clip of the event of ${event.camera}` });
      video.muted = true;
      fill(place, video);
      video.play().catch(() => null);
      video.focus();
    };
    return el("div", null, place, el("div", { class: "row" },
      el("span", { class: "check" }, boxes, el("label", { for: "boxes" }, "Boxes")),
      clip ? el("button", { type: "button", onclick: () => this.play(), "aria-keyshortcuts": "P" }, "Play the clip")
        : el("span", { class: "soft" }, event.end === null ? "Its clip is written once it is over." : "No clip."),
      clip && el("a", { href: clip, download: `${event.camera}-${event.id}` }, "Save the clip")));
  }

  async load(event) {
    this.close();
    const signal = (this.asking = new AbortController()).signal;
    try {
      const found = await get(path(["events", event.id, "why"]), signal);
      fill(this.why, this.streams(found.streams ?? []), this.level(event, found.level ?? []), this.nearest(found.nearest));
    } catch (error) {
      if (error.name !== "AbortError") fill(this.why, empty(error.message));
    }
  }

  // What each stream said, the loudest first, in deviations of normal footage.
  streams(all) {
    if (!all.length) return null;
    const sorted = [...all].sort((a, b) => b.z - a.z);
    const most = Math.max(...sorted.map((s) => s.z), 1);
    return el("div", null, el("h3", null, "What spoke"),
      el("ul", { class: "streams" }, sorted.map((s) => {
        return el("li", null, el("span", { class: "name" }, s.name), meter(s.z, most, s.name),
          el("span", { class: "z", title: "deviations of normal footage" }, number(s.z, 2)), el("span", { class: "words" }, s.words));
      })));
  }

  level(event, points) {
    if (points.length < 2) return null;
    this.plot = new Plot({ label: "Level around the event", time: true, small: true });
    const times = points.map(([t, y]) => [seconds(t), y]);
    this.plot.set({
      lines: [{ ink: "score", points: times }, { ink: "alarm", thick: 1, points: [[times[0][0], 1], [times.at(-1)[0], 1]], name: "threshold" }],
      bands: [{ kind: "event", from: seconds(event.start), to: event.end === null ? times.at(-1)[0] : seconds(event.end) }], least: 1.2,
    });
    return el("div", null, el("h3", null, "Level around it"), this.plot.node);
  }

  nearest(found) {
    if (!found) return null;
    const address = own(found.snapshot);
    return el("div", null, el("h3", null, "The most alike that was normal"),
      el("figure", null, address && el("img", { src: address, alt: "The same place when it was normal", loading: "lazy" }),
        el("figcaption", null, found.words, found.kind === "false_alarm" ? " · it was said to be normal" : " · it raised no alarm", found.t && [" · ", time(found.t)], Number.isFinite(found.level) && ` · level ${number(found.level, 2)}`)));
  }
}
