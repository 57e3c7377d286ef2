// The operating point: how often a stranger may be taken for a class, and whether that can be promised here.

import { batches, form } from "./batches.js";
import { byId, element, percent, plural } from "./elements.js";
import { noun, words } from "./kinds.js";
import { notify } from "./notices.js";
import { server } from "./server.js";

const RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

let rates = RATES;
let promises = [];
let chosen = null;
let built = false;

/** Reads what each rate promises, and shows it. */
export async function refreshStrictness() {
  const now = server.status?.promise ?? null;
  rates = now === null ? RATES : [...new Set([...RATES, now.false_accept_rate])].sort((a, b) => a - b);
  try {
    const told = await server.call(`promise?rates=${rates.join(",")}`);
    promises = told.promises;
  } catch (error) {
    if (!promises.length) return;
    console.warn(error);
  }
  chosen = now === null ? null : nearest(now.false_accept_rate);
  draw();
}

function nearest(rate) {
  const distances = rates.map((one) => Math.abs(Math.log(one / rate)));
  return distances.indexOf(Math.min(...distances));
}

function draw() {
  if (!built) build();
  const place = chosen ?? nearest(0.05);
  const slider = byId("rate");
  slider.max = rates.length - 1;
  slider.value = place;
  slider.disabled = chosen === null || !server.teacher;
  byId("never-unknown").checked = chosen === null;
  byId("never-unknown").disabled = !server.teacher;
  byId("give-strangers").hidden = !server.teacher;
  describe(place, chosen === null);
}

function build() {
  built = true;
  const slider = element("input", {
    id: "rate", type: "range", min: 0, step: 1, "aria-describedby": "rate-means",
    oninput: (event) => describe(Number(event.target.value), false),
    onchange: (event) => set(rates[event.target.value]),
  });
  const never = element("input", {
    id: "never-unknown", type: "checkbox",
    onchange: (event) => set(event.target.checked ? null : rates[slider.value]),
  });
  const strangers = element("input", {
    id: "strangers", type: "file", accept: words().accept, multiple: true, class: "visually-hidden", onchange: give,
  });
  byId("strictness").replaceChildren(
    element("h2", {}, element("label", { for: "rate" }, "How strict")),
    slider,
    element("div", { class: "ends", "aria-hidden": "true" }, element("span", {}, "stricter"), element("span", {}, "more answers")),
    element("p", { id: "rate-means", class: "rate-means" }),
    element("p", { id: "rate-basis", class: "rate-basis" }),
    element("label", { class: "check" }, never, "Always name the nearest class, never say unknown"),
    element("div", { id: "give-strangers", class: "beside" },
      element("label", { class: "button", for: "strangers" }, "Show strangers"), strangers,
      element("span", { class: "muted" }, `Give ${noun()}s of this place that are of no class. The promise then holds for this place.`)),
  );
}

function describe(place, always) {
  const slider = byId("rate");
  const means = byId("rate-means");
  const basis = byId("rate-basis");
  byId("strictness").dataset.kept = "yes";
  if (always) {
    means.textContent = "Every stranger will be taken for a class.";
    basis.textContent = "Nothing is promised: the nearest class is named, however far it is.";
    byId("strictness").dataset.kept = "no";
    slider.setAttribute("aria-valuetext", "off");
    return;
  }
  const rate = rates[place];
  const sentence = `At most 1 in ${Math.round(1 / rate)} strangers will be taken for a class.`;
  const promise = promises.find((one) => one.false_accept_rate === rate);
  slider.setAttribute("aria-valuetext", sentence);
  if (!promise) return;
  if (promise.threshold === null) {
    byId("strictness").dataset.kept = "no";
    means.textContent = `Not enough is known to promise 1 in ${Math.round(1 / rate)}.`;
    const needed = promise.strangers_needed
      ? ` ${plural(promise.strangers_needed, "stranger")} would be enough; ${promise.strangers ?? 0} were shown.`
      : "";
    basis.textContent = `Until then every answer is unknown. ${sentenceOf(promise.reason)}${needed}`;
    return;
  }
  means.textContent = sentence;
  const kept = promise.judged
    ? ` Of your own examples, ${promise.recognised} of ${promise.judged} (${percent(promise.recognised / promise.judged)}) are still recognised.`
    : "";
  basis.textContent = `${sentenceOf(promise.reason)}${kept}`;
}

function sentenceOf(text) {
  return text ? `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}` : "";
}

async function set(rate) {
  try {
    await server.call("operating-point", { method: "PUT", json: { false_accept_rate: rate } });
  } catch (error) {
    notify(error.message, { bad: true });
  }
  await server.poll();
  await refreshStrictness();
}

async function give(event) {
  const files = [...event.target.files];
  event.target.value = "";
  if (!files.length) return;
  let added = 0;
  try {
    notify(`Looking at ${plural(files.length, noun())} …`);
    for (const part of batches(files, (file) => file)) {
      const body = form(part.map((file) => [file, file.name]));
      added += (await server.call("strangers", { method: "POST", body })).accepted.length;
    }
    const again = files.length - added;
    notify(`${plural(added, "stranger")} shown${again ? `, ${again} had been shown before` : ""}. The promises follow.`);
  } catch (error) {
    notify(error.message, { bad: true });
  }
  await server.poll();
  await refreshStrictness();
}
