// Zones and masks of a camera, drawn on its picture with a pointer or with keys alone.
//
// Points are kept as parts of the picture, 0..1, whatever they came in, and saved so. A shape that
// is being drawn has a cross: the arrow keys move it, Enter puts a point, C closes the shape.

import { get, path, put } from "./api.js";
import { el, field, fill, say, select } from "./dom.js";
import { number } from "./format.js";
import { action, empty, form, toast } from "./ui.js";

const STEP = 0.005, FAR = 10; // of the picture, by an arrow key; times as far with Shift
const NOUN = { zone: "zone", mask: "mask" };

const inside = (v) => Math.min(1, Math.max(0, Math.round(v * 1e4) / 1e4));

// Shapes of the API as the editor has them.
export function relative(shapes, kind, width, height) {
  return (shapes ?? []).map((s) => ({
    kind, name: s.name ?? "", severity: s.severity, alert_level: s.alert_level ?? null,
    points: s.points.map(([x, y]) => (s.unit === "pixels" ? [inside(x / width), inside(y / height)] : [x, y])),
  }));
}

// And as the API takes them.
export function plain(shapes, kind) {
  return shapes.filter((s) => s.kind === kind).map((s) => kind === "zone"
    ? { name: s.name, points: s.points, unit: "relative", severity: s.severity ?? "alert", alert_level: s.alert_level }
    : { name: s.name, points: s.points, unit: "relative" });
}

export class Places {
  constructor(name, stage) {
    Object.assign(this, { name, stage, shapes: [], kept: "[]", chosen: null, drawing: null, editing: false });
    this.handles = el("div", { class: "handles" });
    this.cross = el("div", { class: "cross", hidden: true });
    stage.field.append(this.handles, this.cross);
    this.panel = el("div", { class: "places" });
    this.said = el("p", { class: "unseen", role: "status" });
    this.node = el("div", null, this.panel, this.said);
    stage.field.addEventListener("pointerdown", (e) => this.pointed(e));
    stage.field.addEventListener("keydown", (e) => this.pressed(e));
    this.show();
  }

  async load() {
    const found = await get(path(["cameras", this.name, "places"]));
    this.stage.size(found.width, found.height);
    const inPixels = [...found.zones, ...found.mask].some((s) => s.unit === "pixels");
    this.blind = inPixels && !(found.width > 0 && found.height > 0);
    this.shapes = [...relative(found.zones, "zone", found.width, found.height), ...relative(found.mask, "mask", found.width, found.height)];
    this.kept = JSON.stringify(this.shapes);
    this.show();
  }

  get changed() {
    return this.editing && (this.drawing !== null || JSON.stringify(this.shapes) !== this.kept);
  }

  show() {
    const all = this.drawing ? [...this.shapes, { ...this.drawing, open: true, chosen: true }] : this.shapes;
    this.stage.showShapes(all.map((s) => ({ ...s, chosen: s.chosen || s === this.chosen })));
    this.stage.node.classList.toggle("drawing", this.drawing !== null);
    this.showHandles();
    this.showPanel();
  }

  // A button on every point of the chosen shape.
  showHandles() {
    const points = this.drawing ? this.drawing.points : this.chosen?.points ?? [];
    const held = [...this.handles.children].indexOf(document.activeElement);
    fill(this.handles, points.map((p, i) => {
      const node = el("button", {
        type: "button", class: "handle", tabindex: this.drawing ? "-1" : "0",
        "aria-label": `Point ${i + 1} of ${points.length}, ${said(p)}`,
        onpointerdown: (e) => this.grab(e, i),
      });
      node.style.left = `${100 * p[0]}%`;
      node.style.top = `${100 * p[1]}%`;
      return node;
    }));
    this.handles.children[held]?.focus();
    this.cross.hidden = !this.drawing;
    if (this.drawing) Object.assign(this.cross.style, { left: `${100 * this.drawing.at[0]}%`, top: `${100 * this.drawing.at[1]}%` });
  }

  showPanel() {
    const state = JSON.stringify([this.editing, this.drawing?.kind, this.drawing?.points.length > 2, this.shapes.length, this.shapes.indexOf(this.chosen)]);
    if (state === this.state) return;
    this.state = state;
    if (this.drawing) return void fill(this.panel, this.drawPanel());
    fill(this.panel, this.editing ? this.editPanel() : this.viewPanel());
  }

