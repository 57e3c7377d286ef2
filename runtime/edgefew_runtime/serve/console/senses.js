// The sense that fits the bundle: the camera, or the microphone. Both have `live`, `start`, `stop`, `grab` and `picture`.

import { stage } from "./camera.js";
import { isHeard, isSeen } from "./kinds.js";
import { microphone } from "./microphone.js";
import { element } from "./elements.js";
import { recordingCard } from "./sound.js";

export function sense() {
  return isHeard() ? microphone : stage;
}

/** What a frame looks like, small; a recording can be listened to. */
export function thumbnail(blob, name) {
  if (isHeard()) return recordingCard(blob, name);
  if (!isSeen()) return element("span", { class: "thumb none", "aria-hidden": "true" });
  const url = URL.createObjectURL(blob);
  return element("img", { src: url, alt: "", class: "thumb", onload: () => URL.revokeObjectURL(url) });
}
