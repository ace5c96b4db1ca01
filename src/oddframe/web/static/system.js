// System: how the machine keeps up, what is configured, what was logged, who changed what.

import { get, path } from "./api.js";
import { el, facts, refill, table } from "./dom.js";
import { bytes, lost, number, percent, plural, span } from "./format.js";
import { badge, empty, head, load, moodTag, section, time } from "./ui.js";

const EVERY_MS = 5000;
const LINES = 200;

export function open(main, app) {
  const rates = el("div"), sinks = el("div"), now = el("div"), config = el("div"), log = el("div"), audit = el("div");
  main.append(head("System"),
    section("Cameras", null, rates), section("Machine", null, now), section("Who is told", null, sinks),
    section("Log", null, log), section("Who changed what", null, audit), section("Configuration", null, config));
  let reads = true; // the log, until it says that it may not be
  const refresh = async () => {
    if (document.hidden) return;
    load(now, get("/api/system"), (found) => {
      refill(rates, rateTable(found.cameras ?? [], app));
      refill(sinks, sinkTable(found.sinks ?? []));
      return machine(found);
    });
    if (!reads) return;
    const question = get(path(["log"], { limit: LINES })).catch((error) => {
      reads = error.status !== 403; // another time it may be answered
      throw error;
    });
    await load(log, question, (found) => logged(found, log));
  };
  refresh();
  load(config, get("/api/config"), (found) => el("pre", { tabindex: "0", role: "region", "aria-label": "Configuration" }, yaml(found)));
  load(audit, get(path(["audit"], { limit: 100 })), changes);
  const timer = setInterval(refresh, EVERY_MS);
  return { title: "System", close: () => clearInterval(timer) };
}

const ms = (s) => (s === null || s === undefined ? "–" : `${Math.round(1000 * s)} ms`);
const count = (n) => (Number.isFinite(n) ? n.toLocaleString("en-GB") : "–");

function rateTable(all, app) {
  if (!all.length) return empty("There is no camera yet.");
  return table("Rates of the cameras",
    ["Camera", "State", "#Frames/s", "#Scored/s", "#Wanted/s", "#Came", "#Not scored", "#To score lately, median", "#99 %", "#Reconnects"],
    all.map((c) => {
      const known = app.cameras.get(c.camera);
      return [
        el("a", { href: `#/camera/${encodeURIComponent(c.camera)}` }, c.camera), known ? moodTag(known) : c.state, number(c.fps), number(c.scored_fps),
        number(c.wanted_fps), count(c.frames), lost(c.dropped) || "0", ms(c.latency_p50_s), ms(c.latency_p99_s), count(c.reconnects),
      ];
    }));
}

function sinkTable(all) {
  if (!all.length) return empty("Nobody: the site has no sinks. Events stay in its store.");
  return table("Sinks", ["Sink", "State", "#Sent", "#Waiting", "#Tried again", "#Refused", "Trouble"], all.map((s) => [
    s.sink, s.up ? "up" : badge("down", s.words || "it is not there"), count(s.sent), count(s.waiting), count(s.failed), count(s.refused),
    s.words ? `${s.words}${Number.isFinite(s.failing_s) ? ` (for ${span(s.failing_s)})` : ""}` : "",
  ]));
}

// What keeps up, and what is left of the machine.
function machine(s) {
  const { machine: m, process: p, disk: d, pace, inference: i, clips: c } = s;
  const faults = Object.entries(s.faults ?? {}).filter(([, n]) => n);
  const of = (free, all, more) => (Number.isFinite(free) && Number.isFinite(all) ? `${bytes(all - free)} of ${bytes(all)}${more}` : null);
  return [
    d?.words && el("p", { class: "problem" }, d.words),
    pace?.load > 1 && el("p", { class: "problem" }, `There is time for ${percent(pace.share)} of the looks that are wanted.`),
    facts([
      ["Version", s.version], ["Running for", span(s.uptime_s)],
      ["Looking takes", pace && `${percent(pace.load)} of the time`],
      ["A look", pace?.look_s ? `${ms(pace.look_s)}; of it the model, lately, ${ms(i?.p50_s)}, 99 % ${ms(i?.p99_s)}` : null],
      ["Processor", m && Number.isFinite(m.cpu) ? `${percent(m.cpu)} of ${plural(m.cores, "core")}; oddframe ${number(p?.cpu, 2)} cores` : null],
      ["Memory", m && of(m.free_bytes, m.memory_bytes, `; oddframe ${bytes(p?.memory_bytes)}`)],
      ["Disk", d && of(d.free_bytes, d.total_bytes, Number.isFinite(d.store_bytes) ? `; the store ${bytes(d.store_bytes)}${d.limit_bytes ? ` of at most ${bytes(d.limit_bytes)}` : ""}` : "")],
      ["Threads, open files", p && `${count(p.threads)}, ${count(p.open_files)}`], ["Processes waiting", m && number(m.waiting, 2)],
      ["Clips", c && `${count(c.done)} written, ${count(c.dropped)} given up, ${count(c.failed)} failed`],
      ["Events waiting for the disk", count(s.events_waiting)],
      ["Faults", faults.length ? faults.map(([where, n]) => `${count(n)} ${where}`).join(", ") : "none"],
    ]),
  ];
}

// Keeps where somebody reads; at the end it follows the newest line.
function logged(found, place) {
  const before = place.querySelector(".log");
  const follows = !before || before.scrollHeight - before.scrollTop - before.clientHeight < 40;
  const list = el("div", { class: "log", tabindex: "0", role: "region", "aria-label": "The log, the newest last" },
    el("ol", null, found.lines.map((line) => el("li", { class: line.level }, time(line.time), " ", el("b", null, line.level), " ", line.message))));
  if (!found.lines.length) return empty("Nothing was logged.");
  requestAnimationFrame(() => { list.scrollTop = follows ? list.scrollHeight : before.scrollTop; });
  return list;
}

function changes(rows) {
  if (!rows.length) return empty("Nothing was changed yet.");
  return table("Who changed what", ["When", "Who", "From", "What", "Sent", "#Answer"], rows.map((row) => [
    time(row.time), row.who || "a wrong token", row.address, el("code", null, `${row.method} ${row.path}`), el("code", null, row.body), String(row.status || "gone"),
  ]));
}

// Settings as their YAML would be, more or less: to be read.
export function yaml(value, depth = 0) {
  const pad = "  ".repeat(depth);
  const scalar = (v) => (v === null || typeof v !== "object" || !Object.keys(v).length);
  const text = (v) => (v === "" ? '""' : Array.isArray(v) ? "[]" : v !== null && typeof v === "object" ? "{}" : String(v));
  if (scalar(value)) return text(value);
  if (Array.isArray(value)) {
    if (value.every(scalar) || value.every((v) => Array.isArray(v) && v.every(scalar))) return JSON.stringify(value);
    return value.map((v) => `${pad}- ${scalar(v) ? text(v) : yaml(v, depth + 1).trimStart()}`).join("\n");
  }
  return Object.entries(value).map(([k, v]) => {
    const inner = yaml(v, depth + 1);
    const short = scalar(v) || (Array.isArray(v) && !/\n|^\s/.test(inner));
    return short ? `${pad}${k}: ${inner}` : `${pad}${k}:\n${inner}`;
  }).join("\n");
}
