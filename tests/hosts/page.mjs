// Drives the page in a real Chromium, as a person does; test_hosts.py calls it. Prints one JSON object.
//
//   node page.mjs PLAYWRIGHT CHROMIUM URL PICTURES OUT
//
// PICTURES holds one.png, two.png (of one class), other.png and stranger.png; OUT takes the screenshots and the state.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [playwright, executablePath, url, pictures, out] = process.argv.slice(2);
const { chromium } = (await import(pathToFileURL(playwright).href)).default;
const clip = join(pictures, "clip.y4m");
const fake = existsSync(clip) ? [`--use-file-for-fake-video-capture=${clip}`] : [];
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", ...fake],
});
const result = { problems: [], hosts: new Set() };

async function opened(options = {}) {
  const context = await browser.newContext({ permissions: ["camera"], acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && result.problems.push(message.text()));
  page.on("pageerror", (error) => result.problems.push(String(error)));
  page.on("request", (request) => result.hosts.add(new URL(request.url()).host));
  await page.goto(url);
  await page.waitForFunction(() => document.getElementById("bundle").textContent.startsWith("bundle "));
  return page;
}

const text = (page, id) => page.locator(`#${id}`).textContent();
const classes = (page) => page.locator("#classes li").evaluateAll((rows) => rows.map((row) => [...row.children].slice(0, 2).map((part) => part.textContent)));
const said = async (page, start) => {
  await page.waitForFunction((words) => document.getElementById("said").textContent.includes(words), start);
  return text(page, "said");
};

async function choose(page, button, files) {
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click(`#${button}`)]);
  await chooser.setFiles(files.map((file) => join(pictures, file)));
}

async function answer(page, file) {
  await choose(page, "open", [file]);
  await page.waitForFunction((name) => document.getElementById("picture").getAttribute("aria-label") === name, file);
  await page.evaluate(async () => (await import("./app.js")).ready);
  await page.waitForTimeout(200);
  return { label: await text(page, "label"), kind: await page.getAttribute("#answer", "class"), detail: await text(page, "detail") };
}

async function teach(page, name, files) {
  await page.fill("#name", name);
  await page.evaluate(() => { document.getElementById("said").textContent = ""; }); // or what was said before is read
  await choose(page, "add-files", files);
  return said(page, `${name}: `);
}

const page = await opened({ viewport: { width: 1200, height: 860 } });
result.vectors = await page.evaluate(async () => (await import("./app.js")).conformance("vectors/"));
result.nothing = await answer(page, "stranger.png");
result.taught = await teach(page, "figure one", ["one.png", "two.png"]);
result.other = await teach(page, "other", ["other.png"]);
result.again = await teach(page, "other", ["other.png"]);
result.classes = await classes(page);
result.known = await answer(page, "one.png");
await page.screenshot({ path: join(out, "desktop.png") });
result.unknown = await answer(page, "stranger.png");
await page.reload();
await page.waitForFunction(() => document.getElementById("bundle").textContent.startsWith("bundle "));
result.afterReload = await classes(page);
await page.click("[aria-label='Forget other']");
result.forgotten = [await said(page, "other is forgotten"), await classes(page)];
await page.click("#undo");
result.undone = [await said(page, "Taken back"), await classes(page)];
const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
await download.saveAs(join(out, "page.state"));
await page.fill("#name", " ");
await page.click("#add");
result.noName = await text(page, "said");
await choose(page, "load", ["one.png"]);
result.badState = await said(page, "state file");
result.stillThere = await classes(page);

await page.fill("#name", "what the camera shows");
await page.click("#start");
await page.waitForFunction(() => document.getElementById("answer").className !== "none");
await page.click("#add");
result.camera = await said(page, "what the camera shows: 1 added");
await page.waitForTimeout(800);
result.cameraAnswer = await text(page, "label");
await page.click("#start");
result.cameraStopped = await page.locator("#camera").isHidden();

const phone = await opened({ viewport: { width: 390, height: 844 }, colorScheme: "dark", deviceScaleFactor: 2 });
await choose(phone, "load", [join("..", "out", "page.state")]);
await said(phone, "is loaded");
result.loaded = await classes(phone);
result.phoneUnknown = await answer(phone, "stranger.png");
result.overflow = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
await phone.screenshot({ path: join(out, "phone.png"), fullPage: true });
await browser.close();
console.log(JSON.stringify({ ...result, hosts: [...result.hosts] }));
