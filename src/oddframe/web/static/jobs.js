// Jobs that run on the server: what they do now, and the buttons to hold or end them.

import { get, path, post } from "./api.js";
import { el, fill, icon, say } from "./dom.js";
import { action, progress, time } from "./ui.js";

export const KINDS = { record: "Recording", fit: "Fitting", calibrate: "Calibrating" };
export const NOUNS = { record: "recording", fit: "fit", calibrate: "calibration" };
const STATES = { waiting: "waiting for its turn", running: "running", paused: "paused", done: "done", failed: "failed", cancelled: "cancelled" };
export const lasts = (job) => ["waiting", "running", "paused"].includes(job.state);

// All jobs, by id, as they are now; `changed(job)` is called for each that moves.
export class Jobs {
  constructor(app, changed) {
    this.all = new Map();
    this.changed = changed;
    this.stop = app.live.on("job", ({ job }) => this.take(job));
  }

  async load() {
    for (const job of await get(path(["jobs"]))) this.all.set(job.id, job);
  }

  take(job) {
    this.all.set(job.id, job);
    this.changed(job);
  }

  // Those of a camera and kind, the newest first.
  of(camera, kind) {
    return [...this.all.values()].filter((j) => j.camera === camera && (!kind || j.kind === kind))
      .sort((a, b) => (a.created < b.created ? 1 : -1));
  }

  async ask(job, verb) {
    this.take(await post(path(["jobs", job.id, verb])));
  }
}

// A job with its progress; `update` puts newer values into it.
export class JobView {
  constructor(jobs, job) {
    this.jobs = jobs;
    this.text = el("p", { role: "status" });
    this.bar = el("div");
    this.odd = el("p", { class: "problem" });
    this.more = el("div", { class: "row" });
    this.node = el("div", { class: "job" }, this.text, this.bar, this.odd, this.more);
    this.update(job);
  }

  update(job) {
    say(this.text, `${KINDS[job.kind] ?? job.kind}: ${job.text || STATES[job.state] || job.state}`);
    fill(this.bar, lasts(job) && progress(job));
    say(this.odd, job.problem ?? "");
    if (job.state === this.state) return;
    this.state = job.state;
    const verb = (name, label, kind) => action(label, () => this.jobs.ask(job, name), { class: kind });
    fill(this.more,
      job.state === "running" && verb("pause", "Pause"),
      job.state === "paused" && verb("resume", "Go on", "primary"),
      lasts(job) && verb("cancel", "Cancel", "danger"),
      job.state === "paused" && el("span", { class: "soft" }, "It keeps what it has, also when the server is started anew."));
  }
}

// One line about a job that is over.
export function ended(jobs, job) {
  if (job.state === "failed") {
    return el("div", { class: "row" }, el("p", { class: "problem" }, icon("down"), ` ${KINDS[job.kind]} failed: ${job.problem ?? "no reason was given"}`),
      action("Go on from there", () => jobs.ask(job, "resume")));
  }
  const run = job.run && [" → ", el("a", { href: `#/runs/${encodeURIComponent(job.run)}` }, job.run)];
  return el("p", { class: "soft" }, `${KINDS[job.kind]} ${STATES[job.state] ?? job.state}: ${job.text} · `, time(job.ended ?? job.created), run, job.problem && ` · ${job.problem}`);
}
