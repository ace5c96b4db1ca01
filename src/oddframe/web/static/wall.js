// The wall: all cameras at once. Tiles keep their places, so that an eye finds them.

import { get, path, put } from "./api.js";
import { el, fill, say } from "./dom.js";
import { mood, number, plural, seconds, when } from "./format.js";
import { onTheme } from "./ink.js";
import { draw } from "./live.js";
import { spark } from "./plot.js";
import { Trace, now } from "./trace.js";
import { action, badges, head, moodTag, sorry, toast } from "./ui.js";

const BACK_S = 120; // of the sparklines
const OLD_S = 5; // boxes
const MOST = 64; // cameras whose pictures one page may ask for
const NEAR = "200px"; // of the screen: so far pictures come before they are looked at
const SCROLLS_MS = 150;

export function open(main, app) {
  const tiles = new Map();
  const list = el("ul", { class: "wall" });
  const sum = el("p", { class: "sum" });
  const near = new Set(); // cameras whose tiles are on the screen, or nearly
  let made = null, timer;
  main.append(head("Wall", sum), list);

  const ask = () => {
    const seen = [...tiles.keys()].filter((name) => near.has(name)), cameras = seen.slice(0, MOST);
    for (const [name, tile] of tiles) tile.crowded = seen.includes(name) && !cameras.includes(name);
    app.live.watch({ cameras, width: 480, fps: cameras.length > 8 ? 2 : 5, heat: false });
  };
  const sight = new IntersectionObserver((changed) => {
    for (const { target, isIntersecting } of changed) near[isIntersecting ? "add" : "delete"](target.dataset.camera);
    clearTimeout(timer);
    timer = setTimeout(ask, SCROLLS_MS);
  }, { rootMargin: NEAR });
  const update = () => {
    const names = [...app.cameras.keys()];
    if (names.join("\n") !== made) remake(names);
    for (const [name, camera] of app.cameras) tiles.get(name).update(camera);
    say(sum, summary([...app.cameras.values()]));
  };
  const remake = (names) => {
    made = names.join("\n");
    const old = new Map(tiles);
    tiles.clear();
    for (const name of names) tiles.set(name, old.get(name) ?? new Tile(name));
    fill(list, [...tiles.values()].map((t) => t.node));
    if (!names.length) fill(list, first());
    sight.disconnect(); // what is observed anew is told of at once
    near.clear();
    tiles.forEach((tile) => sight.observe(tile.node));
  };
  update();
  const stops = [
    app.live.on("cameras", () => {
      update();
      tiles.forEach((tile) => tile.add());
    }),
    app.live.on("state", (open) => open || tiles.forEach((tile) => tile.trace.lift())),
    app.live.on("back", () => tiles.forEach((tile) => tile.recent())),
    app.live.on("picture", (at, bitmap) => tiles.get(at.camera)?.picture(at, bitmap, app.alarms.of(at.camera))),
    onTheme(() => tiles.forEach((t) => t.line())),
  ];
  const close = () => {
    clearTimeout(timer);
    sight.disconnect();
    stops.forEach((stop) => stop());
  };
  return { title: "Wall", close };
}

function first() {
  return el("li", { class: "none panel" }, el("h2", null, "Nothing is watched yet"),
    el("p", null, "Give the address of a camera, record what is normal, let a model learn it, and say how many false alarms a day you can bear. All of it from here."),
    el("p", null, el("a", { class: "button primary", href: "#/setup" }, "Add the first camera")));
}

// "6 cameras: 1 in alarm, 1 down, 4 normal."
export function summary(cameras) {
  if (!cameras.length) return "";
  const words = { alarm: "in alarm", rising: "rising", down: "down", waits: "not scored now", normal: "normal" };
  const counts = Object.entries(words).map(([key, text]) => [cameras.filter((c) => mood(c).key === key).length, text]);
  return `${plural(cameras.length, "camera")}: ${counts.filter(([n]) => n).map(([n, text]) => `${n} ${text}`).join(", ")}.`;
}

