// What needs no page: numbers, times and states as text, ticks, shapes. `node --test`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { mock, test } from "node:test";

process.env.TZ = "Europe/Berlin";
// What the modules ask of a browser when they are read.
globalThis.matchMedia = () => ({ matches: false, addEventListener() {} });
const STATIC = new URL("../../../src/oddframe/web/static/", import.meta.url);
const from = (name) => import(new URL(name, STATIC));
const f = await from("format.js");
const plot = await from("plot.js");
const { standing, next } = await from("steps.js");
const { plain, relative } = await from("places.js");
const api = await from("api.js");
const { yaml } = await from("system.js");
const { summary } = await from("wall.js");
const { Live } = await from("live.js");
const trace = await from("trace.js");
const { counted } = await from("review.js");
const { Timeline } = await from("timeline.js");

const S = 1000; // ms
let clockMs = 0;
mock.method(performance, "now", () => clockMs);
globalThis.document = { addEventListener() {}, hidden: false };
globalThis.WebSocket = class {
  constructor() { (WebSocket.made ??= []).push(this); }
  send() {}
  close() { this.over = true; }
};

// What a socket with this clock does; `later(s)` lets seconds pass.
function lively(run) {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  WebSocket.made = [];
  try {
    const live = new Live("ws://box/api/live"), told = [];
    live.on("state", (open) => told.push(open));
    live.on("back", () => told.push("back"));
    live.connect();
    run(live, told, (s) => { for (; s > 0; s--) { clockMs += S; mock.timers.tick(S); } });
  } finally {
    mock.timers.reset();
  }
}

test("a connection on which nothing is heard is lost, though nobody closed it", () => {
  lively((live, told, later) => {
    const [first] = WebSocket.made;
    first.onopen();
    for (let i = 0; i < 20; i++) {
      later(3);
      first.onmessage({ data: '{"kind": "cameras"}' });
    }
    assert.deepEqual([told, WebSocket.made.length], [[true], 1]);
    later(8); // its cable is out
    assert.deepEqual([told, first.over, WebSocket.made.length], [[true, false], true, 2]);
    WebSocket.made[1].onopen();
    assert.deepEqual(told, [true, false, true, "back"]);
    later(3);
    assert.equal(WebSocket.made.length, 2, "what the old one says or does is nothing any more");
  });
});

test("a connection that is closed is made anew, the first one is not one that came back", () => {
  lively((live, told, later) => {
    WebSocket.made[0].onclose(); // it could not be made
    later(1);
    WebSocket.made[1].onopen();
    assert.deepEqual(told, [false, true]);
    live.close();
    WebSocket.made[1].onclose();
    later(60);
    assert.deepEqual([told, WebSocket.made.length], [[false, true, false], 2]);
  });
});

test("numbers keep the digits that count", () => {
  assert.deepEqual([0, 1, 3.14159, 0.012345, 1234.5, 12, -2.5, 1e-9].map((x) => f.number(x)), ["0", "1", "3.14", "0.0123", "1235", "12", "−2.5", "0"]);
  assert.equal(f.number(7.13, 2), "7.1");
  assert.equal(f.number(100, 2), "100");
  for (const unknown of [null, undefined, NaN, Infinity]) assert.equal(f.number(unknown), "–");
});

test("what a threshold costs stands with its interval", () => {
  assert.equal(f.rate({ alarms_per_day: 3.1, low: 1.4, high: 7 }), "≈ 3.1 (1.4–7) alarms a day at this setting");
  assert.equal(f.rate({ alarms_per_day: 3.1, low: null, high: null }), "≈ 3.1 alarms a day at this setting");
  assert.equal(f.rate({ alarms_per_day: null }), "");
});

test("durations and sizes", () => {
  assert.deepEqual([0.2, 5, 65, 60, 1800, 3600, 5400, 90000, 4 * 86400].map(f.span), ["under a second", "5 s", "1 min 5 s", "1 min", "30 min", "1 h", "1 h 30 min", "25 h", "4 days"]);
  assert.deepEqual([599, 600, 3569, 3570, 3599, 7190, 86399, 172799].map(f.span), ["9 min 59 s", "10 min", "59 min", "1 h", "1 h", "2 h", "24 h", "2 days"]);
  assert.deepEqual([999, 1000, 8.2e9].map(f.bytes), ["999 B", "1 kB", "8.2 GB"]);
});

