// The pages in a browser, on the stand-in: what they show, that keys and screen readers get along.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, beforeEach, test } from "node:test";
import { BASE, asked, launch, open, tell, visit } from "./browser.mjs";
import { SCREENS } from "./screens.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = ["serious", "critical"];
let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());
beforeEach(() => tell("reset"));

// Run with a page, and see afterwards that nothing went wrong in it.
function on(name, run, options) {
  test(name, async () => {
    const { page, context, seen } = await visit(browser, options);
    try {
      await run(page, seen);
      assert.deepEqual(seen.wrong, []);
    } finally {
      await context.close();
    }
  });
}

// rules: null for all.
async function check(page, where, rules = null) {
  await page.evaluate(AXE); // past the page's own rules: it is not of the page
  const runOnly = rules && { type: "rule", values: rules };
  const { violations } = await page.evaluate((only) => globalThis.axe.run(document, { resultTypes: ["violations"], ...(only && { runOnly: only }) }), runOnly);
  const grave = violations.filter((v) => GRAVE.includes(v.impact));
  assert.deepEqual(grave.map((v) => `${where}: ${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`), []);
}

const focused = (page) => page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute("aria-label") || document.activeElement?.tagName);

test("every screen is accessible in light and dark, and no wider than a telephone", async () => {
  for (const [name, screen] of Object.entries(SCREENS)) {
    await tell("reset");
    await screen.before?.();
    const { page, context, seen } = await visit(browser, { reducedMotion: "reduce" });
    await open(page, screen.hash);
    await screen.then?.(page);
    await page.waitForTimeout(300);
    await check(page, name);
    await page.emulateMedia({ colorScheme: "dark" });
    await check(page, `${name}, dark`, ["color-contrast"]);
    await page.setViewportSize({ width: 360, height: 740 });
    const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.ok(width <= 360, `${name} is ${width} px wide`);
    assert.deepEqual(seen.wrong, [], name);
    await context.close();
  }
});

on("the page is small, and pictures come", async (page, seen) => {
  await open(page, "#/");
  await page.locator(".tile.pictured").nth(4).waitFor();
  for (const hash of ["#/camera/gate", "#/review", "#/setup/roof", "#/runs/street", "#/system"]) {
    await page.evaluate((h) => { location.hash = h; }, hash);
    await page.waitForTimeout(250);
  }
  assert.ok(seen.requests > 20 && seen.bytes < 120_000, `${seen.requests} requests, ${seen.bytes} bytes`);
});

on("the wall: states in words, alarms switched, an alarm is said", async (page) => {
  await open(page, "#/");
  await page.getByText("6 cameras: 1 in alarm, 1 rising, 1 down, 2 not scored now, 1 normal.").waitFor();
  await page.getByText("Is the camera on, and is its address right?").waitFor();
  const arm = page.getByRole("switch", { name: "Alarms of yard" });
  await arm.focus();
  await page.keyboard.press("Space");
  await page.getByText("Alarms of yard are off.").waitFor();
  assert.equal(await arm.getAttribute("aria-checked"), "false");
  await page.getByRole("button", { name: "Undo" }).click();
  await page.waitForFunction(() => document.querySelector('[aria-label="Alarms of yard"]').getAttribute("aria-checked") === "true");
  await tell("alarm");
  await page.locator("#spoken", { hasText: "Alarm, camera dock" }).waitFor({ state: "attached" });
  await page.waitForFunction(() => document.title.startsWith("(2) ALARM"));
  await page.getByRole("button", { name: "Hide the alarm of dock" }).click();
  await page.waitForFunction(() => document.title.startsWith("(1) ALARM"));
  await page.getByRole("link", { name: "Look at the alarm of gate" }).click();
  await page.getByRole("heading", { name: /^gate 22:/ }).waitFor();
});

on("a wall of a hundred cameras: those on the screen have pictures, and the last one too once it is there", async (page) => {
  await tell("many");
  await page.setViewportSize({ width: 360, height: 740 });
  await open(page, "#/");
  const tile = (n) => page.locator(".tile", { hasText: `c${n}` });
  const pictured = page.locator(".tile.pictured");
  await tile("00").and(pictured).waitFor();
  await page.waitForTimeout(600);
  assert.ok(await pictured.count() < 8, `${await pictured.count()} have pictures`);
  await tile("99").scrollIntoViewIfNeeded();
  await tile("99").and(pictured).waitFor();
  assert.ok(await pictured.count() < 30, "those that were passed by are not sent");
  // A screen on which all of them are: what there is no room for says so.
  await page.setViewportSize({ width: 1700, height: 6000 });
  await tile("80").getByText("A page shows 64 pictures at once.").waitFor();
});

