// A small line plot: lines with breaks, bands, and a threshold that can be dragged or moved by keys.
//
//   const plot = new Plot({label: "Score", time: true, threshold: {value: 3, onmove, onset}});
//   parent.append(plot.node);
//   plot.set({lines: [{ink: "score", points: [[x, y or null], …]}], bands: [{from, to, kind}], x: [a, b]});
//
// What is drawn is also said: `plot.node` has the words of `describe(...)` for screen readers.

import { el } from "./dom.js";
import { clock, number } from "./format.js";
import { hatch, ink, onTheme, pen } from "./ink.js";

const LEFT = 44, RIGHT = 8, TOP = 10, BOTTOM = 22; // px around the field

// Round steps that give about `count` ticks between two numbers.
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9) + 0; i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// The same for times in epoch seconds, on round minutes and hours of the viewer's own clock.
export function timeTicks(low, high, count, zoneMinutes = new Date(low * 1000).getTimezoneOffset()) {
  const step = STEPS_S.find((s) => s >= (high - low) / Math.max(1, count)) ?? 86400;
  const shift = zoneMinutes * 60;
  const found = [];
  for (let t = Math.ceil((low - shift) / step) * step + shift; t <= high; t += step) found.push(t);
  return found;
}

// What lines show, in words: for those who don't see them.
export function describe(label, lines, options = {}) {
  const parts = lines.map(({ name, points }) => {
    const seen = points.filter(([, y]) => y !== null && Number.isFinite(y));
    if (!seen.length) return `${name ? `${name}: ` : ""}nothing yet`;
    const top = seen.reduce((a, b) => (b[1] > a[1] ? b : a));
    const where = options.time ? ` at ${clock(top[0])}` : ` at ${number(top[0])}`;
    return `${name ? `${name}: ` : ""}last ${number(seen.at(-1)[1])}, highest ${number(top[1])}${where}`;
  });
  if (options.threshold) parts.push(`threshold ${number(options.threshold)}`);
  return `${label}: ${parts.join("; ")}.`;
}

