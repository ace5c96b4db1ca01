// A camera's picture with what lies over it: heat, boxes, zones and masks.
//
// The overlays are drawn in the picture's own parts (0..1 of width and height) or pixels, so that
// they fit whatever size the picture is shown in.

import { el, fill, svg } from "./dom.js";
import { draw, drawHeat } from "./live.js";

export class Stage {
  constructor(name) {
    this.canvas = el("canvas", { class: "picture", role: "img", "aria-label": `Live picture of ${name}` });
    this.heat = el("canvas", { class: "heat", "aria-hidden": "true" });
    this.boxes = svg("svg", { class: "boxes", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.shapes = svg("svg", { class: "shapes", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.names = el("div", { class: "names", "aria-hidden": "true" });
    this.note = el("p", { class: "note" });
    this.field = el("div", { class: "field-of-view" }, this.canvas, this.heat, this.shapes, this.boxes, this.names);
    this.node = el("div", { class: "stage" }, this.field, this.note);
    this.work = document.createElement("canvas");
  }

  // Size of the source's picture, before one is here.
  size(width, height) {
    if (width && height) this.field.style.aspectRatio = `${width} / ${height}`;
  }

  picture(bitmap) {
    this.size(bitmap.width, bitmap.height);
    draw(this.canvas, bitmap);
    this.node.classList.add("pictured");
    if (this.heat.width !== bitmap.width || this.heat.height !== bitmap.height) {
      Object.assign(this.heat, { width: bitmap.width, height: bitmap.height });
    }
  }

  showHeat(bitmap) {
    if (this.heat.width) drawHeat(this.heat, bitmap, this.work);
  }

  // strength: 0..1
  setHeat(strength) {
    this.heat.style.opacity = strength;
  }

  // The boxes of an event, of null: none. They are of its highest frame, and the picture moves on:
  // they grow faint (CSS) until there are others.
  showBoxes(event) {
    const key = JSON.stringify(event && [event.id, event.boxes]);
    if (key === this.boxed) return;
    this.boxed = key;
    if (!event) return void fill(this.boxes);
    this.boxes.setAttribute("viewBox", `0 0 ${event.width} ${event.height}`);
    fill(this.boxes, event.boxes.map((b) => svg("rect", { x: b.x, y: b.y, width: b.w, height: b.h })));
  }

  // shapes: [{kind: "zone" | "mask", name, points: [[x, y] 0..1, …], chosen}]
  showShapes(shapes) {
    fill(this.shapes, shapes.filter((s) => s.points.length > 1).map((s) =>
      svg(s.open ? "polyline" : "polygon", {
        class: `${s.kind} ${s.severity ?? ""} ${s.chosen ? "chosen" : ""}`, points: s.points.map((p) => p.join(",")).join(" "),
      })));
    fill(this.names, shapes.filter((s) => s.points.length > 2).map((s) => {
      const node = el("span", { class: s.kind }, s.name || s.kind);
      node.style.left = `${100 * Math.min(...s.points.map((p) => p[0]))}%`;
      node.style.top = `${100 * Math.min(...s.points.map((p) => p[1]))}%`;
      return node;
    }));
  }
}
