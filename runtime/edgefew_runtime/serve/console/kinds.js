// What the bundle takes: pictures, or something that has no picture. The page follows.

import { byId } from "./elements.js";
import { server } from "./server.js";

const KINDS = {
  image: { accept: "image/*", choose: "Choose pictures" },
  signal: { accept: ".npy,.csv", choose: "Choose windows" },
  audio: { accept: ".wav,.flac", choose: "Choose recordings" },
  text: { accept: ".txt", choose: "Choose text files" },
};

function kind() {
  return server.status?.bundle.kind ?? "image";
}

/** Whether frames can be seen, and a camera makes them. */
export function isSeen() {
  return kind() === "image";
}

/** Shows what fits the bundle: the camera, or a field to type in, or files alone. */
export function followKind() {
  const { accept, choose } = KINDS[kind()] ?? KINDS.image;
  byId("choose-files").accept = accept;
  byId("choose-label").textContent = choose;
  byId("teach-this").textContent = isSeen() ? "Teach this picture" : "Teach this";
  byId("typed").hidden = kind() !== "text";
  for (const id of ["viewport", "camera-toggle", "hold", "hold-help"]) byId(id).hidden = !isSeen();
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
