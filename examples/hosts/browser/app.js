// The page: a camera or picture files in, classes taught and recognised, all of it in this browser. See docs/hosts.md.

import * as ort from "./ort/ort.wasm.min.mjs";
import { Host, HostError, State, checkName, fromRgba } from "./edgefew.js";

const BUNDLE = "bundle/";
const PAUSE = 150; // ms between two looks of the camera
const MESSAGE = 8000; // ms

const $ = (id) => document.getElementById(id);
const canvas = document.createElement("canvas"); // what was last looked at, with all its pixels
const context = canvas.getContext("2d", { willReadFrequently: true });

let host;
let state;
let seen = null; // {kind: "camera" | "picture", name}

// ---- one thing after the other: a graph must not run on a state that another call is changing -------------------------

let last = Promise.resolve();

function inTurn(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

// What a person started: its errors are shown.
const act = (work) => async (...words) => {
  try {
    await inTurn(() => work(...words));
  } catch (error) {
    say(error instanceof HostError ? error.message : `${error.name}: ${error.message}`, { bad: true });
  }
};

let hide;

function say(text, { bad = false, undo = null } = {}) {
  clearTimeout(hide);
  $("said").textContent = text;
  $("message").classList.toggle("bad", bad);
  $("undo").hidden = !undo;
  $("undo").onclick = undo;
  if (!bad && text) hide = setTimeout(() => say(""), MESSAGE);
}

// ---- the state, kept in this browser ---------------------------------------------------------------------------------

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("edgefew", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("states");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function inStore(mode, work) {
  const db = await database();
  try {
    // Strict: it is on the disk when the transaction is complete, so what was said to be enrolled is.
    const transaction = db.transaction("states", mode, { durability: "strict" });
    const request = work(transaction.objectStore("states"));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    return request.result;
  } finally {
    db.close();
  }
}

async function keep(changed) {
  await inStore("readwrite", (store) => store.put(changed.toBytes(), host.idHex));
  state = changed;
  show();
}

async function kept() {
  const bytes = await inStore("readonly", (store) => store.get(host.idHex));
  return bytes ? State.fromBytes(host, bytes) : new State(host);
}

// A change is made to a copy, so that one that fails, or cannot be kept, leaves what was there.
const copied = () => State.fromBytes(host, state.toBytes());

// ---- frames ----------------------------------------------------------------------------------------------------------

function look(source, width, height) {
  [canvas.width, canvas.height] = [width, height];
  context.drawImage(source, 0, 0);
}

function frame() {
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  return fromRgba(data, height, width, seen.name);
}

async function lookAtFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new HostError(`${file.name} is no picture that this browser can read.`);
  }
  look(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  seen = { kind: "picture", name: file.name };
}

function lookAtCamera() {
  const camera = $("camera");
  look(camera, camera.videoWidth, camera.videoHeight);
  seen = { kind: "camera", name: `camera ${new Date().toISOString()}` };
}

// ---- recognise -------------------------------------------------------------------------------------------------------

const SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

async function recognise() {
  const answer = await host.recognise(state, frame());
  $("answer").className = answer.known ? "known" : "unknown";
  const label = answer.label ?? "unknown";
  if ($("label").textContent !== label) $("label").textContent = label; // read aloud when it changes, and only then
  $("detail").textContent = told(answer);
}

function told({ known, nearest, score, probability, threshold }) {
  if (nearest === null) return "No class is enrolled.";
  if (known) return `${SHARE.format(probability)}, score ${score.toFixed(2)} (${threshold.toFixed(2)} needed)`;
  if (threshold === Infinity) return `Nearest: ${nearest}. The bundle promises nothing for so many classes.`;
  return `Nearest: ${nearest}, score ${score.toFixed(2)} (${threshold.toFixed(2)} needed)`;
}

async function watch() {
  const camera = $("camera");
  while (camera.srcObject) {
    if (camera.videoWidth && !document.hidden) {
      await inTurn(() => {
        if (!camera.srcObject) return null;
        lookAtCamera();
        return recognise();
      }).catch((error) => say(error.message, { bad: true }));
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function stopCamera() {
  const camera = $("camera");
  for (const track of camera.srcObject?.getTracks() ?? []) track.stop();
  camera.srcObject = null;
  camera.hidden = true;
  $("start").textContent = "Start camera";
}

async function startCamera() {
  const camera = $("camera");
  if (!navigator.mediaDevices) throw new HostError("The camera needs https, or localhost.");
  try {
    camera.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new HostError(`The camera cannot be used (${error.message}). Allow it for this page, or open pictures.`);
  }
  await camera.play();
  $("picture").hidden = $("nothing").hidden = true;
  camera.hidden = false;
  $("start").textContent = "Stop camera";
  watch();
}

async function openPicture(file) {
  await lookAtFile(file);
  stopCamera();
  const picture = $("picture");
  [picture.width, picture.height] = [canvas.width, canvas.height];
  picture.getContext("2d").drawImage(canvas, 0, 0);
  picture.hidden = false;
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", file.name);
  $("nothing").hidden = true;
  await recognise();
}

// ---- teach -----------------------------------------------------------------------------------------------------------

async function teach(frames) {
  const name = checkName($("name").value);
  const changed = copied();
  const added = await host.learn(changed, name, frames);
  await keep(changed);
  const { examples } = state.classes.find((entry) => entry.name === name);
  const skipped = frames.length - added;
  say(`${name}: ${added} added, ${examples.length} in all${skipped ? ` (${skipped} had been added before)` : ""}.`);
  if (seen) await recognise();
}

async function teachFiles(files) {
  checkName($("name").value); // before anything is read
  const [before, pixels] = [seen, seen && context.getImageData(0, 0, canvas.width, canvas.height)];
  const frames = [];
  try {
    for (const file of files) {
      await lookAtFile(file);
      frames.push(frame());
    }
  } finally {
    seen = before; // what is in view stays what is asked about
    if (pixels) {
      [canvas.width, canvas.height] = [pixels.width, pixels.height];
      context.putImageData(pixels, 0, 0);
    }
  }
  await teach(frames);
}

async function replace(changed, text) {
  const before = state;
  await keep(changed);
  if (seen) await recognise();
  say(text, { undo: act(async () => replace(before, "Taken back.")) });
}

async function forget(name) {
  const changed = copied();
  changed.forget(name);
  await replace(changed, `${name} is forgotten.`);
}

// ---- the page --------------------------------------------------------------------------------------------------------

function show() {
  const rows = state.classes.map(({ name, examples }) => {
    const [row, label, count, button] = ["li", "b", "span", "button"].map((tag) => document.createElement(tag));
    label.textContent = name;
    count.textContent = examples.length === 1 ? "1 example" : `${examples.length} examples`;
    Object.assign(button, { type: "button", className: "small", textContent: "Forget", onclick: act(() => forget(name)) });
    button.setAttribute("aria-label", `Forget ${name}`);
    row.append(label, count, button);
    return row;
  });
  $("classes").replaceChildren(...rows);
  $("names").replaceChildren(...state.classes.map(({ name }) => new Option(name)));
  $("empty").hidden = rows.length > 0;
}

// Asks for files and gives them to the work; nothing happens if none is chosen.
function choose(accept, multiple, work) {
  return () => {
    const input = $("files");
    Object.assign(input, { accept, multiple, value: "" });
    input.onchange = () => input.files.length && act(work)([...input.files]);
    input.click();
  };
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([state.toBytes()], { type: "application/octet-stream" }));
  link.download = "classes.state";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), MESSAGE);
}

async function load([file]) {
  const loaded = State.fromBytes(host, new Uint8Array(await file.arrayBuffer()));
  await replace(loaded, `${file.name} is loaded: ${loaded.classes.length} classes.`);
}

function connect() {
  $("start").onclick = act(async () => ($("camera").srcObject ? stopCamera() : startCamera()));
  $("open").onclick = choose("image/*", false, ([file]) => openPicture(file));
  $("add-files").onclick = () => $("name").reportValidity() && choose("image/*", true, teachFiles)();
  $("teach").onsubmit = (event) => {
    event.preventDefault();
    act(async () => {
      checkName($("name").value);
      if (!seen) throw new HostError("Nothing is in view. Start the camera or open a picture.");
      await teach([frame()]);
    })();
  };
  $("save").onclick = act(async () => save());
  $("load").onclick = choose(".state", false, load);
  const view = $("view");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    view.addEventListener(kind, (event) => {
      event.preventDefault();
      view.classList.toggle("drop", kind === "dragover");
      const [file] = kind === "drop" ? event.dataTransfer.files : [];
      if (file) act(openPicture)(file);
    });
  }
  for (const id of ["start", "open", "name", "add", "add-files", "save", "load"]) $(id).disabled = false;
}

const read = (folder) => async (name) => {
  const response = await fetch(folder + name, { cache: "no-cache" });
  if (!response.ok) throw new HostError(`${folder}${name} is not there (${response.status}). Put the bundle's folder beside this page.`);
  return new Uint8Array(await response.arrayBuffer());
};

async function begin() {
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = 1;
  host = await Host.open(ort, "wasm", read(BUNDLE));
  state = await kept();
  show();
  connect();
  $("bundle").textContent = `bundle ${host.idHex.slice(0, 12)}…, every byte as exported`;
}

// For the page's tests: conformance vectors that are served beside it.
export async function conformance(folder) {
  const { runVectors } = await import("./conformance.js");
  const lines = [];
  const failed = await runVectors(host, read(folder), (line) => lines.push(line));
  return { failed, lines };
}

export const ready = inTurn(begin).catch((error) => {
  $("bundle").textContent = "the bundle could not be opened";
  say(error.message, { bad: true });
});
