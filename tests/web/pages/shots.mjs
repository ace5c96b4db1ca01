// Pictures of every screen, light, dark and as on a telephone, into the folder of ODDFRAME_SHOTS.

import { mkdirSync } from "node:fs";
import { launch, open, tell, visit } from "./browser.mjs";
import { SCREENS } from "./screens.mjs";

const folder = process.env.ODDFRAME_SHOTS;
const only = process.env.ODDFRAME_ONLY?.split(",");
const LOOKS = { light: { theme: "light" }, dark: { theme: "dark" }, phone: { theme: "light", width: 360, height: 740, deviceScaleFactor: 2 } };

mkdirSync(folder, { recursive: true });
const browser = await launch();
for (const [look, options] of Object.entries(LOOKS)) {
  for (const [name, screen] of Object.entries(SCREENS)) {
    if (only && !only.includes(name) && !only.includes(look)) continue;
    await tell("reset");
    const { page, context, seen } = await visit(browser, options);
    await screen.before?.();
    await open(page, screen.hash);
    await screen.then?.(page);
    await page.waitForTimeout(screen.wait ?? 1500);
    await page.evaluate(() => scrollTo(0, 0)); // the alarm bar is drawn where the page stands
    await page.waitForTimeout(200);
    await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: true });
    if (seen.wrong.length) console.log(name, look, seen.wrong);
    await context.close();
  }
}
await tell("reset");
await browser.close();