on("who goes on by keyboard starts at the new screen's head", async (page) => {
  await open(page, "#/");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "Wall");
  await page.getByRole("link", { name: "Runs" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Runs", exact: true }).waitFor();
  assert.equal(await focused(page), "Runs");
  assert.match(await page.title(), /Runs – oddframe/);
  assert.equal(await page.locator('#nav [aria-current="page"]').textContent(), "Runs");
});

on("review by keys alone: J K R F U", async (page) => {
  await open(page, "#/review");
  const chosen = page.locator('.card[aria-current="true"]');
  await chosen.first().waitFor();
  const at = async () => (await chosen.locator("b").textContent()) + (await chosen.locator("time").first().textContent());
  const first = await at();
  await page.keyboard.press("j");
  assert.notEqual(await at(), first);
  await page.keyboard.press("k");
  assert.equal(await at(), first);
  await page.keyboard.press("j");
  await page.keyboard.press("r");
  await page.getByText(/^Real\. What is like it/).waitFor();
  await chosen.locator(".verdict.real").waitFor();
  await page.keyboard.press("f");
  await page.getByText(/^False alarm\. What is like it/).waitFor();
  await chosen.locator(".verdict.false_alarm").waitFor();
  await page.keyboard.press("u");
  await chosen.locator(".verdict.real").waitFor();
  await page.keyboard.press("u");
  await chosen.getByText("Not judged").waitFor();
  assert.deepEqual((await asked()).map((a) => a.verdict), ["real", "false_alarm", "real", null]);
  // Letters into a field are letters; switched off they are nothing.
  await page.getByLabel("Note").fill("");
  await page.getByLabel("Note").pressSequentially("rf");
  assert.equal((await asked()).length, 4);
  await page.getByLabel("Note").blur();
  await page.keyboard.press("?");
  await page.getByLabel("Keys of one letter are on").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("r");
  await page.waitForTimeout(200);
  assert.equal((await asked()).length, 4);
});

on("review: filters, why, a clip under the pointer, export", async (page) => {
  await open(page, "#/review");
  await page.getByText("looks alike, at the same place").waitFor();
  await page.locator(".streams li").nth(2).waitFor();
  const all = await page.locator(".card").count();
  await page.getByLabel("Verdict", { exact: true }).selectOption("none");
  await page.waitForFunction((n) => document.querySelectorAll(".card").length < n, all);
  assert.equal(await page.locator(".card .verdict.real").count(), 0);
  await page.getByLabel("Verdict", { exact: true }).selectOption("");
  await page.getByLabel("Camera", { exact: true }).first().selectOption("yard");
  await page.waitForFunction(() => [...document.querySelectorAll(".card b")].every((b) => b.textContent === "yard"));
  await page.locator(".card").first().hover();
  await page.waitForFunction(() => document.querySelector(".card video")?.readyState >= 2);
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => !document.querySelector(".card video"));
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const text = readFileSync(await file.path(), "utf8");
  assert.match(text, /^id,camera,start/);
  assert.equal(text.trim().split("\r\n").length, 1 + await page.locator(".card").count());
  await page.getByRole("button", { name: "The day before" }).click();
  await page.locator("time", { hasText: "2026-05-27" }).first().waitFor();
});

on("review of a day of more events than a page: what is chosen, counted and saved is of all of them", async (page) => {
  await tell("busy");
  const { events: [, alert] } = await (await fetch(`${BASE}/api/events?severity=alert&since=2026-05-28T00:00:00Z`)).json();
  await open(page, `#/review?event=${alert.id}`); // as the banner links to it
  await page.locator('.card[aria-current="true"]', { hasText: "Alert" }).waitFor();
  await page.getByRole("heading", { name: new RegExp(`^${alert.camera} `) }).waitFor();
  await page.getByText(/^101 events and more, of these \d+ not judged\.$/).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "JSON" }).click()]);
  const saved = JSON.parse(readFileSync(await file.path(), "utf8"));
  assert.ok(saved.length > 150, `${saved.length} are saved`);
  await page.getByLabel("Severity").selectOption("alert");
  await page.waitForFunction(() => !document.querySelector(".card .severity.detection") && document.querySelector(".card .severity.alert"));
});

on("review: what was read of older events stays where the connection was lost for a moment", async (page) => {
  await tell("busy");
  await open(page, "#/review");
  await page.getByRole("button", { name: "Older events" }).click();
  const all = page.getByText(/^1\d\d events, \d+ not judged\.$/);
  await all.waitFor();
  const before = await page.locator(".card").count();
  await page.locator(".card").last().click();
  await tell("drop");
  await page.getByText(/^No live connection since /).waitFor();
  await Promise.all([page.waitForResponse(/api\/events\?.*until=/), tell("back")]);
  await page.waitForFunction(() => document.getElementById("stale").textContent === "");
  await page.waitForTimeout(100); // what came is shown
  assert.equal(await page.locator(".card").count(), before);
  assert.equal(await page.locator('.card[aria-current="true"]').count(), 1, "what was chosen is still there");
});

