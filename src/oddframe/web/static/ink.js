// Colours of the style for canvases, sizes of canvases, and the hatching of "nobody looked".

let probe = null;
const known = new Map();

// A colour by its name in style.css, as it is in the theme of now.
export function ink(name) {
  if (!known.has(name)) {
    if (!probe) {
      probe = document.createElement("span");
      probe.hidden = true;
      document.body.append(probe);
    }
    probe.style.color = `var(--${name})`;
    known.set(name, getComputedStyle(probe).color);
  }
  return known.get(name);
}

const redraws = new Set();

// Call `then` whenever the colours become others; returns what stops that.
export function onTheme(then) {
  redraws.add(then);
  return () => redraws.delete(then);
}

export function themeChanged() {
  known.clear();
  for (const then of redraws) then();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);

// A pen in CSS pixels on a cleared canvas, as sharp as the screen is; null while it has no size.
export function pen(canvas) {
  const { clientWidth: w, clientHeight: h } = canvas;
  if (!w || !h) return null;
  const sharp = Math.min(3, devicePixelRatio || 1);
  const [width, height] = [Math.round(w * sharp), Math.round(h * sharp)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const found = canvas.getContext("2d");
  found.setTransform(sharp, 0, 0, sharp, 0, 0);
  found.clearRect(0, 0, w, h);
  return found;
}

// Slanting lines in a rectangle.
export function hatch(on, x, y, w, h) {
  on.save();
  on.beginPath();
  on.rect(x, y, w, h);
  on.clip();
  on.strokeStyle = ink("hatch");
  on.lineWidth = 1;
  on.beginPath();
  for (let at = x - h - ((x - h) % 6); at < x + w; at += 6) {
    on.moveTo(at, y + h);
    on.lineTo(at + h, y);
  }
  on.stroke();
  on.restore();
}
