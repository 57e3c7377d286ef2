// The event log in words, and the check of its chain of hashes.

import { byId, element, plural } from "./elements.js";
import { noun } from "./kinds.js";
import { notify } from "./notices.js";
import { server } from "./server.js";

const PAGE = 50;

let oldest = null;

/** Reads the newest entries, and shows them. */
export async function refreshLog() {
  byId("log-verdict").textContent = "";
  await read(null);
}

export function startLog() {
  byId("log-more").addEventListener("click", () => read(oldest));
  byId("verify-log").addEventListener("click", verify);
}

async function read(before) {
  try {
    const told = await server.call(`log?limit=${PAGE}${before === null ? "" : `&before=${before}`}`);
    const events = told.events;
    const rows = events.map(row);
    if (before === null) byId("log-rows").replaceChildren(...rows);
    else byId("log-rows").append(...rows);
    oldest = events.at(-1)?.id ?? oldest;
    byId("log-more").hidden = events.length < PAGE || oldest <= 1;
    byId("log-empty").hidden = byId("log-rows").childElementCount > 0;
  } catch (error) {
    notify(error.message, { bad: true });
  }
}

function row(event) {
  const when = new Date(event.at);
  return element("tr", { "data-kind": event.kind },
    element("td", {}, element("time", { datetime: event.at }, when.toLocaleString())),
    element("td", {}, event.actor || "–"),
    element("td", {}, sentence(event)));
}

function sentence({ kind, payload, undoes, text }) {
  const name = payload?.label ?? "";
  const number = (payload?.added ?? []).reduce((sum, part) => sum + part.examples.length, 0);
  switch (kind) {
    case "create":
      return "Gallery made";
    case "enroll":
      return `${plural(number, "example")} of ${name} added`;
    case "reject":
      return `${plural(number, noun())} noted as not ${name}`;
    case "forget":
      return `${name} forgotten`;
    case "rename":
      return `${name} renamed to ${payload.to}`;
    case "remove":
      return `An example of ${name} taken out`;
    case "calibrate":
      return `${plural(payload.strangers, "stranger")} shown`;
    case "refine":
      return `${plural(payload.unlabelled, `unlabelled ${noun()}`)} given`;
    case "undo":
      return `Change ${undoes} taken back (${payload.undid} ${name})`.replace(" )", ")");
    default:
      return text ?? `${kind} ${name}`.trim();
  }
}

async function verify() {
  const verdict = byId("log-verdict");
  verdict.textContent = "Checking …";
  try {
    const told = await server.call("log/verify");
    verdict.textContent = told.problems.length === 0
      ? `The chain holds: ${told.events} ${told.events === 1 ? "entry" : "entries"} checked.`
      : `The gallery is not what its log says: ${told.problems.join("; ")}`;
  } catch (error) {
    verdict.textContent = error.message;
  }
}
