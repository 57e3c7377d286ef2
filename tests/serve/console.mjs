// Does in a real Chromium what a technician does at the console; test_console.py calls it. Prints one JSON object.
//
//   node console.mjs CONFIG
//
// CONFIG is a JSON file: {playwright, axe (or null), chromium, serve (the words that start the server), url, token,
// pictures, clip, out}. The script starts and kills the server itself.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = (await import(pathToFileURL(config.playwright).href)).default;
const result = { problems: [], hosts: new Set(), urls: new Set(), overflow: {}, axe: config.axe ? {} : null };
const WAIT_MS = 240000;
let running = null;

async function startServer() {
  running = spawn(config.serve[0], config.serve.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
  for (const end = Date.now() + WAIT_MS; ; await new Promise((resolve) => setTimeout(resolve, 200))) {
    if (await fetch(config.url).then((response) => response.ok, () => false)) return;
    if (running.exitCode !== null || Date.now() > end) throw new Error("the server did not start");
  }
}

function killServer() {
  const gone = new Promise((resolve) => running.once("exit", resolve));
  running.kill("SIGKILL");
  return gone;
}

const file = (name) => join(config.pictures, name);
const text = (page, selector) => page.locator(selector).innerText();
const view = (page, name) => page.click(`.views a[href="#${name}"]`);
const notice = (page, words) => page.locator(".notice", { hasText: words }).first().innerText();

async function opened(browser, options = {}) {
  const context = await browser.newContext({ permissions: ["camera"], acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  page.on("console", (message) => {
    const expected = ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "status of 401"].some((words) => message.text().includes(words));
    if (["error", "warning"].includes(message.type()) && !expected) result.problems.push(message.text());
  });
  page.on("pageerror", (error) => result.problems.push(String(error.stack)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:") result.hosts.add(url.host);
    result.urls.add(request.url());
  });
  await page.goto(config.url);
  return page;
}

async function signIn(page, token) {
  await page.waitForSelector("#token-dialog[open]");
  await page.fill("#token", token);
  await page.fill("#person", "Mara");
  await page.keyboard.press("Enter");
}

async function signedIn(page) {
  await signIn(page, config.token);
  await page.waitForSelector("#token-dialog:not([open])", { state: "attached" });
}

async function look(page, name) {
  await view(page, "recognise");
  await page.locator("#answer").evaluate((card) => { card.dataset.kind = "asked"; });
  await page.setInputFiles("#choose-files", file(name));
  return answered(page);
}

async function answered(page) {
  await page.waitForSelector("#answer[data-kind=known], #answer[data-kind=unknown]");
  return { kind: await page.getAttribute("#answer", "data-kind"), label: await text(page, ".answer-label") };
}

async function addFiles(page, label, names) {
  await view(page, "teach");
  await page.fill("#teach-label", label);
  await page.setInputFiles("#choose-files", names.map(file));
  await page.waitForFunction((n) => document.querySelectorAll("#tray .tray-item:not([data-state=unseen])").length === n, names.length);
}

const tray = (page) =>
  page.locator("#tray .tray-item").evaluateAll((items) => items.map((item) => [item.querySelector(".tray-name").textContent, item.dataset.state]));

async function saved(page, label) {
  await page.click("#save");
  return notice(page, `of ${label} saved`);
}

async function classes(page) {
  await view(page, "classes");
  await page.waitForSelector("#class-list li");
  return page.locator(".class-card").evaluateAll((cards) => cards.map((card) => [card.dataset.label, card.querySelector(".count").textContent]));
}

async function held(page, release) {
  await page.waitForFunction(() => document.querySelectorAll("#tray .tray-item").length >= 2);
  await release();
  await page.waitForFunction(() => !document.querySelector("#tray .tray-item[data-state=unseen]"));
  return tray(page);
}

async function audited(page, name) {
  result.overflow[name] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (!config.axe) return;
  await page.evaluate(readFileSync(config.axe, "utf8"));
  const found = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  result.axe[name] = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

async function teaches(page) {
  await addFiles(page, "figure one", ["one.png", "two.png", "blank.png"]);
  result.advice = await tray(page);
  await audited(page, "teach");
  await page.click("[aria-label='Take out blank.png']");
  await page.waitForFunction(() => document.querySelectorAll("#tray .tray-item[data-state=fine]").length === 2);
  result.saved = await saved(page, "figure one");

  await page.fill("#teach-label", "from the camera");
  await page.locator("#hold").scrollIntoViewIfNeeded();
  const box = await page.locator("#hold").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  result.held = await held(page, () => page.mouse.up());
  await page.click("#discard");
  await page.click("#confirm-yes");
  await page.waitForFunction(() => !document.querySelector("#tray .tray-item"));
  await page.focus("#hold");
  await page.keyboard.down("Space");
  result.heldByKey = await held(page, () => page.keyboard.up("Space"));
  result.savedFromCamera = await saved(page, "from the camera");
}

async function recognises(page) {
  await page.locator("#answer").evaluate((card) => { card.dataset.kind = "asked"; });
  await view(page, "recognise");
  result.live = await answered(page);
  await page.click("#sensor-toggle");
  result.unknown = await look(page, "stranger.png");
  await audited(page, "recognise unknown");
  result.known = await look(page, "again.png");
  await audited(page, "recognise known");
}

async function changes(page) {
  result.classes = await classes(page);
  await page.click("[data-label='from the camera'] >> text=Rename");
  await page.fill("#confirm-field input", "two <b>");
  await page.click("#confirm-yes");
  await notice(page, "is now two <b>");
  await page.waitForSelector("[data-label='two <b>']");
  result.renamed = await classes(page);
  await page.click("[data-label='figure one'] >> text=Forget");
  await page.click("#confirm-yes");
  await notice(page, "is forgotten");
  await page.waitForFunction(() => document.querySelectorAll(".class-card").length === 1);
  result.forgotten = await classes(page);
  await page.click(".notice >> text=Undo");
  await page.waitForFunction(() => document.querySelectorAll(".class-card").length === 2);
  result.undone = await classes(page);
  await audited(page, "classes");
  await page.reload();
  result.reloaded = await classes(page);
}

async function refines(page) {
  await page.setInputFiles("#unlabelled", file("again.png"));
  await notice(page, "1 unlabelled picture given");
  await page.waitForSelector("#refining dl");
  result.refined = await page.locator("#refining dt, #refining dd").allInnerTexts();
  await audited(page, "unlabelled");
  await page.locator("#refining").screenshot({ path: join(config.out, "unlabelled.png") });
  await page.click(".notice >> text=Undo");
  await page.waitForSelector("#refining:not(:has(dl))");
  result.refinedNoMore = await text(page, "#refining .count");
}

/** The server is frozen, so that it cannot answer the save, and then killed in the middle of it. */
async function outlives(page) {
  await addFiles(page, "third", ["three.png", "four.png"]);
  running.kill("SIGSTOP");
  await page.click("#save");
  await page.waitForFunction(() => document.getElementById("tray-progress").textContent.includes("Saving"));
  await killServer();
  await page.waitForSelector("#away:not([hidden])");
  result.away = await text(page, "#away");
  result.keptWhileAway = (await tray(page)).length;
  await startServer();
  result.savedWhenBack = await notice(page, "of third saved");
  result.afterRestart = await classes(page);
}

/** The tab is closed with examples that nobody saved. */
async function survivesReload(page) {
  await addFiles(page, "fourth", ["stranger.png"]);
  await page.reload();
  await page.waitForSelector("#tray .tray-item");
  result.waitingAfterReload = (await tray(page)).map(([name]) => name);
  await page.waitForSelector("#discard:not(:disabled)");
  await page.click("#discard");
  await page.click("#confirm-yes");
  await page.waitForFunction(() => !document.querySelector("#tray .tray-item"));
}

async function looksAround(page) {
  await view(page, "map");
  await page.waitForSelector("#map-drawing svg");
  result.marks = await page.locator("#map-drawing .mark").count();
  result.mapInWords = await page.getAttribute("#map-drawing svg", "aria-label");
  await audited(page, "map");
  await view(page, "log");
  await page.waitForSelector("#log-rows tr");
  result.log = await page.locator("#log-rows tr").evaluateAll((rows) => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)));
  await page.click("#verify-log");
  await page.waitForFunction(() => /holds|not/.test(document.getElementById("log-verdict").textContent));
  result.verdict = await text(page, "#log-verdict");
  await audited(page, "log");
  await view(page, "classes");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export-pack")]);
  await download.saveAs(join(config.out, "classes.pack"));
}

async function turnsTheSlider(page) {
  await view(page, "recognise");
  await page.waitForSelector("#rate:not(:disabled)");
  result.rate = await text(page, "#rate-means");
  await page.focus("#rate");
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.getElementById("rate-means").textContent.includes("1000"));
  result.strictest = await text(page, "#rate-means");
  await page.waitForFunction(async () => {
    const { server } = await import("./server.js");
    return server.status.promise?.false_accept_rate === 0.001;
  });
  result.unpromised = await look(page, "again.png");
}