class Tile {
  constructor(name) {
    this.name = name;
    this.trace = new Trace(BACK_S);
    this.canvas = el("canvas", { class: "picture" });
    this.note = el("p", { class: "note" });
    this.mood = el("p", { class: "moods" });
    this.spark = el("canvas", { class: "spark", role: "img" });
    this.badges = el("p", { class: "badges" });
    this.arm = action(el("span"), () => this.switch(), { class: "switch", role: "switch", "aria-label": `Alarms of ${name}` });
    this.node = el("li", { class: "tile", "data-camera": name },
      el("a", { class: "look", href: `#/camera/${encodeURIComponent(name)}`, tabindex: "-1", "aria-hidden": "true" }, this.canvas),
      this.note,
      el("div", { class: "bar" }, el("h2", null, el("a", { href: `#/camera/${encodeURIComponent(name)}` }, name)), this.mood),
      this.spark,
      el("div", { class: "bar" }, this.badges, this.arm));
    this.recent();
  }

  // The minutes before the page was here, or that it was cut off for.
  recent() {
    get(path(["cameras", this.name, "recent"], { seconds: BACK_S })).then((found) => {
      this.trace.fill(found.t_utc, found.level);
      this.line();
    }, () => null);
  }

  update(camera) {
    this.camera = camera;
    const { key, word } = mood(camera);
    this.node.dataset.mood = key;
    this.node.classList.toggle("disarmed", !camera.armed);
    const tag = `${key} ${word} ${number(camera.level, 2)}`;
    if (tag !== this.tag) fill(this.mood, moodTag(camera));
    this.tag = tag;
    const carried = badges(camera);
    if (carried.map((b) => b.textContent).join() !== [...this.badges.children].map((b) => b.textContent).join()) fill(this.badges, carried);
    this.arm.setAttribute("aria-checked", String(camera.armed));
    say(this.arm.firstChild, camera.armed ? "Alarms on" : "Alarms off");
    const lacks = this.crowded ? `A page shows ${MOST} pictures at once.` : this.seen ? "" : "No picture yet.";
    const why = camera.words || lacks;
    say(this.note, (key === "down" || camera.state === "ended") && this.seen ? `${why} Last picture: ${when(this.seen)}.` : why);
  }

  add() {
    this.trace.add(now(), this.camera.level);
    this.line();
  }

  // With the boxes of an open alarm: where to look is seen before anything is read.
  picture(at, bitmap, alarm) {
    draw(this.canvas, bitmap);
    const pen = this.canvas.getContext("2d");
    // They are of the alarm's highest frame, and what was there moves on.
    if (alarm && at.t_utc - seconds(alarm.peak) > OLD_S) pen.globalAlpha = 0.25;
    for (const b of alarm?.boxes ?? []) {
      const [x, y] = [bitmap.width / alarm.width, bitmap.height / alarm.height];
      pen.lineWidth = bitmap.width / 130;
      pen.strokeStyle = "#ff5a00";
      pen.strokeRect(b.x * x, b.y * y, b.w * x, b.h * y);
    }
    pen.globalAlpha = 1;
    this.seen = at.t_utc;
    this.node.classList.add("pictured");
    if (this.note.textContent === "No picture yet.") say(this.note, "");
  }

  line() {
    spark(this.spark, this.trace.points, now() - BACK_S, now());
    const top = this.trace.points.reduce((most, [, y]) => Math.max(most, y ?? 0), 0);
    const words = `Level of the last two minutes: highest ${number(top, 2)}; alarms from 1 on.`;
    if (this.spark.getAttribute("aria-label") !== words) this.spark.setAttribute("aria-label", words);
  }

  async switch() {
    const wanted = !this.camera.armed;
    const said = await put(path(["cameras", this.name, "armed"]), { armed: wanted });
    this.update({ ...this.camera, armed: said.armed });
    if (!said.armed) toast(`Alarms of ${this.name} are off.`, { label: "Undo", run: () => this.switch().catch(sorry) });
  }
}
