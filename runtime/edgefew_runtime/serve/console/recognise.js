// What the camera or a chosen picture shows: the big answer, what it rests on, and what to do where it is wrong.

import { form } from "./batches.js";
import { byId, element, percent, plural } from "./elements.js";
import { isHeard, isSeen, words } from "./kinds.js";
import { sense } from "./sensor.js";
import { server } from "./server.js";
import { recordingCard } from "./sound.js";
import { changed } from "./undo.js";

const RETRY_MS = 1000;
const SAID_AFTER = 3;
const STAYS_MS = 1500;
const NOTED = 8;

/** Tells "answer" with the last answer in `last` ({answer, blob, name}), and "teach" to teach its picture. */
class Recognition extends EventTarget {
  last = null;
  #running = false;
  #said = "";
  #kind = null;
  #alike = 0;
  #emptyFor = null;
  #noted = null;
  #knownAt = -STAYS_MS;

  /** Answers what the camera sees, one frame after the other, as long as `wanted()`. */
  async follow(wanted) {
    if (this.#running) return;
    this.#running = true;
    try {
      while (wanted()) {
        await pause((await this.#next()) ? sense().strideMs : RETRY_MS);
      }
    } finally {
      this.#running = false;
    }
  }

  async #next() {
    const blob = await sense().grab();
    if (!blob) {
      this.#noted = null;
      return true;
    }
    try {
      const answer = await classified(blob);
      if (!sense().live) return true;
      if (!isHeard()) byId("answers").replaceChildren();
      else if (!this.#note(answer, blob)) return true;
      this.#shown({ answer, blob, name: null });
      return true;
    } catch (error) {
      byId("answer-body").replaceChildren(failed(error));
      return false;
    }
  }

  /** Sounds pass: what was known is listed, and stays large for a while. Gives whether to show this answer. */
  #note(answer, blob) {
    const now = performance.now();
    if (!answer.known) return now - this.#knownAt > STAYS_MS;
    this.#knownAt = now;
    const { label, probability } = answer;
    const goesOn = this.#noted?.label === label;
    if (goesOn && probability <= this.#noted.probability) return true;
    const row = element("li", { class: "answer-row" }, thumbnail(blob, blob.name), this.#summary(blob, answer));
    if (goesOn) this.#noted.row.replaceWith(row);
    else byId("answers").prepend(row);
    byId("answers").children[NOTED]?.remove();
    this.#noted = { row, label, probability };
    return true;
  }

  /** Answers each picture; the last is the one shown large. */
  async pictures(files) {
    const list = byId("answers");
    list.replaceChildren();
    for (const file of files) {
      const row = element("li", { class: "answer-row" }, thumbnail(file, file.name), element("span", { class: "muted" }, isHeard() ? "Listening …" : "Looking …"));
      if (files.length > 1) list.append(row);
      sense().picture(file, file.name);
      try {
        const answer = await classified(file);
        this.#shown({ answer, blob: file, name: file.name });
        row.lastChild.replaceWith(this.#summary(file, answer));
      } catch (error) {
        row.lastChild.replaceWith(element("span", {}, element("b", {}, file.name), element("br"), error.message));
        byId("answer-body").replaceChildren(failed(error));
      }
    }
  }

  #summary(file, answer) {
    const again = () => {
      sense().picture(file, file.name);
      this.#shown({ answer, blob: file, name: file.name });
    };
    return element(
      "button",
      { type: "button", class: "quiet answer-again", onclick: again },
      element("span", {},
        element("b", { class: answer.known ? "known" : "unknown" }, answer.known ? answer.label : "unknown"),
        answer.known && ` ${percent(answer.probability)}`),
      element("span", { class: "muted" }, file.name),
    );
  }

  #shown(last) {
    this.last = last;
    byId("answer-body").replaceChildren(...this.#card(last.answer));
    this.#offerCorrections(last.answer);
    this.#say(last.answer);
    this.dispatchEvent(new Event("answer"));
  }

  /** A screen reader hears an answer when it is new and has held for some frames, not every frame. */
  #say(answer) {
    const told = answer.known ? `${answer.label}, ${percent(answer.probability)}` : "unknown";
    const kind = answer.known ? answer.label : "";
    this.#alike = kind === this.#kind ? this.#alike + 1 : 1;
    this.#kind = kind;
    if (this.#said === kind || (sense().live && !isHeard() && this.#alike < SAID_AFTER)) return;
    this.#said = kind;
    byId("answer-said").textContent = told;
  }

  *#card(answer) {
    byId("answer").dataset.kind = answer.known ? "known" : "unknown";
    if (!isSeen() && this.last.name) yield element("p", { class: "muted" }, `“${this.last.name}”`);
    yield element("p", { class: "answer-kicker" }, answer.known ? "This is" : "This is none of the enrolled classes");
    yield element("p", { class: "answer-label" }, answer.known ? answer.label : "unknown");
    yield answer.known
      ? element("p", { class: "answer-probability" }, element("b", {}, percent(answer.probability)), " sure, among the enrolled classes")
      : element("p", { class: "answer-probability" }, why(answer));
    if (answer.score !== null) yield likeness(answer);
    yield facts(answer);
  }

  /** The buttons stay while answers come and go: one that is replaced under the finger is never pressed. */
  #offerCorrections(answer) {
    byId("corrections").hidden = !server.teacher;
    byId("not-this").hidden = !answer.known;
    byId("not-this").textContent = `This is not ${answer.label}`;
  }

  start() {
    byId("teach-this").addEventListener("click", () => this.dispatchEvent(new Event("teach")));
    byId("not-this").addEventListener("click", () => this.#reject());
  }

  /** "This is not X": the picture is kept as what the class is not. */
  async #reject() {
    const { answer, blob, name } = this.last;
    const { label } = answer;
    const body = form([[blob, name ?? blob.name ?? "camera.jpg"]], { label });
    await changed(() => server.call("reject", { method: "POST", body }), `Noted: this is not ${label}.`);
  }

  /** The card before there is an answer. */
  empty() {
    const classes = server.status?.gallery.classes;
    if (this.last || (this.#emptyFor === classes && classes !== undefined)) return;
    this.#emptyFor = classes;
    const text =
      classes === 0
        ? "No class is enrolled yet. Teach the first one: a few examples are enough."
        : `${words().ready}${classes ? ` ${plural(classes, "class")} known.` : ""}`;
    const card = byId("answer-body");
    byId("answer").dataset.kind = "none";
    card.replaceChildren(
      element("p", { class: "answer-kicker" }, classes === 0 ? "Nothing to recognise yet" : "Ready"),
      element("p", { class: "answer-waiting" }, text),
    );
    if (classes === 0) card.append(element("a", { class: "button primary", href: "#teach" }, "Teach a class"));
  }
}

function classified(blob) {
  return server.call("classify?map=true", { method: "POST", body: blob, type: blob.type || "application/octet-stream" });
}

function why(answer) {
  if (answer.label === null) return "Nothing is enrolled that it could be.";
  if (answer.threshold === null) return "All is unknown here: what you ask for below cannot be promised yet.";
  return "It is not like any class enough.";
}

/** The score as a bar, with a tick at what is needed. */
function likeness({ score, threshold }) {
  const bar = element("div", { class: "likeness-bar", "aria-hidden": "true" }, element("span", { class: "fill" }));
  bar.firstChild.style.width = `${Math.max(0, score) * 100}%`;
  if (threshold !== null) {
    const tick = element("span", { class: "tick" });
    tick.style.left = `${Math.min(1, Math.max(0, threshold)) * 100}%`;
    bar.append(tick);
  }
  const needed = threshold === null ? "" : `, ${threshold.toFixed(2)} is needed`;
  return element("div", { class: "likeness" }, element("p", {}, `Likeness ${score.toFixed(2)}${needed}`), bar);
}

function facts(answer) {
  const rows = [];
  if (!answer.known && answer.label !== null) rows.push(["Nearest class", answer.label]);
  if (answer.runner_up !== null) rows.push(["Runner-up", `${answer.runner_up}, ${answer.margin.toFixed(2)} behind`]);
  return element("dl", { class: "facts" }, rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function failed(error) {
  byId("answer").dataset.kind = "none";
  byId("corrections").hidden = true;
  return element("div", {}, element("p", { class: "answer-kicker" }, "No answer"), element("p", { class: "answer-waiting" }, error.message));
}

/** What a frame looks like, small; a recording can be listened to. */
export function thumbnail(blob, name) {
  if (isHeard()) return recordingCard(blob, name);
  if (!isSeen()) return element("span", { class: "thumb none", "aria-hidden": "true" });
  const url = URL.createObjectURL(blob);
  return element("img", { src: url, alt: "", class: "thumb", onload: () => URL.revokeObjectURL(url) });
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export const recognition = new Recognition();
