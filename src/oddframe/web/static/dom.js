// Building the page: nodes with text, never markup made of strings, because all that the API says
// (names of cameras, reasons, notes, errors) was typed or sent by somebody.

const SVG = "http://www.w3.org/2000/svg";

// el("p", {class: "empty", onclick: f, "aria-hidden": true}, "text", node, [more], null)
export function el(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// Put other children into a node; nulls are left out.
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// The same where it is put anew from time to time: focus and scrolling stay where they were.
export function refill(place, ...children) {
  const stops = () => [...place.querySelectorAll("a, button, [tabindex]")];
  const at = stops().indexOf(document.activeElement);
  const scrolled = [...place.querySelectorAll(".scroll")].map((n) => n.scrollLeft);
  fill(place, ...children);
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
  place.querySelectorAll(".scroll").forEach((n, i) => { n.scrollLeft = scrolled[i] ?? 0; });
  return place;
}

// Change a text only where it differs: a live region would say it again.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Small drawings, so that no state is told by colour alone. Paths on a 16 x 16 field.
const SHAPES = {
  alarm: "M8 1.5 15 14H1zM7.2 6v4h1.6V6zM7.2 11v1.6h1.6V11z",
  rising: "M8 4 13 12H3z",
  normal: "M8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 1 1 0-7z",
  down: "M3.2 2 8 6.8 12.8 2 14 3.2 9.2 8 14 12.8 12.8 14 8 9.2 3.2 14 2 12.8 6.8 8 2 3.2z",
  wait: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 1 1 0-13zM7.2 4v4.6l3.4 2 .8-1.4-2.6-1.5V4z",
  off: "M2 7h12v2H2z",
  done: "M6.4 12.6 2 8.2l1.5-1.5 2.9 2.9 6.1-6.2L14 4.9z",
};

export function icon(name) {
  const shape = svg("path", { d: SHAPES[name], "fill-rule": "evenodd" });
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, shape);
}

// A label with its field; `more` says what to know about it.
let fields = 0;
export function field(label, input, more) {
  input.id ||= `field-${++fields}`;
  const hint = more ? el("small", { id: `${input.id}-more` }, more) : null;
  if (hint) input.setAttribute("aria-describedby", hint.id);
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, hint);
}

export function select(choices, value, onchange) {
  const options = choices.map(([key, text]) => el("option", { value: key, selected: key === value }, text));
  return el("select", { onchange }, options);
}

// Rows of [words, value] as a list of facts; values that are null are left out.
export function facts(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, known.map(([words, value]) => el("div", { class: String(value).length > 40 && typeof value === "string" && "wide" }, el("dt", null, words), el("dd", null, value))));
}

// A bar for a number between 0 and `most`.
export function meter(value, most, label) {
  const bar = el("i");
  const part = Math.min(1, Math.max(0, value / most)) || 0;
  bar.style.width = `${100 * part}%`;
  return el("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": String(most), "aria-valuenow": String(Math.min(most, Math.max(0, value || 0))) }, bar);
}

// heads: texts, those of numbers begin with "#"; rows: of nodes or texts.
export function table(caption, heads, rows, note) {
  const right = heads.map((h) => h.startsWith("#"));
  const head = heads.map((h, i) => el("th", { scope: "col", class: right[i] && "n" }, h.replace(/^#/, "")));
  const body = rows.map((row) =>
    el("tr", null, row.map((cell, i) =>
      i === 0 ? el("th", { scope: "row" }, cell) : el("td", { class: right[i] && "n" }, cell))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", null, el("caption", { class: note ? null : "unseen" }, note ?? caption),
      el("thead", null, el("tr", null, head)), el("tbody", null, body)));
}