on("the strips of a day: what could not be read is said, and read by the next look at it alone", async (page) => {
  let scores = 0;
  page.on("request", (request) => { scores += request.url().includes("/api/scores"); });
  await page.route("**/api/gaps*", (route) => route.fulfill({ status: 503, json: { detail: "The store is busy." } }));
  await open(page, "#/review");
  await page.getByLabel(/^lobby: .* could be read\.$/).waitFor();
  await page.unroute("**/api/gaps*");
  const verdict = page.getByLabel("Verdict", { exact: true });
  await verdict.selectOption("real");
  await page.getByLabel(/^lobby: .* without score \(down: timeout\)\.$/).waitFor();
  assert.equal(scores, 12);
  await Promise.all([page.waitForResponse(/api\/events.*verdict=none/), verdict.selectOption("none")]);
  await page.getByRole("button", { name: "The day before" }).click();
  await page.getByLabel(/^yard: .* no gap\.$/).waitFor();
  assert.equal(scores, 18);
});

on("the threshold by keys, by number and by pointer, then undone", async (page) => {
  await open(page, "#/camera/gate");
  const line = page.getByRole("slider", { name: "Alarm threshold" });
  await line.focus();
  await page.keyboard.press("PageUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await line.getAttribute("aria-valuenow"), "3.333");
  await page.getByText("≈ 1.8 (0.82–4.2) alarms a day at this setting").first().waitFor();
  await page.waitForFunction(() => /alarms a day/.test(document.querySelector(".threshold").getAttribute("aria-valuetext")));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The threshold of gate is 3.333; it was 3.").waitFor();
  await page.getByLabel("Threshold", { exact: true }).fill("4");
  await page.getByText("≈ 0.74").first().waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.equal(await page.getByLabel("Threshold", { exact: true }).inputValue(), "3.333");
  const box = await line.boundingBox();
  await page.mouse.move(box.x + 100, box.y + 12);
  await page.mouse.down();
  await page.mouse.move(box.x + 100, box.y + 60, { steps: 4 });
  await page.mouse.up();
  assert.ok(Number(await page.getByLabel("Threshold", { exact: true }).inputValue()) < 3);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Undo the last change" }).click();
  await page.getByText("The threshold of gate is 3 again.").waitFor();
  assert.deepEqual((await asked()).map((a) => a.threshold), [3.333]);
});

on("a zone by keys alone", async (page) => {
  await open(page, "#/camera/gate");
  await page.getByText("stairs", { exact: true }).first().waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Edit zones and masks" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "New zone" }).focus();
  await page.keyboard.press("Enter");
  for (const key of ["Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter", "Shift+ArrowDown", "Enter", "c"]) await page.keyboard.press(key);
  await page.keyboard.press("Control+a");
  await page.keyboard.type("door");
  const points = page.getByRole("button", { name: /^Point \d of/ });
  assert.equal(await points.count(), 3);
  await points.nth(2).focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Enter"); // one more point, between the last and the first
  assert.equal(await points.count(), 4);
  await page.keyboard.press("Delete");
  assert.equal(await points.count(), 3);
  await page.getByLabel("What touches it is").selectOption("detection");
  await page.getByRole("button", { name: "Save", exact: true }).first().focus();
  await page.keyboard.press("Enter");
  await page.getByText("are saved and in force").waitFor();
  const [{ zones }, ...more] = await asked();
  assert.deepEqual(more, []); // masks were not changed
  assert.deepEqual(zones.map((z) => [z.name, z.unit, z.severity]), [["stairs", "relative", "alert"], ["door", "relative", "detection"]]);
  assert.deepEqual(zones[0].points, [[0.2, 0.3], [0.5396, 0.3], [0.5396, 0.8], [0.2, 0.8]]);
  assert.deepEqual(zones[1].points, [[0.5, 0.5], [0.6, 0.5], [0.595, 0.55]]);
});

on("a mask by pointer, and leaving without saving is asked about", async (page) => {
  await open(page, "#/camera/gate");
  await page.getByRole("button", { name: "Edit zones and masks" }).click();
  await page.getByRole("button", { name: "New mask" }).click();
  const box = await page.locator(".field-of-view").boundingBox();
  for (const [x, y] of [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]) await page.mouse.click(box.x + x * box.width, box.y + y * box.height);
  await page.getByRole("button", { name: /Close the shape/ }).click();
  const handle = await page.getByRole("button", { name: "Point 3 of 3" }).boundingBox();
  Object.assign(box, await page.locator(".field-of-view").boundingBox()); // it may have scrolled
  await page.mouse.move(handle.x + 12, handle.y + 12);
  await page.mouse.down();
  await page.mouse.move(box.x + 0.5 * box.width, box.y + 0.6 * box.height, { steps: 3 });
  await page.mouse.up();
  const questions = [];
  page.on("dialog", (dialog) => { questions.push(dialog.message()); dialog.dismiss(); });
  await page.getByRole("link", { name: "Runs" }).click();
  await page.waitForTimeout(200);
  assert.match(page.url(), /camera\/gate$/);
  assert.equal(questions.length, 1);
  await page.getByRole("button", { name: "Save", exact: true }).first().click();
  await page.getByText("are saved and in force").waitFor();
  const sent = (await asked()).find((a) => a.mask).mask;
  assert.equal(sent.length, 2);
  const near = sent[1].points.flat().map((v, i) => Math.abs(v - [0.1, 0.1, 0.4, 0.1, 0.5, 0.6][i]));
  assert.ok(Math.max(...near) < 0.005, JSON.stringify(sent[1]));
});

on("from an address to a job, and after a reload it is still there", async (page) => {
  await open(page, "#/setup");
  await page.getByRole("textbox", { name: "Name" }).fill("door");
  await page.getByRole("textbox", { name: "Source" }).fill("rtsp://u:p@down.local/1");
  await page.getByRole("button", { name: "Add the camera" }).click();
  await page.getByText("nothing answered").waitFor();
  await page.getByLabel("Add it though it cannot be opened now").check();
  await page.getByRole("button", { name: "Add the camera" }).click();
  await page.getByRole("heading", { name: "Setup of door" }).waitFor();
  await page.getByLabel("Minutes", { exact: true }).fill("30");
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByText("about 22 min left").waitFor();
  await page.reload();
  await page.getByText("about 22 min left").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText(/Recording cancelled/).waitFor();
  const [camera, job] = (await asked()).slice(-2);
  assert.deepEqual([camera.name, camera.anyway, job.kind, job.minutes], ["door", true, "record", 30]);
  page.on("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Remove this camera" }).click();
  await page.getByText("door is removed.").waitFor();
});

