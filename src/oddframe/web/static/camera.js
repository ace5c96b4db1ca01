// One camera: its picture with heat and boxes, its score with the threshold, what it saw last.

import { get, path, put } from "./api.js";
import { el, facts, field, fill, refill, say } from "./dom.js";
import { lost, mood, number, seconds, when } from "./format.js";
import { Places } from "./places.js";
import { Stage } from "./stage.js";
import { Threshold } from "./threshold.js";
import { now } from "./trace.js";
import { action, badges, empty, head, load, moodTag, section, severityTag, sorry, time, verdictTag } from "./ui.js";

const LATEST = 8;

export function open(main, app, name) {
  const page = new CameraPage(main, app, name);
  return { title: name, close: () => page.close(), mayLeave: () => page.mayLeave() };
}

class CameraPage {
  constructor(main, app, name) {
    Object.assign(this, { app, name, stops: [] });
    const camera = app.cameras.get(name);
    if (!camera) {
      main.append(head(name), empty("There is no camera of this name. ", el("a", { href: "#/" }, "To the wall"), "."));
      return;
    }
    this.stage = new Stage(name);
    this.stage.size(camera.width, camera.height);
    this.mood = el("div", { class: "moods" });
    this.problem = el("p", { class: "problem", role: "status" });
    this.facts = el("div");
    this.latest = el("div");
    this.places = new Places(name, this.stage);
    this.scores = el("div");
    main.append(
      head(name, this.mood, this.armSwitch()), this.problem,
      el("div", { class: "two" },
        el("div", null,
          el("section", { class: "panel flush", "aria-label": "Picture" }, this.stage.node, this.heatSlider()),
          el("section", { class: "panel", "aria-label": "Zones and masks" }, this.places.node),
          section("Score and threshold", null, this.scores)),
        el("div", null, section("Latest events", null, this.latest), section("Camera", null, this.facts))));
    this.update(camera);
    this.places.load().catch(sorry);
    this.loadEvents();
    app.live.watch({ cameras: [name], width: 960, fps: 10, heat: true });
    this.stops = [
      app.live.on("cameras", () => {
        if (app.cameras.has(name)) this.heard(app.cameras.get(name));
        else say(this.problem, "This camera is watched no more.");
      }),
      app.live.on("state", (open) => open || this.threshold?.trace.lift()),
      app.live.on("back", () => {
        this.loadEvents();
        this.threshold?.recent();
      }),
      app.live.on("picture", (at, bitmap) => this.picture(at, bitmap)),
      app.live.on("heat", (at, bitmap) => at.camera === name && this.stage.showHeat(bitmap)),
      app.live.on("event", ({ event }) => event.camera === name && this.event(event)),
    ];
  }

  close() {
    for (const stop of this.stops) stop();
    this.threshold?.close();
  }

  mayLeave() {
    return !this.places?.changed || confirm("Zones or masks were changed and are not saved. Leave anyway?");
  }

  armSwitch() {
    this.arm = action(el("span"), async () => {
      const said = await put(path(["cameras", this.name, "armed"]), { armed: !this.camera.armed });
      this.update({ ...this.camera, armed: said.armed });
    }, { class: "switch", role: "switch", "aria-label": `Alarms of ${this.name}` });
    return this.arm;
  }

  heatSlider() {
    const shown = el("output");
    const slider = el("input", { type: "range", min: "0", max: "100", step: "5", value: "60", oninput: () => set() });
    const set = () => {
      this.stage.setHeat(slider.value / 100);
      say(shown, `${slider.value} %`);
    };
    set();
    return el("div", { class: "heat-row" }, field("Heat: what is unusual where", slider), shown);
  }

  update(camera) {
    this.camera = camera;
    const tag = JSON.stringify([mood(camera), number(camera.level, 2), camera.armed, camera.provisional, camera.stage, camera.unsettled]);
    if (tag !== this.tag) fill(this.mood, moodTag(camera), badges(camera));
    this.tag = tag;
    this.stage.node.dataset.mood = mood(camera).key;
    this.arm.setAttribute("aria-checked", String(camera.armed));
    say(this.arm.firstChild, camera.armed ? "Alarms on" : "Alarms off");
    say(this.problem, camera.words);
    say(this.stage.note, this.stage.node.classList.contains("pictured") ? "" : camera.state === "down" ? `No picture since ${when(camera.since)}.` : "No picture yet.");
    if (camera.stage === "unfitted" || camera.threshold === null) this.unfitted(camera);
    else this.scored(camera);
    this.showFacts(camera);
  }