test("times are the viewer's, days have 23 and 25 hours too", () => {
  assert.equal(f.clock("2026-05-28T20:26:40Z"), "22:26:40");
  assert.equal(f.utc("2026-05-28T20:26:40Z"), "2026-05-28 20:26:40 UTC");
  const hours = (day) => { const [a, b] = f.bounds(day); return (b - a) / 3600; };
  assert.deepEqual(["2026-03-29", "2026-05-28", "2026-10-25"].map(hours), [23, 24, 25]);
  assert.equal(f.shifted("2026-03-01", -1), "2026-02-28");
  assert.equal(f.iso(f.bounds("2026-05-28")[0]), "2026-05-27T22:00:00.000Z");
});

test("a camera's mood: what hinders comes before what is seen", () => {
  const camera = (more) => ({ state: "running", stage: "watching", level: 0.3, armed: true, anomaly: false, ...more });
  const words = (more) => f.mood(camera(more)).word;
  assert.equal(words({}), "Normal");
  assert.equal(words({ level: 0.8 }), "Rising");
  assert.equal(words({ level: 2.2, anomaly: true }), "ALARM");
  assert.equal(words({ level: 2.2, anomaly: true, quiet: true }), "Detection");
  assert.equal(words({ level: 1.2 }), "Over the threshold");
  assert.equal(words({ state: "down", anomaly: true }), "Down");
  assert.equal(words({ stage: "unfitted", level: null }), "Not scored");
  assert.equal(words({ level: null, unsettled: "dark" }), "Settling");
  assert.equal(words({ level: null }), "No score yet");
  assert.equal(words({ level: null, words: "Nothing is scored: the engine hangs, or fails each time." }), "Not scored");
  assert.deepEqual(f.badges(camera({ armed: false, provisional: true })).map(([b]) => b), ["provisional", "disarmed"]);
  assert.equal(summary([camera({}), camera({ state: "down" })]), "2 cameras: 1 down, 1 normal.");
});

test("scores are drawn by the server's clock, whatever the browser's says", () => {
  for (const beside of [-3600, 400]) {
    const server = Date.now() / 1000 + beside;
    trace.serverIs(server);
    assert.ok(Math.abs(trace.now() - server) < 1);
    const own = new trace.Trace(300);
    own.add(trace.now(), 1); // by the page's clock, as it is without pictures
    own.add(server + 2, 4); // of a picture
    assert.deepEqual(own.points.map(([, y]) => y), [1, 4]);
    own.fill([server - 20, server - 10, server - 5], [7, null, 8]);
    assert.deepEqual(own.points.map(([, y]) => y), [7, null, 8, 1, 4]);
  }
});

test("a server whose clock was set back goes on being drawn", () => {
  const own = new trace.Trace(300);
  own.add(5000, 1);
  own.add(4990, 2); // late, and told already
  own.add(1400, 3);
  own.add(1401, 4);
  assert.deepEqual(own.points, [[1400, 3], [1401, 4]]);
});

test("a time without connection is filled, and without an answer it is a gap in the line", () => {
  const own = new trace.Trace(300);
  own.lift();
  for (const t of [10, 11, 12]) own.add(t, 1);
  own.lift();
  own.lift();
  own.add(60, 2);
  assert.deepEqual(own.points, [[10, 1], [11, 1], [12, 1], [12, null], [60, 2]]);
  own.fill([], []); // the server was started anew
  assert.equal(own.points.length, 5);
  own.fill([12, 30, 50], [1, 5, 1]);
  assert.deepEqual(own.points, [[12, 1], [30, 5], [50, 1], [60, 2]]);
  own.add(340, 3);
  assert.deepEqual(own.points.map(([t]) => t), [50, 60, 340]);
});