  viewPanel() {
    const named = (kind) => this.shapes.filter((s) => s.kind === kind).map((s) => s.name || "without a name").join(", ") || "none";
    return el("div", { class: "row" },
      el("p", null, el("b", null, "Zones: "), named("zone"), ". ", el("b", null, "Masks: "), named("mask"), "."),
      action("Edit zones and masks", () => this.edit(), { class: "edit" }));
  }

  edit() {
    // Points in pixels are parts of a picture whose size is known, or they are nowhere.
    if (this.blind) throw new Error("Zones or masks are in pixels, and the camera gave no picture yet: wait for one, and load this page again.");
    this.editing = true;
    this.chosen = this.shapes[0] ?? null;
    this.show();
    this.panel.querySelector("button")?.focus();
  }

  drawPanel() {
    return [
      el("p", null, `Click the corners of the ${NOUN[this.drawing.kind]} on the picture, or move the cross with the arrow keys and put each by Enter.`),
      el("div", { class: "row" },
        el("button", { type: "button", class: "primary", disabled: this.drawing.points.length < 3, onclick: () => this.finish() }, "Close the shape (C)"),
        el("button", { type: "button", onclick: () => this.giveUp() }, "Give it up (Esc)")),
    ];
  }

  editPanel() {
    const list = this.shapes.map((s, i) => el("li", null, el("button", {
      type: "button", class: "choose", "aria-pressed": String(s === this.chosen),
      onclick: () => { this.chosen = s; this.show(); this.panel.querySelectorAll("button.choose")[i].focus(); },
    }, s.name || "without a name", el("small", null, s.kind === "zone" ? `zone, ${s.severity ?? "alert"}` : "mask"))));
    return form({ class: "editor" }, [
      el("div", { class: "row" },
        el("button", { type: "button", onclick: () => this.start("zone") }, "New zone"),
        el("button", { type: "button", onclick: () => this.start("mask") }, "New mask")),
      list.length ? el("ul", { class: "shapes-list", "aria-label": "Zones and masks" }, list) : empty("None yet. Events count for more in a zone; a mask is never scored."),
      this.chosen ? this.fields(this.chosen) : el("div"),
    ], "Save", () => this.save(), el("button", { type: "button", onclick: () => this.cancel() }, "Cancel"));
  }

  fields(shape) {
    const kind = NOUN[shape.kind];
    const name = el("input", { type: "text", value: shape.name, maxlength: "100", required: shape.kind === "zone", oninput: () => {
      shape.name = name.value;
      this.stage.showShapes(this.shapes.map((s) => ({ ...s, chosen: s === shape })));
    } });
    const severity = select([["alert", "alert: look now"], ["detection", "detection: only named"]], shape.severity ?? "alert", () => { shape.severity = severity.value; });
    const level = el("input", { type: "number", step: "any", min: "0.01", max: "100", value: shape.alert_level ?? "", oninput: () => {
      shape.alert_level = level.value === "" ? null : Number(level.value);
    } });
    return el("fieldset", null, el("legend", null, `This ${kind}`),
      field("Name", name),
      shape.kind === "zone" && [field("What touches it is", severity), field("Alert from level", level, "Empty: as everywhere.")],
      el("button", { type: "button", class: "danger", onclick: () => this.remove(shape) }, `Delete this ${kind}`));
  }

  start(kind) {
    const number = this.shapes.filter((s) => s.kind === kind).length + 1;
    this.chosen = null;
    this.drawing = { kind, name: kind === "zone" ? `zone ${number}` : "", severity: kind === "zone" ? "alert" : undefined, alert_level: null, points: [], at: [0.5, 0.5] };
    this.stage.field.tabIndex = 0;
    this.stage.field.setAttribute("role", "application");
    this.stage.field.setAttribute("aria-label", `Draw a ${kind}: arrow keys move the cross, Enter puts a point, C closes the shape, Escape gives it up`);
    this.show();
    this.stage.field.focus();
  }

  stopDrawing() {
    this.drawing = null;
    for (const name of ["tabindex", "role", "aria-label"]) this.stage.field.removeAttribute(name);
  }

