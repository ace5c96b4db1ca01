// All screens, and what to do to see the states that they have.

import { tell } from "./browser.mjs";

const chosen = (page) => page.locator("button.card").first().click();

export const SCREENS = {
  wall: { hash: "#/" },
  "wall-empty": { hash: "#/", before: () => tell("empty") },
  camera: { hash: "#/camera/gate", wait: 3000 },
  "camera-down": { hash: "#/camera/lobby" },
  "camera-unfitted": { hash: "#/camera/roof" },
  "camera-editor": {
    hash: "#/camera/gate",
    then: async (page) => { await page.getByRole("button", { name: "Edit zones and masks" }).click(); },
  },
  "camera-threshold": {
    hash: "#/camera/dock",
    then: async (page) => {
      await page.getByRole("slider", { name: "Alarm threshold" }).focus();
      for (let i = 0; i < 3; i++) await page.keyboard.press("PageUp");
    },
  },
  review: { hash: "#/review", then: chosen },
  "review-empty": { hash: "#/review?day=2026-01-01" },
  "review-learned": {
    hash: "#/review",
    then: async (page) => { await page.getByText("What the verdicts taught").click(); },
  },
  setup: { hash: "#/setup" },
  "setup-camera": { hash: "#/setup/roof" },
  "setup-failed": { hash: "#/setup/yard" },
  runs: { hash: "#/runs" },
  run: { hash: "#/runs/gate-2026-05-24" },
  system: { hash: "#/system" },
  "system-read": { hash: "#/camera/gate", before: () => tell("read") },
  login: { hash: "#/", before: () => tell("lock") },
  help: { hash: "#/review", then: (page) => page.keyboard.press("?") },
};
