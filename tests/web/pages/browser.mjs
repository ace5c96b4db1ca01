// A browser on the stand-in: with its clock, and with an eye on what a page must never do.

import { chromium } from "playwright-core";
import { existsSync } from "node:fs";

export const BASE = process.env.ODDFRAME_STAND ?? "http://127.0.0.1:8911";
const PLACES = [process.env.ODDFRAME_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const launch = () => chromium.launch({
  executablePath: PLACES.find((p) => p && existsSync(p)), args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

export const tell = (what) => fetch(`${BASE}/stand/${what}`, { method: "POST" });
export const asked = async () => (await fetch(`${BASE}/stand/asked`)).json();

// A page in its own context. `wrong` collects errors, and requests that leave the origin;
// `bytes` counts what was loaded for the page itself, as it came over the wire. real: of a server
// that is no stand-in: the clock is everybody's, and nothing is asked for that must be refused.
export async function visit(browser, { theme = "light", width = 1440, height = 900, real = false, ...more } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: theme, timezoneId: "Europe/Berlin", locale: "en-GB", ...more,
  });
  const page = await context.newPage();
  if (!real) await page.clock.install({ time: 1000 * await (await fetch(`${BASE}/stand/now`)).json() });
  const seen = { wrong: [], bytes: 0, requests: 0 };
  page.on("pageerror", (error) => seen.wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A refused request is what a test asks for; the page itself tells of it.
    const meant = !real && /WebSocket connection|status of (401|403|404|409|422|503)/.test(message.text());
    if (message.type() === "error" && !meant) seen.wrong.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.host !== new URL(BASE).host && url.protocol !== "blob:") seen.wrong.push(`leaves the origin: ${request.url()}`);
  });
  page.on("requestfinished", async (request) => {
    const { pathname } = new URL(request.url());
    if (pathname !== "/" && !pathname.startsWith("/static/")) return;
    const sizes = await request.sizes().catch(() => null);
    if (sizes) seen.bytes += sizes.responseBodySize + sizes.responseHeadersSize;
    seen.requests += 1;
  });
  page.setDefaultTimeout(10000);
  return { page, context, seen };
}

export async function open(page, hash) {
  await page.goto(`${BASE}/${hash}`);
  await page.locator("h1").first().waitFor();
}
