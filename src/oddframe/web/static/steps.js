// Where a camera stands on its way from an address to alarms. All of it is read from the API, so
// that a reload, another browser or a restart of the server change nothing.

export const STEPS = [
  { key: "source", title: "Source", about: "Pictures come." },
  { key: "record", title: "Normal footage", about: "What it looks like when all is well: the more of the day it shows, the better." },
  { key: "fit", title: "Fit", about: "A model learns what is normal here. It takes a while, at low priority." },
  { key: "calibrate", title: "Calibrate", about: "The threshold for as many false alarms a day as you can bear." },
  { key: "arm", title: "Arm", about: "From then on it tells what is not normal." },
];

const LASTS = ["waiting", "running", "paused"];

// [{key, title, about, state: "done" | "now" | "later" | "running" | "failed", ahead, job}], one per
// step; ahead: the job before it is under way, so that its own may be ordered already.
// camera: CameraAnswer; jobs: of this camera, the newest first; recorded: minutes of footage.
export function standing(camera, jobs, recorded = 0) {
  const fitted = camera.stage !== "unfitted";
  const newest = (kind) => jobs.find((j) => j.kind === kind);
  const was = (kind) => jobs.some((j) => j.kind === kind && j.state === "done");
  const done = {
    source: camera.width > 0 || camera.state === "running",
    record: was("record") || recorded >= 1 || was("fit") || fitted,
    fit: was("fit") || fitted,
    calibrate: fitted && (was("calibrate") || !camera.provisional),
    arm: fitted && camera.armed,
  };
  let reached = true; // all before it is done
  let before = null; // state of the step before
  return STEPS.map((step) => {
    const job = newest(step.key);
    let state = done[step.key] ? "done" : reached ? "now" : "later";
    if (job && LASTS.includes(job.state)) state = "running";
    else if (!done[step.key] && job?.state === "failed") state = "failed";
    else if (step.key === "source" && !done.source && camera.state === "down") state = "failed";
    // Alarms on a threshold that is not sure yet are better than none: arming waits for no more.
    if (!done[step.key] && !(step.key === "calibrate" && fitted)) reached = false;
    const ahead = state === "later" && before === "running" && step.key !== "arm";
    before = state;
    return { ...step, state, ahead, job };
  });
}

export const WORDS = { done: "done", now: "now", later: "later", running: "under way", failed: "failed" };

// In a line: "next: Fit" or "Fitting 40 %".
export function next(steps) {
  const at = steps.find((s) => s.state === "running") ?? steps.find((s) => s.state === "failed") ?? steps.find((s) => s.state === "now");
  if (!at) return "watching";
  const part = at.state === "running" && at.job ? ` ${Math.round(100 * at.job.done)} %` : "";
  return at.state === "now" ? `next: ${at.title.toLowerCase()}` : `${at.title.toLowerCase()} ${WORDS[at.state]}${part}`;
}