// The alarms above the screens, without a screen.
async function alarms() {
  const { Alarms } = await from("alarms.js");
  const made = Object.assign(Object.create(Alarms.prototype), { app: { live: { open: true } }, events: new Map(), opened: new Map(), seen: new Set(), said: new Set(), told: new Set(), show() {} });
  return made;
}

// Answers to what is asked meanwhile: `answer(address)` gives [status, JSON].
async function answering(answer, run) {
  const asked = [];
  const fetched = mock.method(globalThis, "fetch", async (address) => {
    const url = new URL(address, "http://box");
    asked.push(url);
    const [status, said] = await answer(url);
    return { ok: status < 400, status, json: async () => said };
  });
  try {
    return await run(asked);
  } finally {
    fetched.mock.restore();
  }
}

const at = (s) => new Date(1000 * (Date.now() / 1000 + s)).toISOString();
const happened = (id, more) => ({ id, camera: "gate", severity: "alert", start: at(-3600), end: null, peak: at(-3500), state: "update", verdict: null, reasons: [], zones: [], ...more });

test("what is open is found behind a thousand that are newer, and what is over meanwhile is gone", async () => {
  trace.serverIs(Date.now() / 1000);
  const own = await alarms();
  own.take(happened("slept", { camera: "yard" }), false); // its end was never heard
  own.take(happened("quiet", { camera: "dock", severity: "detection" }), false);
  const newer = Array.from({ length: 1000 }, (_, i) => happened(`n${i}`, { camera: "lane", end: at(-60) }));
  await answering(async (url) => {
    if (!url.searchParams.get("cursor")) return [200, { events: newer, cursor: "n999" }];
    own.take(happened("meanwhile", { camera: "roof" }), false); // newer than the answer
    own.take(happened("ended", { camera: "hall", end: at(-1) }), false);
    return [200, { events: [happened("early"), happened("ended", { camera: "hall" })], cursor: null }];
  }, async (asked) => {
    await own.load();
    assert.deepEqual(asked.map((url) => url.searchParams.get("cursor")), [null, "n999"]);
    assert.ok(Math.abs(Date.parse(asked[0].searchParams.get("since")) - Date.now() + 600_000) < 5000);
  });
  assert.equal(own.of("gate")?.id, "early");
  assert.deepEqual([own.of("yard"), own.of("hall"), own.of("roof")?.id], [undefined, undefined, "meanwhile"]);
  assert.equal(own.quiet("dock"), false);
  assert.equal(own.open, 2);
});

test("what is open is asked again where it could not be, and stays as it was meanwhile", async () => {
  const own = await alarms();
  own.take(happened("a"), false);
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let status = 503;
    await answering(async () => [status, { detail: "busy", events: [], cursor: null }], async (asked) => {
      await own.load();
      assert.deepEqual([asked.length, own.open], [1, 1]);
      status = 200;
      mock.timers.tick(5000);
      for (let i = 0; own.open && i < 50; i++) await Promise.resolve();
      assert.deepEqual([asked.length, own.open], [2, 0]);
    });
  } finally {
    mock.timers.reset();
  }
});

test("a strip whose levels or gaps could not be read is not one without gaps", async () => {
  trace.serverIs(Date.now() / 1000);
  const [from, to] = f.bounds(f.day(Date.now() / 1000));
  const gap = { camera: "yard", start: f.iso(from), end: f.iso(from + 600), why: "frozen" };
  const rows = () => ["gate", "yard"].map((name) => ({ name, state: "asked", points: [], gaps: [] }));
  const said = async (answer) => answering(answer, async (asked) => {
    const own = Object.assign(Object.create(Timeline.prototype), { from, to }), made = rows();
    assert.match(own.words(made[0], []), /are being read\.$/);
    await own.ask(made, undefined);
    assert.deepEqual(asked.map((url) => url.pathname).sort(), ["/api/gaps", "/api/scores", "/api/scores"]);
    return made.map((row) => own.words(row, []));
  });
  const points = [{ t: f.iso(from), level_max: 0.4 }];
  const whole = { "/api/gaps": [200, [gap]], "/api/scores": [200, { points, step_s: 300 }] };
  const failed = "0 events, not all of its levels and gaps could be read.";
  assert.deepEqual(await said((url) => whole[url.pathname]), [
    "gate: 0 events, highest level 0.4, no gap.", "yard: 0 events, highest level 0.4, 10 min without score (frozen).",
  ]);
  const busy = (url) => (url.searchParams.get("camera") === "gate" ? [429, {}] : whole[url.pathname]);
  assert.deepEqual(await said(busy), [`gate: ${failed}`, "yard: 0 events, highest level 0.4, 10 min without score (frozen)."]);
  const blind = (url) => (url.pathname === "/api/gaps" ? [503, {}] : whole[url.pathname]);
  assert.deepEqual(await said(blind), [`gate: ${failed}`, `yard: ${failed}`]);
});

