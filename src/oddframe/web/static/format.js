// Numbers and times as text. Nothing here touches the page: tests run it as it is.

const two = (n) => String(n).padStart(2, "0");

// Times are shown where the viewer is; times of the API are ISO 8601 in UTC or epoch seconds.
export const seconds = (t) => (typeof t === "number" ? t : Date.parse(t) / 1000);

export function clock(t) {
  const d = new Date(seconds(t) * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function day(t) {
  const d = new Date(seconds(t) * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

// The clock alone where it was today.
export function when(t, now = Date.now() / 1000) {
  return day(t) === day(now) ? clock(t) : `${day(t)} ${clock(t)}`;
}

export function utc(t) {
  return `${new Date(seconds(t) * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

// [first second, last second) of a day of the viewer; days of 23 and 25 hours are that long.
export function bounds(text) {
  const [y, m, d] = text.split("-").map(Number);
  return [new Date(y, m - 1, d).getTime() / 1000, new Date(y, m - 1, d + 1).getTime() / 1000];
}

export function shifted(text, days) {
  const [y, m, d] = text.split("-").map(Number);
  return day(new Date(y, m - 1, d + days, 12).getTime() / 1000);
}

export const iso = (s) => new Date(s * 1000).toISOString();

export function span(s) {
  if (!Number.isFinite(s)) return "";
  const n = Math.max(0, Math.round(s));
  if (n < 1) return "under a second";
  if (n < 60) return `${n} s`;
  const minutes = Math.round(n / 60);
  if (n < 600) return n % 60 ? `${Math.floor(n / 60)} min ${n % 60} s` : `${minutes} min`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 2 * 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`.replace(/ 0 min$/, "");
  return `${Math.round(n / 86400)} days`;
}

// So many digits that count, without a power of ten and without trailing zeros.
export function number(x, digits = 3) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(x))));
  const text = x.toFixed(Math.min(places, 6));
  return (text.includes(".") ? text.replace(/\.?0+$/, "") : text).replace("-", "−");
}

export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) { n /= 1000; i += 1; }
  return `${number(n, 3)} ${units[i]}`;
}

export const percent = (x) => (Number.isFinite(x) ? `${Math.round(100 * x)} %` : "–");

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// What a threshold costs: "≈ 3.1 (1.4–7) alarms a day at this setting".
export function rate(found) {
  if (!found || !Number.isFinite(found.alarms_per_day)) return "";
  const known = Number.isFinite(found.low) && Number.isFinite(found.high);
  const between = known ? ` (${number(found.low, 2)}–${number(found.high, 2)})` : "";
  return `≈ ${number(found.alarms_per_day, 2)}${between} alarms a day at this setting`;
}

// From this level on it is told that a camera comes near its threshold.
export const RISING = 0.7;

// What a camera does in one word, the drawing beside it, and what of it is to be known at once.
// Keys are the classes of the style.
export function mood(c) {
  if (c.state === "down") return { key: "down", word: "Down", icon: "down" };
  // A file that is over is no trouble; one that cannot be read on is.
  if (c.state === "ended") return { key: c.why && c.why !== "ended" ? "down" : "waits", word: "Ended", icon: "off" };
  if (c.state === "stopped") return { key: "waits", word: "Stopped", icon: "off" };
  if (c.state === "opening" || c.state === "not_started") return { key: "waits", word: "Connecting", icon: "wait" };
  if (c.anomaly && c.quiet) return { key: "rising", word: "Detection", icon: "rising" };
  if (c.anomaly) return { key: "alarm", word: "ALARM", icon: "alarm" };
  if (c.stage === "unfitted") return { key: "waits", word: "Not scored", icon: "off" };
  if (c.unsettled) return { key: "waits", word: "Settling", icon: "wait" };
  if (c.level === null || c.level === undefined) return { key: "waits", word: c.words ? "Not scored" : "No score yet", icon: "wait" };
  if (c.level >= 1) return { key: "rising", word: "Over the threshold", icon: "rising" };
  if (c.level >= RISING) return { key: "rising", word: "Rising", icon: "rising" };
  return { key: "normal", word: "Normal", icon: "normal" };
}

const UNSETTLED = {
  moved: "the camera moved or shows something else", infrared: "it switched to infrared",
  colour: "colour came back", dark: "nothing is to be seen: covered, or dark",
  light: "the light was switched",
};

// [short, in words] of what a tile carries beside its mood.
export function badges(c) {
  const found = [];
  if (c.unsettled) found.push(["unsettled", `No score until the picture is steady: ${UNSETTLED[c.unsettled] ?? c.unsettled}.`]);
  if (c.stage === "unfitted") found.push(["no RUN yet", "Nothing scores its pictures yet: go through its setup."]);
  if (c.provisional) found.push(["provisional", "The threshold rests on less footage than it should: it will shift."]);
  if (!c.armed) found.push(["disarmed", "Alarms are off; scores go on."]);
  return found;
}

const DROPPED = {
  newer: "left out for a newer one", stale: "too old", duplicate: "given before", frozen: "of a frozen picture",
  unsettled: "while it was unsteady", late: "decoded too late",
};

// Frames that were not scored, by why: "257 left out for a newer one".
export const lost = (dropped) => Object.entries(dropped ?? {}).filter(([, n]) => n)
  .map(([why, n]) => `${n.toLocaleString("en-GB")} ${DROPPED[why] ?? why}`).join(", ");

export const ENDED = {
  calm: "it became calm again", long: "another one began elsewhere", lost: "the source was lost", changed: "the picture became another one",
  disarmed: "alarms were switched off", stopped: "oddframe was stopped", killed: "oddframe was killed",
  back: "the camera is there again",
};

// A cell that begins like a formula would be run by spreadsheets: names and notes come from people.
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const COLUMNS = ["id", "camera", "start", "end", "peak", "severity", "peak_level", "peak_score",
  "threshold", "zones", "reasons", "verdict", "verdict_time", "note", "ended", "run"];

export function csv(events) {
  const rows = events.map((e) => COLUMNS.map((name) => cell(Array.isArray(e[name]) ? e[name].join("; ") : e[name])));
  return [COLUMNS, ...rows].map((row) => row.join(",")).join("\r\n") + "\r\n";
}
