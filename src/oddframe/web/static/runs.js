// RUNs: what was learned, how it was tested, and which camera it watches.

import { get, own, path, put } from "./api.js";
import { el, facts, field, meter, select, table } from "./dom.js";
import { number, percent, span } from "./format.js";
import { Plot } from "./plot.js";
import { badge, empty, form, head, load, section, time, toast } from "./ui.js";

export function open(main, app, name) {
  return name ? one(main, app, name) : all(main);
}

function all(main) {
  const list = el("div", null, empty("Loading …"));
  main.append(head("Runs"), section("All RUNs", null, list));
  load(list, get(path(["runs"])), (runs) => {
    if (!runs.length) return empty("None yet. A RUN is made by fitting a camera: ", el("a", { href: "#/setup" }, "to the setup"), ".");
    return table("RUNs", ["Name", "Model", "Made", "#Frames", "#Fitted for", "#Threshold", "#Alarms a day", "Watches"], runs.map((r) => [
      el("a", { href: `#/runs/${encodeURIComponent(r.name)}` }, r.name), [r.model, " ", r.finished === false && badge("being learned", r.text ?? "")], time(r.created), r.frames?.toLocaleString("en-GB") ?? "–",
      r.minutes ? span(60 * r.minutes) : "–", number(r.threshold), [number(r.alarms_per_day, 2), " ", r.provisional && badge("provisional", "Its calibration rests on little footage.")],
      r.cameras?.length ? r.cameras.map((c, i) => [i ? ", " : "", el("a", { href: `#/camera/${encodeURIComponent(c)}` }, c)]) : "–",
    ]));
  });
  return { title: "Runs" };
}

function one(main, app, name) {
  const place = el("div", null, empty("Loading …"));
  const plots = [];
  main.append(head(`RUN ${name}`, el("a", { href: "#/runs" }, "All RUNs")), place);
  load(place, get(path(["runs", name])), (run) => [
    section("What it is", null, facts([
      ["Model", run.model], ["Made", time(run.created)], ["Frames", run.frames?.toLocaleString("en-GB")],
      ["Fitted for", run.minutes ? span(60 * run.minutes) : null],
      ["Watches", run.cameras?.length ? run.cameras.join(", ") : "no camera"],
    ])),
    assigning(app, name, run),
    section("Calibration", null, calibration(run)),
    run.loss?.length > 1 && section("Loss", null, loss(run.loss, plots)),
    run.finished === false && section("It is still learned", null, el("p", null, run.text)),
    run.selftest && section("What it sees", null, selftest(run.selftest, own(run.selftest_picture))),
    run.tables?.length > 0 && section("Tables", null, tables(run.tables)),
  ]);
  return { title: `RUN ${name}`, close: () => plots.forEach((p) => p.close()) };
}

function assigning(app, name, run) {
  const names = [...app.cameras.keys()];
  if (!names.length) return null;
  const camera = select(names.map((n) => [n, run.cameras?.includes(n) ? `${n} (has it)` : n]), names.find((n) => !run.cameras?.includes(n)) ?? names[0]);
  return section("Give it to a camera", null, form({ class: "start" }, [field("Camera", camera)], "Assign", async () => {
    await put(path(["cameras", camera.value, "model"]), { run: name });
    toast(`${camera.value} is watched by ${name} now.`);
  }));
}

function calibration(run) {
  const c = run.calibration;
  if (!c) return empty("It is not calibrated: its levels mean nothing yet.");
  return [
    c.text && el("p", null, c.text),
    facts([
      ["Threshold", number(run.threshold, 4)], ["Alarms a day", number(run.alarms_per_day, 2)],
      ["From", Number.isFinite(c.hours) ? `${span(3600 * c.hours)} of footage` : null],
      ["Certainty", run.provisional ? "provisional: it will shift" : "settled"],
    ]),
  ];
}

function loss(points, plots) {
  const plot = new Plot({ label: "Loss by step", log: points.every(([, y]) => y > 0) });
  plot.set({ lines: [{ ink: "score", points }] });
  plots.push(plot);
  const step = Math.max(1, Math.floor(points.length / 12));
  const some = points.filter((_, i) => i % step === 0 || i === points.length - 1);
  return [plot.node, el("details", null, el("summary", null, "As a table"),
    table("Loss by step", ["#Step", "#Loss"], some.map(([x, y]) => [String(x), number(y, 4)])))];
}

// Made anomalies in its own normal footage: in words, with a bar for each kind.
function selftest(found, picture) {
  const kinds = Object.entries(found.kinds ?? {});
  const text = found.text ?? found.words;
  return [
    !kinds.length && text && el("p", { class: "lines" }, text),
    kinds.length > 0 && [
      el("p", { class: "soft" }, `Made anomalies in ${found.clips ?? "some"} clips of its own normal footage, and how many of them are seen at its threshold.`),
      el("ul", { class: "streams" }, kinds.map(([kind, k]) => {
        const zones = Object.entries(k.zones ?? {}).filter(([, x]) => x !== null).map(([z, x]) => `${z} ${percent(x)}`).join(", ");
        return el("li", null, el("span", { class: "name" }, k.said ?? kind), meter(k.seen ?? 0, 1, k.said ?? kind),
          el("span", { class: "z" }, k.seen === null ? "–" : percent(k.seen)), el("span", { class: "words" }, zones));
      })),
    ],
    picture && el("img", { class: "tested", src: picture, alt: "Made anomalies in its own footage, and how often they are seen", loading: "lazy" }),
  ];
}

function tables(rows) {
  const protocols = [...new Set(rows.map((r) => r.protocol_text ?? r.protocol ?? ""))];
  return protocols.map((protocol) => {
    const same = rows.filter((r) => (r.protocol_text ?? r.protocol ?? "") === protocol);
    const numbers = [...new Set(same.flatMap((r) => Object.keys(r).filter((k) => typeof r[k] === "number")))];
    return table(`Results, ${protocol}`, ["Method", ...numbers.map((n) => `#${n}`)],
      same.map((r) => [r.method ?? "–", ...numbers.map((n) => number(r[n], 4))]), protocol);
  });
}