on("the log of the system goes on after a question that failed", async (page) => {
  await page.route("**/api/log*", (route) => route.fulfill({ status: 503, json: { detail: "Not now." } }));
  await open(page, "#/system");
  await page.getByText("Not now.").waitFor();
  await page.unroute("**/api/log*");
  await page.clock.fastForward(5000);
  await page.locator(".log li").first().waitFor();
});

on("a token is asked for, a wrong one said", async (page) => {
  await tell("lock");
  await open(page, "#/review");
  assert.equal(await focused(page), "INPUT");
  await page.keyboard.type("guess");
  await page.keyboard.press("Enter");
  await page.getByText("That is not the token of this site.").waitFor();
  await page.keyboard.type("letmein");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Review" }).waitFor();
});

on("who may only look is told so, and changes nothing", async (page) => {
  await tell("read");
  await open(page, "#/");
  await page.getByText("read only").waitFor();
  await page.getByRole("switch", { name: "Alarms of yard" }).click({ force: true });
  await page.getByText("this needs the admin's token").first().waitFor();
  await page.goto(`${page.url().split("#")[0]}#/review`);
  await page.locator('.card[aria-current="true"]').waitFor();
  await page.keyboard.press("r");
  await page.getByText("You may look, but not judge").waitFor();
  assert.deepEqual(await asked(), []);
});

on("a lost connection is told, and found again", async (page) => {
  await open(page, "#/");
  await page.locator(".tile.pictured").first().waitFor();
  await tell("drop");
  await page.getByText(/^No live connection since 22:/).waitFor();
  await tell("reset");
  await page.waitForFunction(() => document.getElementById("stale").textContent === "");
});

on("texts of others are texts", async (page) => {
  await tell("hostile");
  page.on("dialog", () => assert.fail("a script of a text ran"));
  for (const hash of ["#/", "#/camera/lobby", "#/camera/gate", "#/review", "#/setup/roof", "#/setup/yard"]) {
    await page.goto("about:blank");
    await open(page, hash);
    await page.getByText("<img src=x onerror=alert(1)>").first().waitFor({ state: "attached" });
  }
  assert.equal(await page.locator('img[src="x"]').count(), 0);
});

on("the theme can be chosen and stays", async (page) => {
  await open(page, "#/");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "Dark" }).click();
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await page.getByRole("button", { name: "Light" }).waitFor();
  assert.equal(await ground(), dark);
});
