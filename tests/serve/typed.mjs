// A bundle of texts in a real Chromium: two phrases are typed and taught, and asked about. Prints one JSON object.
//
//   node typed.mjs CONFIG   (a JSON file: {playwright, chromium, url, token, out, taught: {CLASS: [TEXT]}, asked})

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = (await import(pathToFileURL(config.playwright).href)).default;
const problems = [];
const browser = await chromium.launch({ executablePath: config.chromium, args: ["--no-sandbox", "--disable-gpu"] });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
page.setDefaultTimeout(120000);
page.on("pageerror", (error) => problems.push(String(error.stack)));
await page.goto(config.url);
await page.waitForSelector("#token-dialog[open]");
await page.fill("#token", config.token);
await page.keyboard.press("Enter");
await page.waitForSelector("#typed:not([hidden])");
const hidden = await page.evaluate(() => ["viewport", "sensor-toggle", "hold"].map((id) => document.getElementById(id).hidden));
await page.click('.views a[href="#teach"]');
for (const [label, texts] of Object.entries(config.taught)) {
  await page.fill("#teach-label", label);
  for (const text of texts) {
    await page.fill("#typed-text", text);
    await page.keyboard.press("Enter");
  }
  await page.waitForFunction((n) => document.querySelectorAll('#tray [data-state="odd"], #tray [data-state="fine"]').length === n, texts.length);
  await page.click("#save");
  await page.waitForFunction(() => !document.querySelector("#tray li"));
}
await page.click('.views a[href="#recognise"]');
const answers = [];
for (const text of config.asked) {
  await page.fill("#typed-text", text);
  const answered = page.waitForResponse((response) => response.url().includes("/classify"));
  await page.click("#typed button");
  await answered;
  await page.waitForTimeout(200);
  answers.push(await page.locator("#answer-body").innerText());
}
await page.screenshot({ path: join(config.out, "typed.png") });
await browser.close();
console.log(JSON.stringify({ problems, hidden, answers }));
