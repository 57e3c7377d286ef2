// The camera, and the pictures that stand in for it. What the square shows is what is sent: the middle of the frame.

import { byId } from "./elements.js";
import { isSeen } from "./kinds.js";
import { Sensor } from "./sensor.js";

const SIDE = 640;
const QUALITY = 0.95;

const video = byId("video");
const still = byId("still");

class Stage extends Sensor {
  strideMs = 150;

  constructor() {
    super("camera", "Choose pictures instead.");
  }

  wanted(deviceId) {
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
    return { video: { ...which, width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false };
  }

  async connect(stream) {
    video.srcObject = stream;
    await video.play();
    this.#present(video);
  }

  disconnect() {
    video.srcObject = null;
    this.#present(null);
  }

  /** Shows a picture in the place of the camera. */
  picture(blob, name) {
    this.stop();
    if (!isSeen()) return;
    const before = still.src;
    still.src = URL.createObjectURL(blob);
    still.alt = name;
    if (before) URL.revokeObjectURL(before);
    this.#present(still);
  }

  /** The middle square of what the camera sees now, as JPEG; null before it gives a frame. */
  async grab() {
    const side = Math.min(video.videoWidth, video.videoHeight);
    if (!this.live || !side || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.min(side, SIDE);
    const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
    canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  }

  #present(shown) {
    video.hidden = shown !== video;
    still.hidden = shown !== still;
    byId("stage-empty").hidden = shown !== null;
    byId("sensor-toggle").textContent = shown === video ? "Stop camera" : "Start camera";
  }
}

export const stage = new Stage();

/** Calls `take` with the pictures that are chosen, dropped or pasted; what is no picture is named to `refuse`. */
export function onPictures(take, refuse) {
  const sorted = async (files) => {
    const good = [];
    for (const file of files) {
      const readable = !isSeen() || await createImageBitmap(file).then((bitmap) => (bitmap.close(), true), () => false);
      if (readable) good.push(file);
      else refuse(file.name);
    }
    if (good.length) take(good);
  };
  byId("choose-files").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    sorted(files);
  });
  const hint = byId("drop-hint");
  let depth = 0;
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => holdsFiles(event) && (hint.hidden = ++depth === 0));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && (hint.hidden = --depth === 0));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    hint.hidden = true;
    sorted([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) sorted(files);
  });
}
