// What the bundle takes: pictures, or something that has no picture. The page follows.

import { byId } from "./elements.js";
import { server } from "./server.js";

const KINDS = {
  image: {
    noun: "picture",
    accept: "image/*",
    ready: "Start the camera or choose a picture.",
    help: "Hold the button, or Space on the keyboard, while the camera looks at the thing from several sides. Pictures that you choose or drop are added too.",
  },
  signal: { noun: "window", accept: ".npy,.csv", ready: "Choose a window." },
  audio: {
    noun: "recording",
    accept: ".wav,.flac",
    ready: "Press “Listen once” and make the sound, or choose a recording.",
    help: "Press “Record an example” once for each example, and make the sound. Listen to it below before you save it. Recordings that you choose or drop are added too.",
  },
  text: { noun: "text", accept: ".txt", ready: "Type a sentence." },
};

function kind() {
  return server.status?.bundle.kind ?? "image";
}

/** Whether frames can be seen, and a camera makes them. */
export function isSeen() {
  return kind() === "image";
}

/** Whether frames can be heard, and a microphone makes them. */
export function isHeard() {
  return kind() === "audio";
}

/** How much of a recording the bundle hears. */
export function heardSeconds() {
  const { size, rate } = server.status.bundle.input;
  return size[0] / rate;
}

/** How a bundle's frames are spoken of: `noun` for one, `accept` for a field for files, `ready` where none was given. */
export function words() {
  return KINDS[kind()] ?? KINDS.image;
}

export function noun() {
  return words().noun;
}

/** Shows what fits the bundle: the camera, the microphone, a field to type in, or files alone. */
export function followKind() {
  const { noun, accept, help } = words();
  byId("choose-files").accept = accept;
  byId("choose-label").textContent = `Choose ${noun}s`;
  byId("teach-this").textContent = `Teach this ${noun}`;
  byId("typed").hidden = kind() !== "text";
  for (const id of ["viewport", "hold"]) byId(id).hidden = !isSeen();
  for (const id of ["scope", "record"]) byId(id).hidden = !isHeard();
  byId("sensor-toggle").hidden = !isSeen() && !isHeard();
  byId("hold-help").hidden = !help;
  byId("hold-help").textContent = help ?? "";
}

/** Calls `take` with each sentence that is typed, as a file whose name is how it begins. */
export function onTyped(take) {
  const field = byId("typed-text");
  const typed = (event) => {
    event.preventDefault();
    const text = field.value.trim().replace(/\s+/g, " ");
    if (!text) return;
    take([new File([text], text.slice(0, 60), { type: "text/plain" })]);
    field.value = "";
    field.focus();
  };
  byId("typed").addEventListener("submit", typed);
  field.addEventListener("keydown", (event) => event.key === "Enter" && !event.shiftKey && typed(event));
}
