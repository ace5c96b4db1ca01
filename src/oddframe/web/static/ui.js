// Pieces that several screens are made of: actions, toasts, times, moods.

import { el, fill, icon, refill } from "./dom.js";
import * as format from "./format.js";

const SHOWN_MS = 8000;
let changes = true;

// Whether the viewer may change something; a server that is asked anyway says no by itself.
export function allowChanges(yes) {
  changes = yes;
}
export const mayChange = () => changes;

// Say something for some seconds, with one thing to do about it: {label, run}.
export function toast(text, offer, kind = "") {
  const box = document.getElementById("toasts");
  const node = el("div", { class: `toast ${kind}` }, el("span", null, text));
  let timer;
  const stay = () => clearTimeout(timer);
  const go = () => { stay(); timer = setTimeout(() => node.remove(), SHOWN_MS); };
  if (offer) node.append(el("button", { type: "button", onclick: () => { node.remove(); offer.run(); } }, offer.label));
  node.append(el("button", { type: "button", class: "quiet", "aria-label": "Close this message", onclick: () => node.remove() }, "×"));
  // Nobody is hurried: it stays while it is pointed at or has the focus.
  for (const [kind, then] of [["pointerenter", stay], ["focusin", stay], ["pointerleave", go], ["focusout", go]]) node.addEventListener(kind, then);
  for (const old of [...box.children]) if (old.firstChild.textContent === text) old.remove();
  while (box.children.length > 2) box.firstChild.remove();
  box.append(node);
  go();
  return node;
}

export const sorry = (error) => error.name !== "AbortError" && toast(error.message, null, "bad");

// A button that does something that takes a while or may fail. It can't be pressed twice, and says
// why it can't be pressed at all by who may only look.
export function action(label, run, props = {}) {
  const { reads, ...more } = props;
  const button = el("button", { type: "button", ...more }, label);
  if (!changes && !reads) {
    button.setAttribute("aria-disabled", "true");
    button.title = "You may look, but not change anything: this needs the admin's token.";
  }
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true" || button.hasAttribute("aria-busy")) {
      if (button.title) toast(button.title);
      return;
    }
    button.setAttribute("aria-busy", "true");
    try {
      await run(button);
    } catch (error) {
      sorry(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

// A form whose submit may fail: the words then stand in it, and are read out.
export function form(props, children, submit, run, ...beside) {
  const said = el("p", { class: "problem", role: "alert" });
  const button = el("button", { type: "submit", class: "primary" }, submit);
  const node = el("form", props, children, said, el("div", { class: "row" }, button, beside));
  if (!changes && !props?.reads) {
    button.setAttribute("aria-disabled", "true");
    said.textContent = "You may look, but not change anything: this needs the admin's token.";
  }
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.hasAttribute("aria-busy") || button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-busy", "true");
    said.textContent = "";
    try {
      await run();
    } catch (error) {
      said.textContent = error.message;
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return node;
}

// A moment in the viewer's time, UTC when pointed at.
export function time(t, text) {
  if (t === null || t === undefined) return "–";
  return el("time", { datetime: format.iso(format.seconds(t)), title: format.utc(t) }, text ?? format.when(t));
}

// What a camera does: drawing, word, number.
export function moodTag(camera) {
  const { key, word, icon: shape } = format.mood(camera);
  const level = ["alarm", "rising", "normal"].includes(key) && camera.level !== null;
  return el("span", { class: `mood ${key}` }, icon(shape), word,
    level && el("span", { class: "level", title: "level: score / threshold" }, format.number(camera.level, 2)));
}

export const badge = (text, title, kind = "") => el("span", { class: `badge ${kind}`, title }, text);

export const badges = (camera) => format.badges(camera).map(([text, title]) =>
  el("span", { class: "badge", title }, text, el("span", { class: "unseen" }, ` (${title})`)));

export const empty = (...what) => el("p", { class: "empty" }, what);

// The head of a screen; the router gives it the focus.
export function head(text, ...more) {
  return el("div", { class: "head" }, el("h1", { tabindex: "-1" }, text), more);
}

export function section(title, props, ...children) {
  const id = `part-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el("section", { class: "panel", "aria-labelledby": id, ...props }, el("h2", { id }, title), children);
}

export function severityTag(event) {
  const alert = event.severity === "alert";
  return el("span", { class: `severity ${event.severity}` }, alert && icon("alarm"), alert ? "Alert" : "Detection");
}

export const VERDICTS = { real: "Real", false_alarm: "False alarm" };

export function verdictTag(event) {
  return event.verdict
    ? el("span", { class: `verdict ${event.verdict}` }, icon(event.verdict === "real" ? "done" : "off"), VERDICTS[event.verdict])
    : el("span", { class: "verdict" }, "Not judged");
}

// Progress of a job, with words.
export function progress(job) {
  const done = Math.min(1, Math.max(0, Number(job.done) || 0));
  const bar = el("progress", { max: 1, "aria-label": `${job.kind} of ${job.camera}` });
  bar.value = done;
  const left = Number.isFinite(job.left_s) && job.state === "running" ? `, about ${format.span(job.left_s)} left` : "";
  return el("div", { class: "progress" }, bar, el("span", null, `${format.percent(done)}${left}`));
}

// Put the answer of a question into a place, or why there is none.
export async function load(place, question, show) {
  try {
    const answer = await question;
    refill(place, show(answer));
    return answer;
  } catch (error) {
    if (error.name !== "AbortError") fill(place, el("p", { class: "problem" }, error.message));
    return null;
  }
}
