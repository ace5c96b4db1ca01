// Review: what happened, one event after the other, judged by one key each.

import { MOST_EVENTS, events, get, path, post } from "./api.js";
import { Card } from "./card.js";
import { Detail } from "./detail.js";
import { el, field, fill, say, select } from "./dom.js";
import { bounds, csv, day, iso, plural, seconds, shifted } from "./format.js";
import { learned } from "./learned.js";
import { Timeline } from "./timeline.js";
import { now } from "./trace.js";
import { VERDICTS, action, empty, head, mayChange, sorry, toast } from "./ui.js";

const PAGE = 100;

export function open(main, app, name, query) {
  const page = new Review(main, app, query);
  return { title: "Review", close: () => page.close(), key: (event) => page.key(event) };
}

class Review {
  constructor(main, app, query) {
    Object.assign(this, { app, events: [], cards: new Map(), chosen: query.get("event"), undos: [], cursor: null });
    this.filter = { camera: query.get("camera") ?? "", verdict: query.get("verdict") ?? "", severity: query.get("severity") ?? "", day: query.get("day") ?? "" };
    this.count = el("p", { class: "sum", role: "status" });
    this.list = el("ol", { class: "cards", "aria-label": "Events, the newest first" });
    this.more = action("Older events", () => this.load({ older: true }), { reads: true, hidden: true });
    this.detail = new Detail((verdict, note) => this.judge(verdict, note));
    this.timeline = new Timeline((event) => this.choose(event.id, true));
    main.append(head("Review", this.count), this.filters(),
      el("section", { class: "panel", "aria-label": "The day" }, this.timeline.node,
        el("p", { class: "fine legend" }, [["gap", "nobody looked"], ["line", "threshold"], ["mark", "event"]].map(([key, words]) => el("span", null, el("i", { class: `key-${key}` }), words)))),
      el("div", { class: "review" }, el("div", { class: "list" }, this.list, this.more), this.detail.node),
      learned(app, () => this.load()));
    this.stops = [
      app.live.on("event", ({ event }) => this.fresh(event)),
      app.live.on("back", () => this.load({ old: true }).catch(sorry)),
    ];
    this.start();
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.timeline.close();
    this.detail.close();
    this.cards.forEach((card) => card.stop());
  }

  // An event that the address names decides which day is shown, and is on the list wherever it
  // stands among those of its day.
  async start() {
    const named = this.chosen && await get(path(["events", this.chosen])).catch((error) => { sorry(error); return null; });
    this.filter.day ||= day(named?.start ?? now());
    this.date.value = this.filter.day;
    await this.load();
    if (named) this.fresh(named);
    // Where there is room beside the list, the newest is shown at once.
    const first = matchMedia("(min-width: 1001px)").matches ? this.events[0]?.id : null;
    const shown = this.events.some((e) => e.id === named?.id) ? named.id : first;
    if (shown) this.choose(shown, false);
  }

  filters() {
    const names = [...this.app.cameras.keys()];
    const chosen = (key, choices) => {
      const node = select(choices, this.filter[key], () => { this.filter[key] = node.value; this.load().catch(sorry); });
      return node;
    };
    this.date = el("input", { type: "date", required: true, onchange: () => this.toDay(this.date.value) });
    const step = (by, label, text) => el("button", { type: "button", "aria-label": label, onclick: () => this.toDay(shifted(this.filter.day, by)) }, text);
    return el("form", { class: "filters", "aria-label": "Filters", onsubmit: (e) => e.preventDefault() },
      el("div", { class: "days" }, step(-1, "The day before", "‹"), field("Day", this.date), step(1, "The day after", "›")),
      field("Camera", chosen("camera", [["", "all"], ...names.map((n) => [n, n])])),
      field("Verdict", chosen("verdict", [["", "all"], ["none", "not judged"], ["real", "real"], ["false_alarm", "false alarm"]])),
      field("Severity", chosen("severity", [["", "all"], ["alert", "alert"], ["detection", "detection"]])),
      this.exports());
  }

  toDay(text) {
    if (!text) return;
    this.filter.day = this.date.value = text;
    this.load().catch(sorry);
  }

  // What the API is asked for: the events of the day that pass the filters.
  get query() {
    const [from, to] = bounds(this.filter.day);
    const { camera, verdict, severity } = this.filter;
    return { camera, verdict, severity, since: iso(from), until: iso(to) };
  }

  // older: one more page. old: all that is shown may lack what happened since, the strips too.
  async load({ older = false, old = false } = {}) {
    const mine = (this.turn = (this.turn ?? 0) + 1);
    if (!older) {
      this.cursor = null;
      const { camera } = this.filter;
      const names = camera ? [camera] : [...this.app.cameras.keys()];
      this.timeline.show(names, this.filter.day, old);
    }
    const limit = old ? Math.min(MOST_EVENTS, Math.max(PAGE, this.events.length)) : PAGE;
    const found = await get(path(["events"], { ...this.query, limit, cursor: this.cursor }));
    if (mine !== this.turn) return;
    const kept = older ? this.events.filter((e) => !found.events.some((f) => f.id === e.id)) : [];
    this.events = newest([...kept, ...found.events]);
    this.cursor = found.cursor;
    this.more.hidden = !found.cursor;
    this.show();
  }