  finish() {
    if (this.drawing.points.length < 3) return this.tell("A shape has three points at least.");
    const { at, ...shape } = this.drawing;
    this.stopDrawing();
    this.shapes.push(shape);
    this.chosen = shape;
    this.show();
    this.panel.querySelector("fieldset input")?.focus();
  }

  giveUp() {
    this.stopDrawing();
    this.show();
    this.panel.querySelector("button")?.focus();
  }

  remove(shape) {
    this.shapes = this.shapes.filter((s) => s !== shape);
    this.chosen = null;
    this.show();
    this.panel.querySelector("button")?.focus();
    this.tell(`The ${shape.kind} is gone; Cancel brings it back.`);
  }

  cancel() {
    this.shapes = JSON.parse(this.kept);
    this.close();
  }

  close() {
    this.stopDrawing();
    this.editing = false;
    this.chosen = null;
    this.show();
    this.panel.querySelector("button")?.focus();
  }

  async save() {
    const zones = plain(this.shapes, "zone"), mask = plain(this.shapes, "mask");
    const before = JSON.parse(this.kept);
    const differs = (kind, now) => JSON.stringify(plain(before, kind)) !== JSON.stringify(now);
    if (differs("zone", zones)) await put(path(["cameras", this.name, "zones"]), { zones });
    if (differs("mask", mask)) await put(path(["cameras", this.name, "mask"]), { mask });
    this.kept = JSON.stringify(this.shapes);
    this.close();
    toast(`Zones and masks of ${this.name} are saved and in force.`);
  }

  tell(text) {
    say(this.said, text);
  }

  // Where a pointer is, as parts of the picture.
  at(event) {
    const box = this.stage.field.getBoundingClientRect();
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  pointed(event) {
    if (!this.drawing || event.target.classList.contains("handle")) return;
    event.preventDefault();
    this.stage.field.focus();
    this.drawing.at = this.at(event);
    this.putPoint();
  }

  putPoint() {
    this.drawing.points.push([...this.drawing.at]);
    this.show();
    this.tell(`Point ${this.drawing.points.length} at ${said(this.drawing.at)}.`);
  }

  grab(event, i) {
    if (this.drawing) return i === 0 ? this.finish() : undefined; // the first point closes the shape
    event.preventDefault();
    const handle = this.handles.children[i];
    handle.focus();
    const move = (e) => { this.chosen.points[i] = this.at(e); this.show(); };
    const stop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
    };
    // On the window: the handles are made anew while it moves.
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const i = [...this.handles.children].indexOf(event.target);
    if (!this.drawing && i < 0) return;
    const step = STEP * (event.shiftKey ? FAR : 1);
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    const did = by ? this.nudge(i, by) : this.drawing ? this.drawKey(event.key) : this.pointKey(event.key, i);
    if (did !== false) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  nudge(i, [dx, dy]) {
    const from = this.drawing ? this.drawing.at : this.chosen.points[i];
    const to = [inside(from[0] + dx), inside(from[1] + dy)];
    if (this.drawing) this.drawing.at = to;
    else this.chosen.points[i] = to;
    this.show();
    this.tell(said(to));
  }

  drawKey(key) {
    if (key === "Enter" || key === " ") this.putPoint();
    else if (key === "c" || key === "C") this.finish();
    else if (key === "Escape") this.giveUp();
    else if (key === "Backspace" || key === "Delete") { this.drawing.points.pop(); this.show(); }
    else return false;
  }

  pointKey(key, i) {
    const points = this.chosen.points;
    if (key === "Enter") {
      const [a, b] = [points[i], points[(i + 1) % points.length]];
      points.splice(i + 1, 0, [inside((a[0] + b[0]) / 2), inside((a[1] + b[1]) / 2)]);
    } else if ((key === "Delete" || key === "Backspace") && points.length > 3) points.splice(i, 1);
    else if (key === "Delete" || key === "Backspace") this.tell("A shape has three points at least.");
    else return false;
    this.show();
    this.handles.children[key === "Enter" ? i + 1 : Math.min(i, points.length - 1)]?.focus();
  }
}

const said = ([x, y]) => `${number(100 * x)} % from the left, ${number(100 * y)} % from the top`;
