// A day of a camera in a strip: how high levels were, when nobody looked, where events are.

import { get, path } from "./api.js";
import { el, fill } from "./dom.js";
import { bounds, clock, iso, number, plural, seconds, span } from "./format.js";
import { hatch, ink, onTheme, pen } from "./ink.js";
import { timeTicks } from "./plot.js";
import { now } from "./trace.js";

const STEP_S = 300;
const MOST = 2; // levels above are drawn as high as this

export class Timeline {
  // choose(event): an event's mark was pressed.
  constructor(choose) {
    Object.assign(this, { choose, rows: [], events: [], chosen: null });
    this.node = el("div", { class: "timeline" });
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.node);
    this.themed = onTheme(() => this.draw());
  }

  close() {
    this.asking?.abort();
    this.sized.disconnect();
    this.themed();
  }

  // Show a day (a text as 2026-05-28) of some cameras; asked again where they are others, where
  // something could not be read, and where it may be `old`.
  async show(names, day, old = false) {
    const shown = JSON.stringify([names, day]);
    if (shown === this.shown && !old && !this.rows.some((row) => row.state === "failed")) return;
    this.shown = shown;
    this.asking?.abort();
    const signal = (this.asking = new AbortController()).signal;
    [this.from, this.to] = bounds(day);
    this.rows = names.map((name) => ({ name, canvas: el("canvas", { role: "img", "aria-label": name }), state: "asked", points: [], gaps: [] }));
    for (const row of this.rows) row.canvas.addEventListener("click", (e) => this.pick(row, e.offsetX));
    this.axis = el("canvas", { class: "axis", "aria-hidden": "true" });
    fill(this.node, this.rows.map((row) => el("div", { class: "lane" }, el("span", null, row.name), row.canvas)), el("div", { class: "lane" }, el("span"), this.axis));
    this.draw();
    await this.ask(this.rows, signal);
    if (!signal.aborted) this.draw();
  }

  // What could not be read is not calm: such a row is "failed", with what was read of it.
  async ask(rows, signal) {
    const [since, until] = [iso(this.from), iso(Math.min(this.to, now() + 1))];
    const orNull = (question) => question.catch(() => null);
    const camera = rows.length === 1 ? rows[0].name : null;
    const [gaps, ...scores] = await Promise.all([
      orNull(get(path(["gaps"], { camera, since, until }), signal)),
      ...rows.map((row) => orNull(get(path(["scores"], { camera: row.name, from: since, to: until, step: STEP_S }), signal))),
    ]);
    for (const [i, row] of rows.entries()) {
      row.gaps = gaps?.filter((gap) => gap.camera === row.name) ?? [];
      row.points = scores[i]?.points ?? [];
      row.step = scores[i]?.step_s ?? STEP_S;
      row.state = gaps && scores[i] ? "read" : "failed";
    }
  }

  mark(events, chosen) {
    Object.assign(this, { events, chosen });
    this.draw();
  }

  x(t, w) {
    return ((t - this.from) / (this.to - this.from)) * w;
  }

  draw() {
    for (const row of this.rows) this.drawRow(row);
    const on = this.axis && pen(this.axis);
    if (!on) return;
    on.fillStyle = ink("soft");
    on.font = `11px ${getComputedStyle(this.node).fontFamily}`;
    on.textAlign = "center";
    on.textBaseline = "top";
    const w = this.axis.clientWidth;
    for (const t of timeTicks(this.from, this.to, w / 60)) {
      const x = this.x(t, w);
      if (x > 14 && x < w - 14) on.fillText(clock(t).slice(0, 5), x, 3);
    }
  }

  drawRow(row) {
    const own = this.events.filter((e) => e.camera === row.name);
    const words = this.words(row, own);
    if (row.canvas.getAttribute("aria-label") !== words) row.canvas.setAttribute("aria-label", words);
    const on = pen(row.canvas);
    if (!on) return;
    const w = row.canvas.clientWidth, h = row.canvas.clientHeight;
    on.fillStyle = ink("panel");
    on.fillRect(0, 0, w, h);
    for (const gap of row.gaps) {
      const [a, b] = [this.x(seconds(gap.start), w), this.x(gap.end ? seconds(gap.end) : now(), w)];
      hatch(on, a, 0, Math.max(1, b - a), h);
    }
    for (const point of row.points) {
      if (point.level_max === null) continue;
      const height = Math.max(1, (Math.min(MOST, point.level_max) / MOST) * (h - 2));
      on.fillStyle = ink(point.level_max >= 1 ? "over" : "quiet");
      on.fillRect(this.x(seconds(point.t), w), h - height, Math.max(1, (row.step / (this.to - this.from)) * w - 0.4), height);
    }
    on.strokeStyle = ink("soft");
    on.setLineDash([3, 3]);
    on.beginPath();
    on.moveTo(0, h / 2);
    on.lineTo(w, h / 2);
    on.stroke();
    on.setLineDash([]);
    for (const event of own) this.drawEvent(on, event, w, h);
    const here = this.x(now(), w);
    if (here > 0 && here < w) {
      on.fillStyle = ink("ink");
      on.fillRect(here, 0, 1, h);
    }
    if (row.state !== "failed") return;
    on.fillStyle = ink("ink");
    on.font = `11px ${getComputedStyle(this.node).fontFamily}`;
    on.textAlign = "left";
    on.textBaseline = "middle";
    on.fillText("Not all of it could be read.", 6, h / 2);
  }

  // A mark above the strip: full where it was an alert, an outline where it was judged false.
  drawEvent(on, event, w, h) {
    const x = this.x(seconds(event.start), w);
    const chosen = event.id === this.chosen;
    on.fillStyle = ink(event.verdict === "false_alarm" ? "soft" : event.severity === "alert" ? "alarm" : "rising");
    on.strokeStyle = ink("paper");
    on.beginPath();
    const r = chosen ? 7 : 5;
    on.moveTo(x, r * 2);
    on.lineTo(x - r, 0);
    on.lineTo(x + r, 0);
    on.closePath();
    on.fill();
    on.stroke();
    if (chosen) on.fillRect(x - 1, 0, 2, h);
  }

  words(row, own) {
    const happened = `${row.name}: ${plural(own.length, "event")}, `;
    if (row.state === "asked") return `${happened}levels and gaps are being read.`;
    if (row.state === "failed") return `${happened}not all of its levels and gaps could be read.`;
    const top = row.points.reduce((m, p) => Math.max(m, p.level_max ?? 0), 0);
    const blind = row.gaps.reduce((s, g) => s + Math.max(0, Math.min(this.to, g.end ? seconds(g.end) : now()) - Math.max(this.from, seconds(g.start))), 0);
    const gaps = blind ? `${span(blind)} without score (${[...new Set(row.gaps.map((g) => g.why))].join(", ")})` : "no gap";
    return `${happened}highest level ${number(top, 2)}, ${gaps}.`;
  }

  pick(row, x) {
    const w = row.canvas.clientWidth;
    const own = this.events.filter((e) => e.camera === row.name);
    const near = own.map((e) => [Math.abs(this.x(seconds(e.start), w) - x), e]).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 20) this.choose(near[1]);
  }
}