  unfitted(camera) {
    if (this.scores.firstChild) return;
    const lacks = camera.stage === "unfitted" ? "Nothing scores this camera yet: it has no RUN. " : "Its RUN is not calibrated: no level, no alarm. ";
    fill(this.scores, empty(lacks, el("a", { href: `#/setup/${encodeURIComponent(this.name)}` }, `Go on with the setup of ${this.name}`), "."));
  }

  scored(camera) {
    if (!this.threshold) {
      this.threshold = new Threshold(this.name, camera);
      fill(this.scores, el("div", { class: "scored" }, this.threshold.plot.node, this.threshold.panel));
    }
    this.threshold.told(camera);
  }

  heard(camera) {
    this.update(camera);
    // Pictures carry the score; where none come, this does.
    if (Date.now() / 1000 - (this.pictured ?? 0) > 1.5) this.threshold?.add(now(), camera.score);
  }

  showFacts(c) {
    const left = c.stage === "unfitted" ? "" : lost(c.dropped);
    const rows = [
      ["Source", el("code", null, c.source)],
      ["State", [c.state, ", since ", time(c.since)]],
      ["Picture", c.width ? `${c.width} × ${c.height}, ${number(c.fps)} frames/s` : null],
      ["Scored", c.stage === "unfitted" ? null : `${number(c.scored_fps)} of ${number(c.wanted_fps)} frames/s`],
      ["From frame to score", c.latency_p95_s === null ? null : `95 % of the last minutes' within ${Math.round(c.latency_p95_s * 1000)} ms`],
      ["Not scored", left],
      ["Tries to connect again", c.reconnects || null],
      ["Model", c.model || null], ["RUN", c.run ? [c.run_name, " ", el("code", { title: "Hash of its weights" }, c.run)] : null],
      ["Light", c.light ?? null], ["Promise", c.threshold_text || c.promise || null],
    ];
    const key = JSON.stringify([c.source, c.state, c.since, c.width, number(c.fps, 2), number(c.scored_fps, 2), left, c.reconnects, c.model, c.run, c.run_name, c.light, c.threshold_text, c.promise]);
    if (key === this.known) return;
    this.known = key;
    fill(this.facts, facts(rows));
  }

  picture(at, bitmap) {
    if (at.camera !== this.name) return;
    this.stage.picture(bitmap);
    say(this.stage.note, "");
    this.pictured = Date.now() / 1000;
    this.threshold?.add(at.t_utc, at.raw);
  }

  async loadEvents() {
    const found = await load(this.latest, get(path(["events"], { camera: this.name, limit: LATEST })), () => null);
    if (!found) return;
    this.events = found.events;
    this.showEvents();
  }

  event(event) {
    this.events = [event, ...(this.events ?? []).filter((e) => e.id !== event.id)]
      .sort((a, b) => seconds(b.start) - seconds(a.start)).slice(0, LATEST);
    this.showEvents();
  }

  showEvents() {
    const openEvent = this.events.find((e) => e.end === null && e.state !== "end");
    this.stage.showBoxes(openEvent ?? null);
    if (this.threshold) {
      this.threshold.bands = this.events.map((e) => ({ kind: "event", from: seconds(e.start), to: e.end === null ? Date.now() / 1000 + 1e6 : seconds(e.end) }));
      this.threshold.draw();
    }
    refill(this.latest, this.events.length
      ? el("ol", { class: "latest" }, this.events.map((e) => el("li", null,
        el("a", { href: `#/review?event=${encodeURIComponent(e.id)}` }, time(e.start)),
        severityTag(e), el("span", { class: "why" }, e.reasons[0] ?? ""), verdictTag(e))))
      : empty("Nothing yet that was not normal."));
  }
}
