// The whole way on a server that is real: an alarm, what is said of it, a threshold, a new camera.
//
// The footage of `gate` shows something at its right and at its left in turn; `ODDFRAME_FILM` is a
// calm one that a camera is made of. One page, one step after the other.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BASE, launch, open, visit } from "./browser.mjs";

const TAKEN_S = 6; // until what was said of an event is in force, about
const PATIENT = { timeout: 60_000 };
let browser, page, seen;

before(async () => {
  browser = await launch();
  ({ page, seen } = await visit(browser, { real: true }));
  page.setDefaultTimeout(20_000);
});
after(() => browser?.close());

// One step; whatever was wrong on the way is its failure.
function step(name, run) {
  test(name, async () => {
    await run();
    assert.deepEqual(seen.wrong, []);
  });
}

const api = async (path) => (await fetch(`${BASE}/api/${path}`)).json();
const sides = (event) => [...new Set(event.boxes.map((b) => (b.x + b.w / 2 > event.width / 2 ? "right" : "left")))].join(" and ");
const began = (event) => Date.parse(event.start) / 1000;

async function until(what, seconds, look) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end;) {
    const found = await look();
    if (found) return found;
    await page.waitForTimeout(250);
  }
  assert.fail(`${what}: not within ${seconds} s`);
}

// Of a canvas: how many colours it has, and what tells it from another picture.
const painted = (where) => where.evaluate((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set(new Uint32Array(data.buffer));
  return { colours: colours.size, is: canvas.toDataURL() };
});

async function moves(where) {
  const first = await painted(where);
  assert.ok(first.colours > 4, `a picture of ${first.colours} colours`);
  await until("another picture", 10, async () => (await painted(where)).is !== first.is);
}

step("the wall shows a picture that moves, and an alarm comes", async () => {
  await open(page, "#/");
  const tile = page.locator(".tile", { hasText: "gate" });
  await page.locator(".tile.pictured").waitFor();
  await moves(tile.locator("canvas.picture"));
  await page.locator("#alarms .call", { hasText: "gate" }).first().waitFor(PATIENT);
  assert.match(await page.locator("#alarms .why").first().textContent(), /unlike anything seen here/);
  await page.locator("#spoken", { hasText: "Alarm, camera gate" }).waitFor({ state: "attached" });
});

let normal, judged;

step("review: why, where, and that it was a false alarm", async () => {
  normal = await until("an event that is over", 40, async () => (await api("events?limit=20")).events.find((e) => e.end));
  await open(page, `#/review?event=${normal.id}`);
  const detail = page.getByRole("region", { name: "The chosen event" });
  await detail.locator(".reasons", { hasText: normal.reasons[0] }).waitFor();
  await detail.locator(".streams li").first().waitFor();
  const shot = detail.locator(".shot img");
  const pixels = () => shot.evaluate(async (image) => {
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
  });
  const boxed = await pixels();
  await detail.getByLabel("Boxes").uncheck();
  assert.notEqual(await pixels(), boxed, "there are no boxes in it");
  await page.locator('.card[aria-current="true"]').focus();
  await page.keyboard.press("f");
  judged = Date.now() / 1000;
  await page.getByText(/^False alarm\..*raises no alarm from now on/).waitFor();
  await page.locator('.card[aria-current="true"] .verdict.false_alarm').waitFor();
});

step("the threshold by pointer and by keys: what it costs, saved, and there after a reload", async () => {
  await open(page, "#/camera/gate");
  await page.locator(".stage.pictured").waitFor();
  const line = page.getByRole("slider", { name: "Alarm threshold" });
  const input = page.getByLabel("Threshold", { exact: true });
  const cost = page.locator(".cost");
  const says = async (before) => {
    await page.waitForFunction((old) => {
      const now = document.querySelector(".cost").textContent;
      return /alarms a day at this setting/.test(now) && now !== old;
    }, before);
    return cost.textContent();
  };
  const first = await says("");
  const { threshold } = await api("cameras/gate");
  await line.scrollIntoViewIfNeeded();
  const box = await line.boundingBox();
  await page.mouse.move(box.x + 100, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + 100, box.y + box.height / 2 - 25, { steps: 5 });
  await page.mouse.up();
  const dragged = Number(await input.inputValue());
  const second = await says(first);
  await line.focus();
  await page.keyboard.press("ArrowUp");
  const wanted = Number(await input.inputValue());
  assert.ok(wanted > dragged && dragged > threshold, `${wanted}, ${dragged}, ${threshold}`);
  const third = await says(second);
  await page.getByRole("button", { name: "Save", exact: true }).last().click();
  await page.getByText(/^The threshold of gate is/).waitFor();
  await page.reload();
  await page.locator("h1", { hasText: "gate" }).waitFor();
  assert.equal(await says(""), third);
  assert.equal(Number(await input.inputValue()), wanted);
  assert.equal((await api("cameras/gate")).threshold, wanted);
  await page.getByRole("button", { name: "Undo the last change" }).click();
  await page.getByText(/^The threshold of gate is .* again\.$/).waitFor();
  assert.equal(await says(third), first);
});

step("its like stays away, and what is elsewhere still comes", async () => {
  const side = sides(normal);
  const later = async () => (await api("events?limit=50")).events.filter((e) => began(e) > judged + TAKEN_S);
  // Between two of one side there is one of the other.
  await until("two events elsewhere", 60, async () => (await later()).length >= 2);
  await open(page, "#/review");
  assert.deepEqual([...new Set((await later()).map(sides))], [side === "right" ? "left" : "right"]);
  await page.getByText("What the verdicts taught").click();
  await page.getByText(/kept quiet \d+ time/).waitFor();
});

step("a camera from nothing: all that it needs is ordered at once", async () => {
  await open(page, "#/setup");
  await page.getByRole("textbox", { name: "Name" }).fill("yard");
  await page.getByRole("textbox", { name: "Source" }).fill(process.env.ODDFRAME_FILM);
  await page.getByRole("button", { name: "Add the camera" }).click();
  await page.getByRole("heading", { name: "Setup of yard" }).waitFor();
  await page.locator("canvas.picture.pictured").waitFor();
  await moves(page.locator("canvas.picture"));
  await page.getByLabel("Minutes", { exact: true }).fill("0.5");
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByLabel("Minutes of training").fill("0.1");
  await page.getByRole("button", { name: "Fit", exact: true }).click();
  await page.getByRole("button", { name: "Calibrate", exact: true }).click();
  await page.locator(".step.running", { hasText: "Calibrate" }).waitFor();
  await page.getByText("30 s are recorded: 3 files").waitFor();
});

step("the new camera is fitted, calibrated, armed and scored", async () => {
  await open(page, "#/setup/yard");
  await page.getByText(/^Calibrating done: threshold/).waitFor({ timeout: 120_000 });
  await page.getByText("Alarms are off.").waitFor();
  await page.getByRole("button", { name: "Switch alarms on" }).click();
  await page.getByText("Alarms are on.").waitFor();
  await open(page, "#/");
  const tile = page.locator(".tile", { hasText: "yard" });
  await tile.locator(".mood .level", { hasText: /^\d/ }).waitFor(PATIENT);
  await moves(tile.locator("canvas.picture"));
  assert.equal(await tile.getByRole("switch").getAttribute("aria-checked"), "true");
  const { armed, stage, level } = await api("cameras/yard");
  assert.deepEqual([armed, stage, typeof level], [true, "watching", "number"]);
});