export class Plot {
  constructor({ label, time = false, log = false, unit = "", threshold = null, small = false }) {
    Object.assign(this, { label, time, log, unit, data: { lines: [] }, dirty: false });
    this.canvas = el("canvas", { role: "img", "aria-label": label });
    this.tip = el("output", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.node = el("div", { class: small ? "plot small" : "plot" }, this.canvas, this.tip);
    if (threshold) this.addThreshold(threshold);
    this.canvas.addEventListener("pointermove", (e) => this.point(e.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.sized = new ResizeObserver(() => this.ask());
    this.sized.observe(this.canvas);
    this.themed = onTheme(() => this.ask());
  }

  close() {
    this.sized.disconnect();
    this.themed();
  }

  set(data) {
    this.data = { bands: [], ...data };
    this.ask();
  }

  // Draw once before the next picture of the screen, however often it is asked for.
  ask() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => {
      this.dirty = false;
      this.draw();
    });
  }

  addThreshold({ value, onmove, onset }) {
    Object.assign(this, { threshold: value, onmove, onset });
    this.handle = el("div", {
      class: "threshold", role: "slider", tabindex: "0", "aria-orientation": "vertical",
      "aria-label": "Alarm threshold", onkeydown: (e) => this.press(e),
      onpointerdown: (e) => this.grab(e),
    }, el("span"));
    this.node.append(this.handle);
  }

  // Move the threshold; `settled` where that is what was meant, not a part of a movement.
  move(value, settled) {
    this.threshold = Math.max(1e-6, Number(value.toPrecision(4)));
    this.sayThreshold();
    this.ask();
    this.onmove?.(this.threshold);
    if (settled) this.onset?.(this.threshold);
  }

  // Set it from outside: nobody is told.
  setThreshold(value) {
    if (this.held) return;
    this.threshold = value;
    this.ask();
  }

  press(event) {
    const factor = { ArrowUp: 1.01, ArrowRight: 1.01, ArrowDown: 1 / 1.01, ArrowLeft: 1 / 1.01, PageUp: 1.1, PageDown: 1 / 1.1 }[event.key];
    const ends = { Home: this.low() || this.high() / 100, End: this.high() }[event.key];
    if (!factor && ends === undefined) return;
    event.preventDefault();
    this.move(factor ? this.threshold * factor : ends, true);
  }

  grab(event) {
    event.preventDefault();
    this.handle.focus();
    this.handle.setPointerCapture(event.pointerId);
    this.held = [this.low(), this.high()]; // the scale stands still meanwhile
    const box = this.canvas.getBoundingClientRect();
    const to = (e, settled) => {
      const part = (e.clientY - box.top - TOP) / (box.height - TOP - BOTTOM);
      const [low, high] = this.held;
      this.move(high - Math.min(1, Math.max(0, part)) * (high - low), settled);
    };
    const stop = (e) => {
      this.handle.onpointermove = this.handle.onpointerup = this.handle.onpointercancel = null;
      to(e, true);
      this.held = null;
      this.ask();
    };
    this.handle.onpointermove = (e) => to(e, false);
    this.handle.onpointerup = this.handle.onpointercancel = stop;
  }

  values() {
    return this.data.lines.flatMap((l) => l.points.map((p) => p[1])).filter((y) => y !== null && Number.isFinite(y));
  }

  low() {
    if (this.held) return this.held[0];
    const least = this.values().reduce((a, b) => Math.min(a, b), this.log ? Infinity : 0);
    return Number.isFinite(least) ? least : this.log ? 0.1 : 0;
  }

  high() {
    if (this.held) return this.held[1];
    const most = this.values().reduce((a, b) => Math.max(a, b), this.log ? 0 : this.data.least ?? 0);
    return Math.max(most * 1.08, (this.threshold ?? 0) * 1.35, this.low() + 1e-9) || 1;
  }

  // Where values are on the canvas.
  scales() {
    const w = this.canvas.clientWidth - LEFT - RIGHT, h = this.canvas.clientHeight - TOP - BOTTOM;
    const [low, high] = [this.low(), this.high()];
    const xs = this.data.lines.flatMap((l) => [l.points[0]?.[0], l.points.at(-1)?.[0]]).filter(Number.isFinite);
    const [a, b] = this.data.x ?? [Math.min(...xs), Math.max(...xs)];
    const f = this.log ? Math.log : (v) => v;
    return {
      w, h, a, b, low, high,
      x: (v) => LEFT + ((v - a) / (b - a || 1)) * w,
      y: (v) => TOP + h - ((f(v) - f(low)) / (f(high) - f(low) || 1)) * h,
    };
  }

  draw() {
    const on = pen(this.canvas);
    if (!on) return;
    const s = this.scales();
    on.font = `11px ${getComputedStyle(this.node).fontFamily}`;
    this.drawGrid(on, s);
    if (s.a < s.b) {
      on.save();
      on.beginPath();
      on.rect(LEFT, TOP - 4, s.w, s.h + 4);
      on.clip();
      for (const band of this.data.bands) this.drawBand(on, s, band);
      for (const line of this.data.lines) drawLine(on, s, line);
      on.restore();
    }
    if (this.handle) this.placeThreshold(s);
    const words = describe(this.label, this.data.lines, this);
    if (this.canvas.getAttribute("aria-label") !== words) this.canvas.setAttribute("aria-label", words);
  }

  drawGrid(on, s) {
    on.strokeStyle = ink("rule");
    on.fillStyle = ink("soft");
    on.lineWidth = 1;
    on.textBaseline = "middle";
    on.textAlign = "right";
    const rows = this.log ? [s.low, Math.sqrt(s.low * s.high), s.high] : ticks(s.low, s.high, s.h / 34);
    for (const v of rows) {
      const y = Math.round(s.y(v)) + 0.5;
      on.beginPath();
      on.moveTo(LEFT, y);
      on.lineTo(LEFT + s.w, y);
      on.stroke();
      on.fillText(number(v, this.log ? 2 : 3), LEFT - 6, y);
    }
    if (!(s.a < s.b)) return;
    on.textAlign = "center";
    on.textBaseline = "top";
    const fine = s.b - s.a < 600;
    for (const v of this.time ? timeTicks(s.a, s.b, s.w / 80) : ticks(s.a, s.b, s.w / 70)) {
      const x = s.x(v);
      if (x < LEFT + 18 || x > LEFT + s.w - 18) continue;
      on.fillText(this.time ? clock(v).slice(0, fine ? 8 : 5) : number(v, 4), x, TOP + s.h + 7);
    }
  }

  drawBand(on, s, { from, to, kind }) {
    const x = s.x(from), w = Math.max(2, s.x(to) - x);
    if (kind === "gap") hatch(on, x, TOP, w, s.h);
    else {
      on.fillStyle = ink("alarm-wash");
      on.fillRect(x, TOP, w, s.h);
    }
  }

  placeThreshold(s) {
    this.handle.style.top = `${s.y(Math.min(this.threshold, s.high))}px`;
    this.handle.firstChild.textContent = number(this.threshold, 4);
    this.sayThreshold();
  }

  // For screen readers: at once, not when it is drawn.
  sayThreshold() {
    for (const [name, value] of [["valuemin", 0], ["valuemax", number(this.high(), 4)], ["valuenow", number(this.threshold, 4)]]) {
      this.handle.setAttribute(`aria-${name}`, value);
    }
  }

  // The values under the pointer.
  point(x) {
    const s = this.scales();
    const at = x === null ? null : s.a + ((x - LEFT) / s.w) * (s.b - s.a);
    const line = this.data.lines.find((l) => l.points.length);
    this.tip.hidden = at === null || !line || at < s.a || at > s.b;
    if (this.tip.hidden) return;
    const near = (points) => points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
    const here = near(line.points);
    const rows = this.data.lines.filter((l) => l.points.length).map((l) => {
      const y = near(l.points)[1];
      return `${l.name ? `${l.name} ` : ""}${y === null ? "no score" : number(y)}${this.unit}`;
    });
    this.tip.textContent = [this.time ? clock(here[0]) : number(here[0], 5), ...rows].join("  ");
    this.tip.classList.toggle("left", x > LEFT + s.w / 2);
    this.tip.style.insetInlineStart = `${s.x(here[0])}px`;
  }
}

function drawLine(on, s, { ink: name, points, thick = 1.6 }) {
  on.strokeStyle = ink(name);
  on.lineWidth = thick;
  on.lineJoin = "round";
  on.beginPath();
  let drawn = false; // a null lifts the pen
  for (const [x, y] of points) {
    if (y === null || !Number.isFinite(y)) drawn = false;
    else if (drawn) on.lineTo(s.x(x), s.y(y));
    else {
      on.moveTo(s.x(x), s.y(y));
      drawn = true;
    }
  }
  on.stroke();
}

// Levels of the last minutes in a strip, the threshold dashed: 2 is as high as it goes.
export function spark(canvas, points, from, to) {
  const on = pen(canvas);
  if (!on) return;
  const w = canvas.clientWidth, h = canvas.clientHeight;
  const y = (v) => h - 2 - (Math.min(2, Math.max(0, v)) / 2) * (h - 4);
  on.strokeStyle = ink("soft");
  on.setLineDash([3, 3]);
  on.globalAlpha = 0.6;
  on.beginPath();
  on.moveTo(0, y(1));
  on.lineTo(w, y(1));
  on.stroke();
  on.setLineDash([]);
  on.globalAlpha = 1;
  drawLine(on, { x: (t) => ((t - from) / (to - from)) * w, y }, { ink: "score", points, thick: 1.4 });
  // What is over the threshold once more, in the colour of alarms.
  on.save();
  on.beginPath();
  on.rect(0, 0, w, y(1));
  on.clip();
  drawLine(on, { x: (t) => ((t - from) / (to - from)) * w, y }, { ink: "alarm", points, thick: 2 });
  on.restore();
}