test("a count of events says where there are more", () => {
  const all = [{ verdict: null }, { verdict: "real" }];
  assert.equal(counted(all, null), "2 events, 1 not judged.");
  assert.equal(counted(all, "1-a"), "2 events and more, of these 1 not judged.");
  assert.equal(counted([], null), "No event.");
});

test("CSV: quotes, and nothing that a spreadsheet would run", () => {
  const event = { id: "1.5-a", camera: "gate", zones: ["a", "b"], reasons: ['says "no", twice'], peak_level: -1.5, note: "=HYPERLINK(1)", verdict: null };
  const row = f.csv([event]).split("\r\n")[1];
  assert.ok(row.includes('"says ""no"", twice"') && row.includes("a; b") && row.includes(",'=HYPERLINK(1),") && row.includes(",-1.5,"), row);
});

test("ticks are round, of times on the viewer's hours", () => {
  assert.deepEqual(plot.ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(plot.ticks(0.1, 0.35, 3).map((t) => f.number(t)), ["0.1", "0.2", "0.3"]);
  assert.deepEqual(plot.ticks(1, 1, 5), []);
  const day = plot.timeTicks(0, 86400, 4, -90); // a zone of an hour and a half
  assert.ok(day.every((t) => (t + 5400) % 21600 === 0) && day.length === 4, String(day));
});

test("a plot says what it shows", () => {
  const words = plot.describe("Score", [{ points: [[0, 1], [1, null], [2, 4], [3, 2]] }], { threshold: 3 });
  assert.equal(words, "Score: last 2, highest 4 at 2; threshold 3.");
  assert.equal(plot.describe("Score", [{ points: [] }]), "Score: nothing yet.");
});

test("why frames were not scored, in words", () => {
  assert.equal(f.lost({ newer: 1200, late: 0, other: 1 }), "1,200 left out for a newer one, 1 other");
  assert.equal(f.lost({}), "");
});

test("where a camera stands", () => {
  const camera = { stage: "unfitted", state: "running", width: 640, armed: true };
  const states = (c, jobs, minutes) => standing({ ...camera, ...c }, jobs, minutes).map((s) => s.state).join(" ");
  assert.equal(states({ width: 0, state: "opening" }, []), "now later later later later");
  assert.equal(states({ width: 0, state: "down" }, []), "failed later later later later");
  assert.equal(states({}, []), "done now later later later");
  assert.equal(states({}, [], 30), "done done now later later");
  assert.equal(states({}, [{ kind: "fit", state: "running" }, { kind: "record", state: "done" }]), "done done running later later");
  assert.equal(states({}, [{ kind: "fit", state: "failed" }, { kind: "record", state: "done" }]), "done done failed later later");
  assert.equal(states({ stage: "watching", provisional: true, armed: false }, []), "done done done now now");
  assert.equal(states({ stage: "watching", provisional: false }, []), "done done done done done");
  assert.equal(next(standing({ ...camera }, [{ kind: "fit", state: "running", done: 0.35 }, { kind: "record", state: "done" }])), "fit under way 35 %");
  const ahead = (jobs) => standing(camera, jobs).map((s) => s.ahead && s.key).filter(Boolean);
  assert.deepEqual(ahead([{ kind: "record", state: "waiting" }]), ["fit"]);
  assert.deepEqual(ahead([{ kind: "fit", state: "waiting" }, { kind: "record", state: "running" }]), ["calibrate"]);
  assert.deepEqual(ahead([{ kind: "calibrate", state: "waiting" }, { kind: "fit", state: "running" }, { kind: "record", state: "done" }]), []);
  assert.deepEqual(ahead([{ kind: "record", state: "failed" }]), []);
});

test("shapes in pixels become parts of the picture, and are saved so", () => {
  const shapes = relative([{ name: "a", points: [[0, 0], [320, 0], [640, 480]], unit: "pixels", severity: "detection", alert_level: 2 }], "zone", 640, 480);
  assert.deepEqual(shapes[0].points, [[0, 0], [0.5, 0], [1, 1]]);
  assert.deepEqual(plain([...shapes, { kind: "mask", name: "", points: [[0, 0], [1, 0], [1, 1]] }], "mask"), [{ name: "", points: [[0, 0], [1, 0], [1, 1]], unit: "relative" }]);
  assert.deepEqual(plain(shapes, "zone")[0], { name: "a", points: [[0, 0], [0.5, 0], [1, 1]], unit: "relative", severity: "detection", alert_level: 2 });
});

test("names cannot leave their place in an address, and only our own addresses are followed", () => {
  assert.equal(api.path(["cameras", "../../x?y#z", "rate"], { threshold: 3, none: null }), "/api/cameras/..%2F..%2Fx%3Fy%23z/rate?threshold=3");
  assert.equal(api.own("/api/events/1/clip"), "/api/events/1/clip");
  for (const bad of ["//evil.example/x", "/\\evil.example", "https://evil.example", "javascript:alert(1)", null, 3]) assert.equal(api.own(bad), null);
});

test("settings read as their YAML", () => {
  const values = { a: 1, b: { c: "", d: [] }, e: [{ k: 1, l: 2 }], f: [[0, 0], [1, 1]], g: null };
  assert.equal(yaml(values), 'a: 1\nb:\n  c: ""\n  d: []\ne:\n  - k: 1\n    l: 2\nf: [[0,0],[1,1]]\ng: null');
});

// Rules of the house for all modules, read as text.
const sources = readdirSync(STATIC).filter((n) => n.endsWith(".js")).map((name) => [name, readFileSync(new URL(name, STATIC), "utf8")]);

test("modules import what others export", () => {
  const exported = new Map(sources.map(([name, text]) => [name, new Set([...text.matchAll(/^export (?:async )?(?:function|class|const|let) (\w+)/gm)].map((m) => m[1]))]));
  for (const [name, text] of sources) {
    for (const [, names, file] of text.matchAll(/^import \{([^}]*)\} from "\.\/([\w.]+)"/gm)) {
      for (const one of names.split(",").map((n) => n.trim())) {
        assert.ok(exported.get(file)?.has(one), `${name}: ${file} has no ${one}`);
        assert.ok(new RegExp(`\\b${one}\\b`).test(text.replace(/^import .*$/gm, "")), `${name}: ${one} is imported for nothing`);
      }
    }
  }
});

test("an answer that nobody waits for any more is no empty answer", async () => {
  const real = globalThis.fetch;
  try {
    for (const [name, wanted] of [["AbortError", "rejected"], ["SyntaxError", "null"]]) {
      globalThis.fetch = async () => ({
        ok: true, status: 200, json: async () => { throw Object.assign(new Error("broken off"), { name }); },
      });
      const found = await api.get("/api/scores").then((said) => String(said), (error) => (error.name === name ? "rejected" : "another"));
      assert.equal(found, wanted, name);
    }
  } finally {
    globalThis.fetch = real;
  }
});

test("nothing is made of strings of markup or run from strings", () => {
  for (const [name, text] of sources) assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style"/, name);
  const page = readFileSync(new URL("index.html", STATIC), "utf8");
  assert.doesNotMatch(page, /<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?:/);
});

test("files stay readable", () => {
  for (const [name, text] of sources) assert.ok(text.split("\n").length <= 300, `${name} is too long`);
});
