// The page: who looks, the socket, which screen is shown.
//
// A screen is a module with `open(main, app, name, query)`, which gives back
//   {title, close?(), key?(event) -> true where it was meant, mayLeave?() -> false to stay}

import { drop, get, post, whenLocked } from "./api.js";
import { Alarms } from "./alarms.js";
import { el, fill, say } from "./dom.js";
import { when } from "./format.js";
import { NOUNS } from "./jobs.js";
import { Live } from "./live.js";
import { onTheme, themeChanged } from "./ink.js";
import * as help from "./help.js";
import { now, serverIs } from "./trace.js";
import { allowChanges, badge, form, head, sorry, toast } from "./ui.js";

const SCREENS = {
  "": () => import("./wall.js"), camera: () => import("./camera.js"), review: () => import("./review.js"),
  setup: () => import("./setup.js"), runs: () => import("./runs.js"), system: () => import("./system.js"),
};

const main = document.getElementById("main");
const app = {
  cameras: new Map(), // name -> CameraAnswer, as it was told last
  me: { who: "", role: "admin", loopback: true },
  live: new Live(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`),
  go: (hash) => { location.hash = hash; },
  keep: (hash) => { history.replaceState(null, "", hash); here = hash; }, // without showing it anew
};
const PATIENCE_MS = 2500; // a connection that comes back sooner was never missed
let shown = null, here = null, turn = 0;

async function route() {
  const hash = location.hash || "#/";
  if (hash === here) return;
  if (shown?.mayLeave && !shown.mayLeave()) {
    history.replaceState(null, "", here);
    return;
  }
  const first = here === null;
  here = hash;
  const [where, query] = hash.replace(/^#\/?/, "").split("?");
  const [screen, ...rest] = where.split("/");
  const name = rest.map(decoded).join("/");
  const mine = ++turn;
  let module;
  try {
    module = await (SCREENS[screen] ?? SCREENS[""])();
  } catch {
    here = null; // so that the same address may be tried again
    sorry(new Error("This screen cannot be loaded: the server cannot be reached."));
    return;
  }
  if (mine !== turn) return; // somebody went on meanwhile
  shown?.close?.();
  app.live.watch(null);
  fill(main);
  shown = module.open(main, app, name, new URLSearchParams(query)) ?? {};
  for (const link of document.querySelectorAll("#nav a")) {
    const own = link.getAttribute("href").slice(2) === (screen === "camera" ? "" : screen);
    if (own) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  titled();
  // Who goes on by keyboard or screen reader starts at the new screen's head, not at the page's.
  if (!first) {
    (main.querySelector("h1") ?? main).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function titled() {
  const open = alarms?.open ?? 0;
  document.title = `${open ? `(${open}) ALARM – ` : ""}${shown?.title ?? "oddframe"} – oddframe`;
}

// Where the server wants a token: ask for it, and begin anew once it is taken.
function locked() {
  if (shown?.login) return;
  turn += 1;
  shown?.close?.();
  app.live.close();
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  const signIn = form({ class: "login", reads: true }, [
    el("label", { for: "token" }, "Token"), token,
    el("small", null, "It stands in the site's web.token_file, or was made by oddframe for you."),
  ], "Sign in", async () => {
    try {
      await post("/api/session", { token: token.value.trim() });
    } finally {
      token.value = "";
      token.focus();
    }
    location.reload();
  });
  fill(main, head("Sign in"), signIn);
  shown = { login: true, title: "Sign in" };
  document.body.classList.add("locked");
  titled();
  token.focus();
}

// The theme: the system's, until somebody says otherwise.
function themed(wanted) {
  if (wanted) document.documentElement.dataset.theme = wanted;
  else delete document.documentElement.dataset.theme;
  themeChanged();
}

const remembered = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private windows */ } };

function session() {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = el("button", { type: "button", class: "quiet", id: "theme", onclick: () => {
    themed(dark() ? "light" : "dark");
    remember("theme", document.documentElement.dataset.theme);
  } });
  const name = () => say(theme, dark() ? "Light" : "Dark");
  name();
  onTheme(name);
  fill(document.getElementById("session"),
    app.me.role === "read" && badge("read only", "You may look, but not change anything."),
    theme,
    el("button", { type: "button", class: "quiet", "aria-keyshortcuts": "?", onclick: help.show }, "Keys"),
    app.me.session && el("button", { type: "button", class: "quiet", onclick: () => drop("/api/session").then(() => location.reload(), sorry) }, "Sign out"));
}

// Keys of one letter, but not into fields, and not where they were switched off.
function pressed(event) {
  const t = event.target;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (t.matches?.("input, select, textarea, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (event.key.length === 1 && remembered("keys") === "off") return;
  if (event.key === "?") help.show();
  else if (!shown?.key?.(event)) return;
  event.preventDefault();
}

let lost = null; // since when there is no socket
const old = (why) => say(document.getElementById("stale"), why && `${why} What is shown may be old.`);

function stale(open) {
  if (open) lost = null;
  else lost ??= now();
  if (open) old("");
  else setTimeout(() => lost && old(`No live connection since ${when(lost)}, trying again.`), PATIENCE_MS);
}

// What jobs came to, wherever somebody is.
const states = new Map();

function jobTold({ job }) {
  const before = states.get(job.id);
  states.set(job.id, job.state);
  if (!before || before === job.state || !["done", "failed"].includes(job.state)) return;
  toast(`The ${NOUNS[job.kind] ?? job.kind} of ${job.camera} ${job.state === "done" ? "is done" : "failed"}.`, { label: "Look", run: () => app.go(`#/setup/${encodeURIComponent(job.camera)}`) }, job.state === "failed" ? "bad" : "");
}

const known = (all) => { app.cameras = new Map(all.map((c) => [c.camera, { ...c, quiet: alarms.quiet(c.camera) }])); };

const alarms = (app.alarms = new Alarms(app, titled));

async function start() {
  themed(remembered("theme"));
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the # of the address names the screen
    (main.querySelector("h1") ?? main).focus();
  });
  document.addEventListener("keydown", pressed);
  whenLocked(locked);
  app.me = await get("/api/me").catch((error) => (error.status === 404 ? app.me : { role: error.status === 401 ? "none" : "admin", loopback: true }));
  if (app.me.role === "none") return;
  allowChanges(app.me.role !== "read");
  session();
  const told = await get("/api/cameras").catch((error) => { sorry(error); return []; });
  known(told);
  app.live.on("cameras", ({ cameras, t_utc }) => {
    serverIs(t_utc);
    known(cameras);
    old("");
  });
  app.live.on("problem", ({ detail }) => old(detail));
  app.live.on("job", jobTold);
  app.live.on("state", async (open) => {
    stale(open);
    if (!open) await get("/api/me").catch(() => null); // the session may be over
    else alarms.load();
  });
  app.live.connect();
  addEventListener("hashchange", route);
  await route();
}

help.made({ on: () => remembered("keys") !== "off", set: (yes) => remember("keys", yes ? "on" : "off") });
start();
