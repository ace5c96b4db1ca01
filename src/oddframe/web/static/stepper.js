// The steps of one camera: what is done, what runs, what comes next and its form.

import { drop, get, path, post, put } from "./api.js";
import { el, field, fill, icon, say, select } from "./dom.js";
import { bytes, plural, span } from "./format.js";
import { JobView, Jobs, ended, lasts } from "./jobs.js";
import { draw } from "./live.js";
import { WORDS, standing } from "./steps.js";
import { action, badges, empty, form, head, moodTag, sorry, toast } from "./ui.js";

const MODELS = [["m2s2l-edge", "m2s2l-edge: for a CPU (the usual one)"], ["m2s2l-small", "m2s2l-small: slower, sees more"], ["m2s2l", "m2s2l: of the paper, for a GPU"]];

export class Stepper {
  constructor(main, app, name) {
    Object.assign(this, { app, name, stops: [], views: new Map(), forms: new Map() });
    this.jobs = new Jobs(app, (job) => job.camera === name && this.moved(job));
    this.moods = el("div", { class: "moods" });
    this.list = el("ol", { class: "steps" });
    this.canvas = el("canvas", { class: "picture", role: "img", "aria-label": `Test picture of ${name}` });
    this.end = el("p", { class: "row" });
    this.problem = el("p", { class: "problem", role: "status" });
    main.append(
      head(`Setup of ${name}`, this.moods, el("a", { href: `#/camera/${encodeURIComponent(name)}` }, "Its picture and score")),
      this.list,
      this.end);
    this.stops = [
      this.jobs.stop,
      app.live.on("cameras", () => this.show()),
      app.live.on("picture", (at, bitmap) => at.camera === name && this.picture(bitmap)),
    ];
    app.live.watch({ cameras: [name], width: 640, fps: 2, heat: false });
    this.start();
  }

  close() {
    this.stops.forEach((stop) => stop());
  }

  async start() {
    // Just added, or come by its address: the socket tells of it within a second.
    if (!this.app.cameras.has(this.name)) {
      const camera = await get(path(["cameras", this.name])).catch(() => null);
      if (camera) this.app.cameras.set(this.name, camera);
    }
    await Promise.all([this.jobs.load().catch(sorry), this.footage()]);
    this.show();
  }

  // What is recorded of it; asked again when a recording is over.
  async footage() {
    this.kept = await get(path(["cameras", this.name, "footage"])).catch(() => null);
  }

  picture(bitmap) {
    draw(this.canvas, bitmap);
    this.canvas.classList.add("pictured");
  }

  async moved(job) {
    if (job.kind === "record" && !lasts(job)) await this.footage();
    this.show();
  }

  show() {
    const camera = this.app.cameras.get(this.name);
    if (!camera) return void fill(this.list, el("li", null, empty("There is no camera of this name. ", el("a", { href: "#/setup" }, "To all cameras"), ".")));
    const steps = standing(camera, this.jobs.of(this.name), this.kept?.minutes);
    say(this.problem, camera.words);
    // Forms and focus stay where they are while nothing but numbers changes.
    const key = JSON.stringify([camera.armed, camera.provisional, camera.stage, camera.run, camera.width, this.kept?.files, steps.map((s) => [s.state, s.ahead, s.job?.id, s.job?.state])]);
    if (key !== this.key) {
      this.key = key;
      const focused = document.activeElement;
      this.views.clear();
      fill(this.moods, moodTag(camera), badges(camera));
      fill(this.end, camera.added === false ? el("span", { class: "soft" }, "It stands in the site's YAML, and is taken out there.")
        : action("Remove this camera", () => this.remove(), { class: "danger" }));
      fill(this.list, steps.map((step) => this.step(step, camera)));
      if (this.list.contains(focused)) focused.focus({ preventScroll: true }); // into a form that stays
    }
    for (const { job } of steps) if (job) this.views.get(job.id)?.update(job);
  }

