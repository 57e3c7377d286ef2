// Teaching: examples are collected, looked at by the doctor, and saved. Until then they wait in this browser.

import { batches, form } from "./batches.js";
import { stage } from "./camera.js";
import { byId, element, plural, show } from "./elements.js";
import { isHeard, isSeen, noun } from "./kinds.js";
import { ask, notify } from "./notices.js";
import { thumbnail } from "./recognise.js";
import { Away, Refused, server } from "./server.js";
import * as waiting from "./waiting.js";

const SHOT_MS = 300;
const CHECK_AFTER_MS = 250;
const LABEL = "edgefew-label";

let records = [];
let reports = new Map();
let advice = [];
let judged = "";
let round = 0;
let timer = null;
let holding = false;
let saving = false;
const thumbnails = new Map();

/** Reads what waits from before, and listens. */
export async function startTeaching() {
  byId("teach-label").value = sessionStorage.getItem(LABEL) ?? "";
  try {
    records = await waiting.all();
  } catch (error) {
    show(byId("tray-problem"), `This browser cannot keep examples until they are saved: ${error.message}`);
  }
  if (!label() && records.length) byId("teach-label").value = records.at(-1).label;
  byId("teach-label").addEventListener("input", relabelled);
  byId("save").addEventListener("click", () => save(label()));
  byId("discard").addEventListener("click", discard);
  holdable(byId("hold"));
  draw();
  resume();
}

/** After the server was away: what was being saved is saved, the rest looked at. */
export async function resume() {
  if (!server.teacher || server.away || saving) return;
  for (const name of new Set(records.filter((one) => one.saving).map((one) => one.label))) await save(name);
  check();
}

/** Adds pictures to those that wait, for the class in the field. */
export async function addExamples(files) {
  for (const file of files) await add(file, file.name || noun());
  check();
}

/** How many examples wait, of all classes. */
export function waitingCount() {
  return records.length;
}

export function showClasses(classes) {
  byId("class-names").replaceChildren(...classes.map((one) => element("option", { value: one.label })));
  const known = classes.find((one) => one.label === label());
  byId("teach-known").textContent = !label()
    ? ""
    : known
      ? `Known already, with ${plural(known.examples, "example")}: what you add makes it surer.`
      : "A new class.";
}

function label() {
  return byId("teach-label").value.trim();
}

/** The examples that wait for a class; those that were taken without a name go to whichever is named. */
function waitingFor(name) {
  return records.filter((one) => one.label === name || one.label === "");
}

function current() {
  return waitingFor(label());
}

/** What looks wrong comes first. */
function ordered() {
  const odd = (one) => Boolean(reports.get(one.name)?.length);
  return current().toSorted((a, b) => odd(b) - odd(a) || a.id - b.id);
}

function relabelled() {
  sessionStorage.setItem(LABEL, label());
  document.dispatchEvent(new Event("label"));
  forgetAdvice();
  draw();
  check();
}

function forgetAdvice() {
  reports = new Map();
  advice = [];
  judged = "";
}

async function add(blob, name) {
  show(byId("tray-problem"), null);
  const unique = freeName(name);
  try {
    const id = await waiting.add(label(), unique, blob);
    records.push({ id, label: label(), name: unique, blob, saving: false });
  } catch (error) {
    show(byId("tray-problem"), `This browser cannot keep the example until it is saved: ${error.message}`);
    return;
  }
  draw();
}