  // The same of events that come one by one.
  wanted(e) {
    const [from, to] = bounds(this.filter.day);
    const { camera, verdict, severity } = this.filter;
    return (!camera || e.camera === camera) && (!severity || e.severity === severity)
      && (!verdict || (e.verdict ?? "none") === verdict) && seconds(e.start) < to && (e.end === null || seconds(e.end) >= from);
  }

  fresh(event) {
    const at = this.events.findIndex((e) => e.id === event.id);
    if (at >= 0) this.events[at] = event;
    else if (this.filter.day && this.wanted(event)) {
      this.events = newest([event, ...this.events]);
    } else return;
    this.show();
    if (event.id === this.chosen) this.detail.show(event);
  }

  show() {
    const old = this.cards;
    this.cards = new Map(this.events.map((e) => {
      const kept = old.get(e.id);
      return [e.id, kept && JSON.stringify(kept.event) === JSON.stringify(e) ? kept : new Card(e, () => this.choose(e.id, true))];
    }));
    const focused = [...old.entries()].find(([, card]) => card.button === document.activeElement)?.[0];
    const nodes = [...this.cards.values()].map((c) => c.node);
    if (nodes.length !== this.list.children.length || nodes.some((n, i) => n !== this.list.children[i])) {
      // A node that is moved is not told that the pointer left it.
      old.forEach((card) => card.stop());
      fill(this.list, nodes);
      this.cards.get(focused)?.button.focus({ preventScroll: true });
    }
    if (!this.events.length) fill(this.list, el("li", { class: "none" }, empty("No event of this kind on this day.")));
    for (const [id, card] of this.cards) card.choose(id === this.chosen);
    this.timeline.mark(this.events, this.chosen);
    say(this.count, counted(this.events, this.cursor));
  }

  choose(id, focus) {
    const event = this.events.find((e) => e.id === id);
    if (!event) return;
    this.chosen = id;
    for (const [key, card] of this.cards) card.choose(key === id);
    const button = this.cards.get(id).button;
    if (focus) button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "nearest" });
    this.detail.show(event);
    // On a telephone what was chosen is below the list.
    if (focus && matchMedia("(max-width: 1000px)").matches) this.detail.node.scrollIntoView({ block: "start" });
    this.timeline.mark(this.events, id);
    this.app.keep(`#/review?${new URLSearchParams({ ...Object.fromEntries(Object.entries(this.filter).filter(([, v]) => v)), event: id })}`);
  }

  step(by) {
    const at = this.events.findIndex((e) => e.id === this.chosen);
    const next = at < 0 ? (by > 0 ? 0 : this.events.length - 1) : at + by;
    if (this.events[next]) this.choose(this.events[next].id, true);
    else if (this.events.length) toast(by > 0 ? "That was the oldest of these." : "That was the newest of these.");
    return true;
  }

  key(event) {
    const done = {
      j: () => this.step(1), k: () => this.step(-1), u: () => this.undo(),
      r: () => this.quick("real"), f: () => this.quick("false_alarm"),
      p: () => { if (this.detail.event?.clip) this.detail.play(); return true; },
    }[event.key.toLowerCase()];
    return !event.shiftKey && done ? done() : false;
  }

  quick(verdict) {
    if (!this.detail.event) toast("Choose an event first: J.");
    else if (!mayChange()) toast("You may look, but not judge: this needs the admin's token.");
    else this.judge(verdict, this.detail.note.value).catch(sorry);
    return true;
  }

  undo() {
    const last = this.undos.at(-1);
    if (!last && !this.detail.event?.verdict) toast("There is no verdict to take back.");
    else if (last) this.takeBack().catch(sorry);
    else this.judge(null, this.detail.note.value).catch(sorry);
    return true;
  }

  async judge(verdict, note) {
    const { id, verdict: before, note: noteBefore } = this.detail.event;
    const event = await post(path(["events", id, "verdict"]), { verdict, note });
    this.undos.push({ id, verdict: before, note: noteBefore });
    this.fresh(event);
    this.app.alarms.take(event, false);
    const words = verdict ? `${VERDICTS[verdict]}.` : "The verdict is taken back.";
    toast(`${words} ${event.learned ?? ""}`, { label: "Undo (U)", run: () => this.takeBack().catch(sorry) });
  }

  async takeBack() {
    const last = this.undos.pop();
    if (!last) return;
    const event = await post(path(["events", last.id, "verdict"]), { verdict: last.verdict, note: last.note });
    this.fresh(event);
    toast(last.verdict ? `It is "${VERDICTS[last.verdict]}" again.` : "The verdict is taken back.");
  }

  exports() {
    // All that pass the filters, though only the first pages of them are shown.
    const save = async (kind, type, written) => {
      const all = this.cursor ? await events(this.query) : this.events;
      const address = URL.createObjectURL(new Blob([written(all)], { type }));
      el("a", { href: address, download: `oddframe-${this.filter.day}.${kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    };
    return el("p", { class: "row exports" }, "Save these events:",
      action("CSV", () => save("csv", "text/csv", csv), { reads: true }),
      action("JSON", () => save("json", "application/json", (all) => `${JSON.stringify(all, null, 1)}\n`), { reads: true }));
  }
}

const newest = (all) => all.sort((a, b) => seconds(b.start) - seconds(a.start));

// more: of the day there are older ones, which are not among these.
export function counted(all, more) {
  if (!all.length) return "No event.";
  const open = all.filter((e) => !e.verdict).length;
  return more ? `${all.length} events and more, of these ${open} not judged.` : `${plural(all.length, "event")}, ${open} not judged.`;
}