  step(step, camera) {
    const { key, title, state, job } = step;
    const mark = { done: "done", failed: "down", running: "wait" }[state];
    return el("li", { class: `step ${state}`, "aria-current": state === "now" || state === "running" ? "step" : null },
      el("div", { class: "mark", "aria-hidden": "true" }, mark && icon(mark)),
      el("div", { class: "body" },
        el("h2", null, title, el("span", { class: "state" }, { waiting: "waits", paused: "paused" }[job?.state] ?? WORDS[state])),
        el("p", { class: "soft" }, step.about),
        job && lasts(job) ? this.running(job) : job && ended(this.jobs, job),
        this[key](step, camera)));
  }

  running(job) {
    const view = new JobView(this.jobs, job);
    this.views.set(job.id, view);
    return view.node;
  }

  // A form that starts a job, open where it is its turn, or the job before it is under way. It is
  // made once: what somebody typed stays while jobs come and go.
  starts(step, what, again, make) {
    if (step.job && lasts(step.job)) return null;
    if (step.state === "later" && !step.ahead) return null;
    if (!this.forms.has(step.key)) {
      const { inputs, values } = make();
      this.forms.set(step.key, form({ class: "start" }, inputs, what, async () => {
        this.jobs.take(await post(path(["cameras", this.name, step.key]), values()));
      }));
    }
    const made = this.forms.get(step.key);
    if (step.ahead) return [el("p", { class: "soft" }, "Order it now, and it begins when the step before is done."), made];
    return step.state === "done" ? el("details", null, el("summary", null, again), made) : made;
  }

  source(step, camera) {
    return el("div", { class: "source" }, this.canvas,
      el("div", null, el("p", null, el("code", null, camera.source)),
        camera.width ? el("p", null, `${camera.width} × ${camera.height} pixels`) : el("p", { class: "soft" }, "No picture yet."), this.problem));
  }

  record(step) {
    const kept = this.kept?.files > 0 && el("p", null, `${span(60 * this.kept.minutes)} are recorded: ${plural(this.kept.files, "file")}, ${bytes(this.kept.bytes)}.`);
    return [kept, this.starts(step, "Record", "Record more", () => {
      const minutes = el("input", { type: "number", min: "0.1", max: "10080", step: "any", value: "60", required: true });
      return {
        inputs: field("Minutes", minutes, "An hour is a start; 24 hours show a whole day. Only what is normal should happen meanwhile."),
        values: () => ({ minutes: Number(minutes.value) }),
      };
    })];
  }

  fit(step) {
    return this.starts(step, "Fit", "Fit anew", () => {
      const minutes = el("input", { type: "number", min: "0.1", max: "2880", step: "any", value: "20", required: true });
      const model = select(MODELS, MODELS[0][0]);
      return {
        inputs: [field("Minutes of training", minutes), field("Model", model)],
        values: () => ({ minutes: Number(minutes.value), model: model.value }),
      };
    });
  }

  calibrate(step, camera) {
    return [
      step.state !== "later" && camera.stage !== "unfitted" && camera.threshold_text && el("p", null, camera.threshold_text),
      camera.stage !== "unfitted" && camera.provisional && el("p", { class: "soft" }, "Provisional: it rests on little footage, and goes on by itself."),
      this.starts(step, "Calibrate", "Calibrate anew", () => {
        const perDay = el("input", { type: "number", min: "0.01", max: "1000", step: "any", value: "2", required: true });
        return { inputs: field("False alarms a day", perDay), values: () => ({ alarms_per_day: Number(perDay.value) }) };
      }),
    ];
  }

  arm(step, camera) {
    if (step.state === "later") return null;
    const button = action(camera.armed ? "Switch alarms off" : "Switch alarms on", async () => {
      const said = await put(path(["cameras", this.name, "armed"]), { armed: !camera.armed });
      this.app.cameras.set(this.name, { ...this.app.cameras.get(this.name), armed: said.armed });
      this.show();
    }, { class: camera.armed ? "" : "primary" });
    return [el("p", null, camera.armed ? "Alarms are on." : "Alarms are off."), el("div", { class: "row" }, button)];
  }

  async remove() {
    const running = this.jobs.of(this.name).filter(lasts).length;
    const more = running ? ` ${plural(running, "job")} of it will be cancelled.` : "";
    if (!confirm(`Remove ${this.name} from this site? Its events stay.${more}`)) return;
    await drop(path(["cameras", this.name]));
    this.app.cameras.delete(this.name);
    toast(`${this.name} is removed.`);
    this.app.go("#/setup");
  }
}
