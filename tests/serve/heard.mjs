// A bundle of sounds in a real Chromium with a fake microphone, which plays a file: examples are recorded, listened to and
// saved, a sound is recognised; and a browser that gives no microphone. Prints one JSON object.
//
//   node heard.mjs CONFIG   (a JSON file: {playwright, axe (or null), chromium, url, token, out, taught, stranger})

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = (await import(pathToFileURL(config.playwright).href)).default;
const result = { problems: [], axe: config.axe ? {} : null, overflow: {} };
const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const TABLET = { width: 1024, height: 768 };

async function within(args, work, options = {}) {
  const all = ["--no-sandbox", "--disable-gpu", ...args];
  const browser = await chromium.launch({ executablePath: config.chromium, args: all });
  const page = await (await browser.newContext({ viewport: TABLET, ...options })).newPage();
  try {
    page.setDefaultTimeout(60000);
    page.on("pageerror", (error) => result.problems.push(String(error.stack)));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !message.text().includes("status of 401")) result.problems.push(message.text());
    });
    await page.addInitScript(() => {
      window.tracks = [];
      const { mediaDevices } = navigator;
      const given = mediaDevices.getUserMedia.bind(mediaDevices);
      mediaDevices.getUserMedia = async (wanted) => {
        const stream = await given(wanted);
        window.tracks.push(...stream.getTracks());
        return stream;
      };
    });
    await page.goto(config.url);
    await page.waitForSelector("#token-dialog[open]");
    await page.fill("#token", config.token);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#scope:not([hidden])");
    await work(page);
  } catch (error) {
    await page.screenshot({ path: join(config.out, "failed.png") });
    throw new Error(`see ${join(config.out, "failed.png")}; ${result.problems.join("; ")}`, { cause: error });
  } finally {
    await browser.close();
  }
}

const view = (page, name) => page.click(`.views a[href="#${name}"]`);
const text = (page, selector) => page.locator(selector).innerText();
const on = (page) => page.evaluate(() => window.tracks.filter((track) => track.readyState === "live").length);
const playing = (file) => [...FAKE, `--use-file-for-fake-audio-capture=${file}`];

async function audited(page, name) {
  await page.screenshot({ path: join(config.out, `${name.replaceAll(" ", "-")}.png`) });
  result.overflow[name] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (!config.axe) return;
  await page.evaluate(readFileSync(config.axe, "utf8"));
  const found = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  result.axe[name] = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

async function onePhone(page, name) {
  await page.setViewportSize({ width: 390, height: 844 });
  await audited(page, `phone ${name}`);
  await page.setViewportSize(TABLET);
}

async function listenedOnce(page) {
  await page.locator("#answer").evaluate((card) => { card.dataset.kind = "asked"; });
  await page.click("#record");
  await page.waitForSelector("#answer[data-kind=known], #answer[data-kind=unknown]");
  return text(page, ".answer-label");
}

async function teaches(page) {
  await view(page, "teach");
  await page.fill("#teach-label", "a tune");
  for (let n = 1; n <= 4; n++) {
    await page.click("#record");
    if (n === 1) {
      await page.waitForFunction(() => document.querySelector("#record[data-recording=yes]") && document.getElementById("level-word").textContent === "good");
      result.said = await text(page, "#scope-said");
      await audited(page, "recording");
    }
    await page.waitForFunction((count) => document.querySelectorAll("#tray .tray-item").length === count, n);
  }
  await page.waitForFunction(() => document.querySelectorAll("#tray [data-state=odd], #tray [data-state=fine]").length === 4 && document.querySelectorAll("#tray .waveform").length === 4);
  result.onBetween = await on(page);
  result.tray = await page.locator("#tray .tray-item").evaluateAll((items) => items.map((item) => item.innerText));
  await page.click("#tray .play >> nth=0");
  await page.waitForSelector("#tray .play[data-playing]");
  await page.waitForSelector("#tray .play:not([data-playing]) >> nth=3");
  await audited(page, "teach by microphone");
  await onePhone(page, "teach by microphone");
  await page.click("#tray .icon >> nth=3");
  await page.waitForFunction(() => document.querySelectorAll("#tray .tray-item").length === 3);
  await page.click("#save");
  await page.waitForFunction(() => !document.querySelector("#tray li"));
}

/** The microphone goes off, and nothing is taken, where one leaves in the middle of a recording. */
async function leaves(page) {
  await page.click("#record");
  await page.waitForSelector("#record[data-recording=yes]");
  await view(page, "classes");
  await page.waitForFunction(() => window.tracks.every((track) => track.readyState === "ended"), null, { timeout: 400 });
  result.onAfterView = await on(page);
  await view(page, "teach");
  result.trayAfterView = await page.locator("#tray li").count();
  await view(page, "recognise");
  await page.click("#sensor-toggle");
  await page.waitForFunction(() => window.tracks.at(-1).readyState === "live");
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
    delete document.hidden;
  });
  result.onAfterTab = await on(page);
}

async function recognises(page) {
  result.once = await listenedOnce(page);
  result.onAfterOnce = await on(page);
  await audited(page, "recognised once");
  await onePhone(page, "recognised once");
  await page.click("#sensor-toggle");
  await page.waitForSelector("#answers .answer-again");
  result.listening = await text(page, "#answers .answer-again >> nth=0");
  await page.waitForTimeout(1500);
  await audited(page, "listening");
  await onePhone(page, "listening");
  await page.click("#sensor-toggle");
  result.onAtTheEnd = await on(page);
}

const refused = (name) => async (page) => {
  await page.click("#record");
  await page.waitForSelector("#sensor-problem:not([hidden])");
  result[name] = await text(page, "#sensor-problem");
  await audited(page, name);
};

await within(playing(config.taught), async (page) => {
  await teaches(page);
  await leaves(page);
  await recognises(page);
});
await within(playing(config.stranger), async (page) => {
  result.unknown = await listenedOnce(page);
}, { colorScheme: "dark" });
await within(FAKE.slice(0, 1), async (page) => {
  await refused("notAllowed")(page);
  await page.evaluate(() => Object.defineProperty(navigator, "mediaDevices", { value: undefined }));
  await refused("notSecure")(page);
});
await within([], refused("noMicrophone"));
console.log(JSON.stringify(result));