/** The name, with a number if another example of the class that waits has it. */
function freeName(name) {
  const taken = new Set(current().map((one) => one.name));
  const [stem, ending] = name.includes(".") ? [name.slice(0, name.lastIndexOf(".")), name.slice(name.lastIndexOf("."))] : [name, ""];
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${stem}-${i}${ending}`;
  return free;
}

async function shoot() {
  const blob = await stage.grab();
  if (!blob) return;
  const at = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
  await add(blob, `camera-${at}.jpg`);
}

function holdable(button) {
  const begin = async () => {
    if (holding || button.disabled) return;
    holding = true;
    button.classList.add("holding");
    if (!stage.live) await stage.start();
    while (holding && stage.live) {
      await shoot();
      await new Promise((resolve) => setTimeout(resolve, SHOT_MS));
    }
    end();
  };
  const end = () => {
    if (!holding) return;
    holding = false;
    button.classList.remove("holding");
    check();
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    begin();
  });
  for (const name of ["pointerup", "pointercancel", "blur"]) button.addEventListener(name, end);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) begin();
  });
  button.addEventListener("keyup", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault(); // else Firefox makes a click of it
    end();
  });
  // A screen reader presses without holding: one example.
  button.addEventListener("click", async (event) => {
    if (event.detail !== 0 || holding) return;
    if (!stage.live) await stage.start();
    await shoot();
    check();
  });
}

function check() {
  clearTimeout(timer);
  timer = setTimeout(examine, CHECK_AFTER_MS);
}

/** Asks the doctor of all that waits for the class, and saves nothing. */
async function examine() {
  const mine = ++round;
  const [name, asked] = [label(), current()];
  if (!asked.length || !name || !server.teacher || saving) {
    if (!asked.length) forgetAdvice();
    draw();
    return;
  }
  byId("tray-state").textContent = "Looking …";
  try {
    const found = new Map();
    for (const chunk of batches(asked, (one) => one.blob)) {
      const told = await enroll(name, chunk, true);
      if (mine !== round) return;
      note(told, found);
    }
    reports = found;
    show(byId("tray-problem"), null);
    byId("tray-state").textContent = "";
  } catch (error) {
    if (mine !== round) return;
    byId("tray-state").textContent = "";
    if (error instanceof Refused) {
      if (error.body.diagnosis) note({ skipped: [], diagnosis: error.body.diagnosis }, (reports = new Map()));
      show(byId("tray-problem"), error.message);
    }
  }
  draw();
}

function note(told, found) {
  for (const report of told.diagnosis?.examples ?? []) found.set(report.name, report.findings);
  for (const name of told.skipped) found.set(name, [{ kind: "skipped", text: `the same ${noun()} is there already: it will be skipped` }]);
  advice = told.diagnosis?.advice ?? [];
  judged = told.diagnosis?.judged ? `${told.diagnosis.recognised} of ${told.diagnosis.judged} examples of the class are recognised when left out.` : "";
}

function enroll(name, chunk, dryRun) {
  const body = form(chunk.map((one) => [one.blob, one.name]), { label: name, dry_run: dryRun });
  return server.call("enroll", { method: "POST", body });
}

/** Saves what waits for a class. What the server has answered is taken out; the rest stays, and is tried again. */
async function save(name) {
  if (saving) return;
  saving = true;
  round++;
  const asked = waitingFor(name);
  for (const one of asked) Object.assign(one, { label: name, saving: true });
  let done = 0;
  let added = 0;
  let last = null;
  try {
    await waiting.change(asked);
    show(byId("tray-problem"), null);
    for (const chunk of batches(asked, (one) => one.blob)) {
      progress(done, asked.length, `Saving ${plural(asked.length, "example")} of ${name} …`);
      last = await enroll(name, chunk, false);
      await drop(chunk);
      done += chunk.length;
      added += last.accepted.length;
    }
    const again = asked.length - added;
    notify(`${plural(added, "example")} of ${name} saved${again ? `, ${again} had been saved before` : ""}. It has ${plural(last.examples, "example")} now.`);
  } catch (error) {
    if (error instanceof Refused) {
      for (const one of asked) one.saving = false;
      await waiting.change(asked.slice(done));
      if (error.body.diagnosis) note({ skipped: [], diagnosis: error.body.diagnosis }, reports);
    }
    show(
      byId("tray-problem"),
      error instanceof Away ? `The server is away. ${plural(asked.length - done, "example")} are kept here, and saved when it is back.` : error.message,
    );
  } finally {
    saving = false;
    progress(1, 1, null);
    forgetAdviceIfEmpty();
    draw();
  }
  server.poll();
}

function forgetAdviceIfEmpty() {
  if (!current().length) forgetAdvice();
}

function progress(done, of, text) {
  const place = byId("tray-progress");
  place.hidden = text === null;
  place.querySelector("span").textContent = text ?? "";
  const bar = place.querySelector("progress");
  if (done === 0) bar.removeAttribute("value");
  else bar.value = done / of;
}

async function drop(gone) {
  const ids = new Set(gone.map((one) => one.id));
  await waiting.remove([...ids]);
  records = records.filter((one) => !ids.has(one.id));
  for (const id of ids) thumbnails.delete(id);
}

async function removeOne(record) {
  const place = ordered().indexOf(record);
  await drop([record]);
  draw();
  check();
  const buttons = byId("tray").querySelectorAll("button.icon");
  (buttons[Math.min(place, buttons.length - 1)] ?? byId("teach-label")).focus();
}

async function discard() {
  const gone = current();
  const sure = await ask({
    title: `Discard ${plural(gone.length, "example")}?`,
    text: `They were taken for ${label()} and are not saved yet.`,
    yes: "Discard",
    danger: true,
  });
  if (!sure) return;
  await drop(gone);
  forgetAdvice();
  draw();
}

function draw() {
  const mine = ordered();
  const others = grouped(records);
  byId("tray").replaceChildren(...mine.map(item));
  byId("tray").hidden = !mine.length;
  byId("tray-others").replaceChildren(
    ...others
      .filter(([name]) => name !== label() && name !== "")
      .map(([name, group]) =>
        element("button", { type: "button", class: "chip", onclick: () => choose(name) }, `${name}: ${group.length} waiting`),
      ),
  );
  byId("tray-advice").replaceChildren(
    ...(mine.length
      ? [judged && element("p", { class: "muted" }, judged), ...advice.map((text) => element("p", { class: "advice" }, text))].filter(Boolean)
      : [element("p", { class: "muted" }, "Nothing waits. Each example is looked at here before it is saved, and you can take it out.")]),
  );
  drawActions();
}

/** What can be done now; the list stays as it is, and with it what has the focus. */
export function drawActions() {
  const mine = current();
  byId("save").textContent = mine.length ? `Save ${plural(mine.length, "example")}` : "Save";
  byId("save").disabled = !mine.length || !label() || saving || !server.teacher || server.away;
  byId("discard").disabled = !mine.length || saving;
  byId("hold").disabled = saving;
  const badge = byId("waiting-badge");
  badge.hidden = !records.length;
  badge.textContent = records.length;
  badge.setAttribute("aria-label", `${plural(records.length, "example")} waiting`);
}

function grouped(list) {
  const groups = new Map();
  for (const one of list) groups.set(one.label, [...(groups.get(one.label) ?? []), one]);
  return [...groups];
}

function choose(name) {
  byId("teach-label").value = name;
  relabelled();
}

function item(record) {
  if ((isSeen() || isHeard()) && !thumbnails.has(record.id)) thumbnails.set(record.id, thumbnail(record.blob, record.name));
  const findings = reports.get(record.name);
  const state = findings === undefined ? "unseen" : findings.length ? "odd" : "fine";
  const told =
    findings === undefined
      ? [element("p", { class: "muted" }, record.saving ? "Being saved" : label() ? "Not looked at yet" : "Give the class a name")]
      : findings.length
        ? findings.map((one) => element("p", {}, one.text))
        : [element("p", {}, "Looks right")];
  return element(
    "li",
    { class: "tray-item", "data-state": state },
    thumbnails.get(record.id),
    element("div", { class: "tray-text" }, element("p", { class: "tray-name" }, record.name), told),
    element(
      "button",
      { type: "button", class: "icon", "aria-label": `Take out ${record.name}`, disabled: saving, onclick: () => removeOne(record) },
      "×",
    ),
  );
}
