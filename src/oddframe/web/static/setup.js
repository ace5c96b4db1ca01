// Setup: all cameras with where they stand, a new one, and one camera's steps.

import { post } from "./api.js";
import { el, field, icon, refill } from "./dom.js";
import { mood } from "./format.js";
import { Jobs } from "./jobs.js";
import { Stepper } from "./stepper.js";
import { WORDS, next, standing } from "./steps.js";
import { empty, form, head, moodTag, section, sorry } from "./ui.js";

export function open(main, app, name) {
  if (name) {
    const stepper = new Stepper(main, app, name);
    return { title: `Setup of ${name}`, close: () => stepper.close() };
  }
  const list = el("div");
  const jobs = new Jobs(app, () => show());
  main.append(head("Setup"), section("Cameras", null, list), section("A new camera", null, adding(app)));
  const show = () => {
    const rows = [...app.cameras.values()].map((c) => [c, standing(c, jobs.of(c.camera))]);
    const key = JSON.stringify(rows.map(([c, steps]) => [c.camera, c.source, mood(c).key, steps.map((s) => s.state), next(steps)]));
    if (key !== list.dataset.key) refill(list, overview(rows)); // made anew only where something changed
    list.dataset.key = key;
  };
  jobs.load().catch(sorry).then(show);
  show();
  const stop = app.live.on("cameras", show);
  return { title: "Setup", close: () => { stop(); jobs.stop(); } };
}

function overview(rows) {
  if (!rows.length) return empty("None yet: give the address of one below.");
  return el("ul", { class: "stands" }, rows.map(([c, steps]) => el("li", null,
    el("a", { href: `#/setup/${encodeURIComponent(c.camera)}` }, c.camera), el("code", null, c.source),
    el("span", { class: "dots", role: "img", "aria-label": steps.map((s) => `${s.title}: ${WORDS[s.state]}`).join(", ") },
      steps.map((s) => el("i", { class: s.state, title: `${s.title}: ${WORDS[s.state]}` }, s.state === "done" && icon("done"), s.state === "failed" && icon("down")))),
    el("span", { class: "next" }, next(steps) === "watching" ? moodTag(c) : next(steps)))));
}

function adding(app) {
  const name = el("input", { type: "text", required: true, maxlength: "64", pattern: "[A-Za-z0-9_\\-]+", autocomplete: "off", spellcheck: "false" });
  const source = el("input", { type: "text", required: true, maxlength: "2000", autocomplete: "off", spellcheck: "false", placeholder: "rtsp://camera.local/stream" });
  const realtime = el("input", { type: "checkbox", id: "realtime", checked: true });
  const anyway = el("input", { type: "checkbox", id: "anyway" });
  const later = el("p", { class: "check", hidden: true }, anyway, el("label", { for: "anyway" }, "Add it though it cannot be opened now"));
  return form({ class: "adding" }, [
    field("Name", name, "Letters, digits, _ and -."),
    field("Source", source, "An address (rtsp, http), the number of a webcam, or a video file on the server. A password in it is never shown again."),
    el("p", { class: "check" }, realtime, el("label", { for: "realtime" }, "Play a file at its own speed, as a camera would")),
    later,
  ], "Add the camera", async () => {
    const text = source.value.trim();
    try {
      await post("/api/cameras", { name: name.value, source: /^\d+$/.test(text) ? Number(text) : text, realtime: realtime.checked, ...(anyway.checked && { anyway: true }) });
    } catch (error) {
      // It could not be opened: that may be known.
      later.hidden = error.status !== 422;
      throw error;
    }
    app.go(`#/setup/${encodeURIComponent(name.value)}`);
  });
}
