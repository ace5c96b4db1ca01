// The dialog with all keys, and the switch for those of one letter.

import { el, fill } from "./dom.js";

const KEYS = [
  ["Everywhere", [["?", "this help"], ["Tab", "from one thing to the next"], ["Esc", "close what is open"]]],
  ["Review", [
    ["J", "the next event (older)"], ["K", "the one before (newer)"], ["R", "it was real"],
    ["F", "a false alarm: this is normal here"], ["U", "take the last verdict back"], ["P", "play its clip"],
  ]],
  ["Threshold of a camera", [["↑ ↓", "1 % up or down"], ["Page ↑ ↓", "10 %"]]],
  ["Zones and masks", [
    ["← ↑ → ↓", "move the point or the cross, with Shift ten times as far"], ["Enter", "put a point; on a point: add one after it"],
    ["Del", "take the point away"], ["C", "close the shape"], ["Esc", "give it up"],
  ]],
];

let dialog, keys;

// `setting`: {on() -> whether keys of one letter are on, set(yes)}
export function made(setting) {
  dialog = document.getElementById("help");
  keys = setting;
}

export function show() {
  const box = el("input", { type: "checkbox", id: "one-letter", checked: keys.on(), onchange: () => keys.set(box.checked) });
  fill(dialog,
    el("h2", { id: "help-title" }, "Keys"),
    KEYS.map(([title, rows]) => [
      el("h3", null, title),
      el("dl", { class: "keys" }, rows.map(([key, words]) => el("div", null, el("dt", null, el("kbd", null, key)), el("dd", null, words)))),
    ]),
    el("p", { class: "check" }, box, el("label", { for: "one-letter" }, "Keys of one letter are on")),
    el("div", { class: "row" }, el("button", { type: "button", class: "primary", autofocus: true, onclick: () => dialog.close() }, "Close")));
  dialog.showModal();
}
