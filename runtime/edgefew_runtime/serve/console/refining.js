// Unlabelled frames: given, what each class takes of them, taken out again.

import { batches, form } from "./batches.js";
import { by } from "./classes.js";
import { byId, element, plural } from "./elements.js";
import { noun, words } from "./kinds.js";
import { ask, notify } from "./notices.js";
import { server } from "./server.js";
import { changed } from "./undo.js";

const SHOWN = 8;

/** Reads what there is, and shows it; nothing where no class is enrolled. */
export async function refreshRefining() {
  const place = byId("refining");
  place.hidden = !server.status.gallery.classes;
  if (place.hidden) return;
  try {
    draw(place, await server.call("refine"));
  } catch (error) {
    place.replaceChildren(element("p", { class: "problem" }, error.message));
  }
}

function draw(place, { unlabelled, taken, of_no_class: none, reported }) {
  const most = Object.entries(taken).sort(([, a], [, b]) => b - a);
  const rest = most.splice(SHOWN).reduce((sum, [, count]) => sum + count, 0);
  const rows = [...most, ...(rest ? [["other classes", rest]] : [])].map(([name, count]) => [name, `as ${count.toFixed(1)} more`]);
  const field = element("input", { id: "unlabelled", type: "file", accept: words().accept, multiple: true, class: "visually-hidden", onchange: give });
  const disabled = (field.disabled = !server.teacher);
  place.replaceChildren(
    element("div", { class: "card-head" }, element("h2", {}, `Unlabelled ${noun()}s`), element("span", { class: "count" }, plural(unlabelled, noun()))),
    element("p", {}, `Give ${noun()}s of this place whose class nobody said. Each counts in the classes that it resembles. It helps most where a class has one or two examples. ${gain(reported)}`),
    unlabelled > 0 &&
      element("dl", { class: "facts" },
        [...rows, ["of no class", none.toFixed(1)]].flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
    element("div", { class: "row" },
      element("label", { class: "button", for: "unlabelled" }, `Give unlabelled ${noun()}s`), field,
      unlabelled > 0 && element("button", { type: "button", class: "danger quiet", disabled, onclick: () => clear(unlabelled) }, "Take out all")),
  );
}

function gain(reported) {
  if (!reported) return "This bundle's report does not say whether it gains.";
  const points = (share) => (100 * share).toFixed(1);
  const sure = reported.gain > reported.gain_ci95 ? "gained" : "gained nothing that is sure:";
  return `When the bundle was made, ${plural(reported.unlabelled, noun())} of each class ${sure} ${points(reported.gain)} ± ${points(reported.gain_ci95)} points at one example.`;
}

async function give(event) {
  const files = [...event.target.files];
  event.target.value = "";
  if (!files.length) return;
  notify(`Looking at ${plural(files.length, noun())} …`);
  for (const part of batches(files, (file) => file)) {
    const body = form(part.map((file) => [file, file.name]));
    if (!(await changed(() => server.call("refine", { method: "POST", body }), `${plural(part.length, `unlabelled ${noun()}`)} given.`))) return;
  }
}

async function clear(number) {
  const sure = await ask({ title: `Take out ${plural(number, `unlabelled ${noun()}`)}?`, text: "The classes are again as their own examples make them. You can undo this.", yes: "Take out", danger: true });
  if (sure) await changed(() => server.call(by("refine"), { method: "DELETE" }), "The unlabelled ones are taken out.");
}