await startServer();
const args = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const browser = await chromium.launch({
  executablePath: config.chromium,
  timeout: WAIT_MS,
  args: [...args, `--use-file-for-fake-video-capture=${config.clip}`],
});
try {
  const page = await opened(browser, { viewport: { width: 1280, height: 800 } });
  await signIn(page, "not the token");
  result.wrongToken = await text(page, "#token-problem:not([hidden])");
  await signedIn(page);
  result.empty = await text(page, "#answer");
  await audited(page, "empty");
  await teaches(page);
  await recognises(page);
  await changes(page);
  await refines(page);
  await outlives(page);
  await survivesReload(page);
  await looksAround(page);
  await turnsTheSlider(page);
  await page.screenshot({ path: join(config.out, "desktop.png") });
  const phone = await opened(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark", deviceScaleFactor: 2 });
  await signedIn(phone);
  for (const name of ["recognise", "teach", "classes", "map", "log"]) {
    await view(phone, name);
    await phone.waitForTimeout(300);
    await audited(phone, `phone ${name}`);
    await phone.screenshot({ path: join(config.out, `phone-${name}.png`) });
  }
} catch (error) {
  const shot = join(config.out, "failed.png");
  for (const context of browser.contexts()) for (const page of context.pages()) await page.screenshot({ path: shot, timeout: 0 });
  throw new Error(`see ${shot}; ${result.problems.join("; ")}`, { cause: error });
} finally {
  await browser.close();
  if (running.exitCode === null) await killServer();
}
result.tokenInUrl = [...result.urls].some((url) => url.includes(encodeURIComponent(config.token)));
console.log(JSON.stringify({ ...result, hosts: [...result.hosts], urls: undefined }));
