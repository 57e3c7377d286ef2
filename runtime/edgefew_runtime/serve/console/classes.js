// The enrolled classes: how many examples, how well they hold together, and what can be done with them.

import { byId, element, percent, plural, show } from "./elements.js";
import { noun } from "./kinds.js";
import { ask, notify } from "./notices.js";
import { server } from "./server.js";
import { showClasses } from "./teach.js";
import { changed, undo } from "./undo.js";

let classes = [];
const opened = new Set();

/** Reads the classes, and shows them. */
export async function refreshClasses() {
  try {
    const told = await server.call("classes");
    classes = told.classes;
  } catch (error) {
    show(byId("classes-problem"), error.message);
    return;
  }
  show(byId("classes-problem"), null);
  showClasses(classes);
  draw();
}

export function startClasses() {
  byId("undo").addEventListener("click", () => undo());
  byId("export-pack").addEventListener("click", () => exportPack(classes.map((one) => one.label)));
  byId("import-pack").addEventListener("change", importPack);
  document.addEventListener("label", () => showClasses(classes));
}

function draw() {
  const examples = classes.reduce((sum, one) => sum + one.examples, 0);
  byId("classes-summary").textContent = classes.length
    ? `${plural(classes.length, "class")}, ${plural(examples, "example")}`
    : "";
  byId("undo").disabled = byId("import-pack").disabled = !server.teacher;
  byId("export-pack").disabled = !classes.length;
  byId("class-list").replaceChildren(
    ...(classes.length
      ? classes.map(card)
      : [element("li", { class: "card empty" },
          element("p", {}, "No class is enrolled yet."),
          element("a", { class: "button primary", href: "#teach" }, "Teach the first class"))]),
  );
}

function card(one) {
  const details = element("details", { ontoggle: (event) => toggled(event.target, one.label) },
    element("summary", {}, "Examples"), element("ul", { class: "examples" }));
  details.open = opened.has(one.label);
  return element("li", { class: "card class-card", "data-label": one.label },
    element("div", { class: "card-head" },
      element("h2", {}, one.label),
      element("span", { class: "count" }, plural(one.examples, "example"))),
    separability(one),
    one.rejected > 0 && element("p", { class: "muted" }, `${plural(one.rejected, noun())} noted as not ${one.label}`),
    details,
    element("div", { class: "row" },
      element("button", { type: "button", disabled: !server.teacher, onclick: () => rename(one.label) }, "Rename"),
      element("button", { type: "button", onclick: () => exportPack([one.label]) }, "Export"),
      element("button", { type: "button", class: "danger quiet", disabled: !server.teacher, onclick: () => forget(one) }, "Forget")));
}

/** Of the class's own examples, how many are still recognised when each is left out in turn. */
function separability(one) {
  if (!one.judged) return element("p", { class: "muted" }, "Add a second example to see how well it can be told apart.");
  const share = one.recognised / one.judged;
  const meter = element("div", { class: "likeness-bar", "aria-hidden": "true", "data-level": share >= 0.9 ? "good" : share >= 0.7 ? "fair" : "poor" },
    element("span", { class: "fill" }));
  meter.firstChild.style.width = `${share * 100}%`;
  const taken = one.confused_with ? ` Others are taken for ${one.confused_with}.` : "";
  return element("div", { class: "separability" },
    element("p", {}, `Told apart: ${one.recognised} of ${one.judged} examples (${percent(share)}) when left out.${taken}`), meter);
}

async function toggled(details, label) {
  if (!details.open) return void opened.delete(label);
  opened.add(label);
  const list = details.querySelector("ul");
  if (list.childElementCount) return;
  try {
    const told = await server.call(`examples?label=${encodeURIComponent(label)}`);
    list.replaceChildren(...told.examples.map((one) => example(one, label)));
  } catch (error) {
    list.replaceChildren(element("li", { class: "problem" }, error.message));
  }
}

function example(one, label) {
  const name = one.source.split("/").at(-1) || `example ${one.id}`;
  const remove = element("button", {
    type: "button", class: "icon", "aria-label": `Take ${name} out of ${label}`, disabled: !server.teacher,
    onclick: () => removeExample(one, name, label),
  }, "×");
  const picture = element("span", { class: "thumb none", "aria-hidden": "true" });
  if (one.frame_kept) fill(picture, one.id);
  return element("li", {}, picture,
    element("span", { class: "example-name" }, one.rejected ? `not ${label}: ${name}` : name), remove);
}

async function fill(place, id) {
  try {
    const url = URL.createObjectURL(await server.call(`examples/${id}/thumbnail`, { as: "blob" }));
    place.replaceWith(element("img", { class: "thumb", alt: "", src: url, onload: () => URL.revokeObjectURL(url) }));
  } catch (error) {
    console.debug(error.message); // the picture was not kept
  }
}

function at(label) {
  return `classes/${encodeURIComponent(label)}`;
}

async function rename(label) {
  const to = await ask({ title: `Rename ${label}`, text: "Its examples stay.", yes: "Rename", field: "New name", value: label });
  if (!to || to === label) return;
  await changed(
    () => server.call(at(label), { method: "PATCH", json: { label: to, by: server.person } }),
    `${label} is now ${to}.`,
  );
}

async function forget(one) {
  const sure = await ask({
    title: `Forget ${one.label}?`,
    text: `${plural(one.examples, "example")} will be taken out. You can undo this.`,
    yes: "Forget",
    danger: true,
  });
  if (sure) await changed(() => server.call(by(at(one.label)), { method: "DELETE" }), `${one.label} is forgotten.`);
}

async function removeExample(one, name, label) {
  const sure = await ask({ title: `Take out ${name}?`, text: `It is an example of ${label}. You can undo this.`, yes: "Take out", danger: true });
  if (sure) await changed(() => server.call(by(`examples/${one.id}`), { method: "DELETE" }), `${name} is taken out of ${label}.`);
}

/** The path with who asks. */
export function by(path) {
  return server.person ? `${path}?by=${encodeURIComponent(server.person)}` : path;
}

async function exportPack(labels) {
  const query = labels.map((label) => `label=${encodeURIComponent(label)}`).join("&");
  try {
    const pack = await server.call(`packs?${query}`, { as: "blob" });
    const url = URL.createObjectURL(pack);
    const name = labels.length === 1 ? labels[0].replace(/[^\p{L}\p{N}._-]+/gu, "-") : "classes";
    element("a", { href: url, download: `${name}.pack` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    notify(`${plural(labels.length, "class")} exported to ${name}.pack.`);
  } catch (error) {
    notify(error.message, { bad: true });
  }
}

async function importPack(event) {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  notify(`Importing ${file.name} …`);
  await changed(() => server.call(by("packs"), { method: "POST", body: file, type: "application/octet-stream" }), `${file.name} is imported.`);
}
