// What the verdicts taught: what is taken for normal now, and how good the alarms are.

import { drop, get, own, path } from "./api.js";
import { el, select, table } from "./dom.js";
import { percent, plural } from "./format.js";
import { action, empty, load, time, toast } from "./ui.js";

// changed(): a verdict was taken back here.
export function learned(app, changed) {
  const names = [...app.cameras.keys()];
  const judged = el("div"), exemplars = el("div");
  const show = () => {
    load(judged, get(path(["judged"], { camera: choice.value })), quality);
    load(exemplars, get(path(["cameras", choice.value, "exemplars"])), (all) => list(all, async (one) => {
      await drop(path(["exemplars", String(one.id)]));
      toast("It counts as unusual again.");
      show();
      changed();
    }));
  };
  const choice = select(names.map((n) => [n, n]), names[0], show);
  choice.setAttribute("aria-label", "Camera");
  const more = el("details", { ontoggle: () => more.open && show() },
    el("summary", null, el("h2", null, "What the verdicts taught")),
    names.length ? [el("p", { class: "row" }, "Camera ", choice), judged, el("h3", null, "Said to be normal"), exemplars] : empty("No camera yet."));
  return el("section", { class: "panel", "aria-label": "What the verdicts taught" }, more);
}

function quality(found) {
  const all = found.real + found.false_alarm;
  if (!all) return empty("Nothing was judged yet.");
  return [
    el("p", null, `Of ${plural(all, "judged alarm")} ${found.real} were real: precision ${percent(found.real / all)}. ${plural(found.open, "is", "are")} not judged.`),
    found.recall?.text && el("p", null, found.recall.text),
    found.by_week?.length > 1 && table("Verdicts by week", ["Week", "#Real", "#False alarms", "#Precision"],
      found.by_week.map((w) => [w.week, String(w.real), String(w.false_alarm), percent(w.precision)])),
  ];
}

function list(all, forget) {
  if (!all.length) return empty("Nothing: every false alarm that you mark will be listed here, and can be taken back.");
  return el("ul", { class: "exemplars" }, all.map((one) => el("li", null,
    own(one.snapshot) && el("img", { src: own(one.snapshot), alt: "", loading: "lazy" }),
    el("div", null, el("p", null, one.what.join("; ") || "what was odd about it is not known"),
      el("p", { class: "fine" }, one.silenced ? [`kept quiet ${plural(one.silenced, "time")}, last `, time(one.last_silenced)] : "has not kept anything quiet yet", " · marked ", time(one.created),
        !one.in_force && " · set aside: it is of another RUN than the one that scores now")),
    action("Take it back", () => forget(one)))));
}
