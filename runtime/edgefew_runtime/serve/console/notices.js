// Short messages at the foot of the page, and questions that need an answer.

import { byId, element } from "./elements.js";

const STAYS_MS = 6000;
const STAYS_WITH_ACTION_MS = 15000;

/** Shows a message for a while, with a button if `action` is {name, run}. */
export function notify(message, { action = null, bad = false } = {}) {
  const close = () => notice.remove();
  const button =
    action && element("button", { type: "button", onclick: () => (close(), action.run()) }, action.name);
  const notice = element(
    "div",
    { class: bad ? "notice bad" : "notice" },
    element("span", {}, message),
    button,
    element("button", { type: "button", class: "close", "aria-label": "Close this message", onclick: close }, "×"),
  );
  byId("notices").replaceChildren(notice);
  setTimeout(close, action ? STAYS_WITH_ACTION_MS : STAYS_MS);
}

/** Whether the user agreed; with `field`, what was typed, or null. */
export function ask({ title, text, yes, danger = false, field = null, value = "" }) {
  const dialog = byId("confirm-dialog");
  const [label, input] = [byId("confirm-field"), byId("confirm-field").querySelector("input")];
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  byId("confirm-yes").classList.toggle("danger", danger);
  label.hidden = !field;
  label.querySelector("span").textContent = field ?? "";
  input.required = Boolean(field);
  input.value = value;
  dialog.returnValue = "";
  dialog.showModal();
  if (field) input.select();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const agreed = dialog.returnValue === "yes";
      resolve(field ? (agreed ? input.value.trim() : null) : agreed);
    };
  });
}
