// The camera, and the pictures that stand in for it. What the square shows is what is sent: the middle of the frame.

import { byId, show } from "./elements.js";
import { isSeen } from "./kinds.js";

const SIDE = 640;
const QUALITY = 0.95;

const video = byId("video");
const still = byId("still");

class Stage extends EventTarget {
  #stream = null;

  get live() {
    return this.#stream !== null;
  }

  async start(deviceId) {
    this.stop();
    show(byId("camera-problem"), null);
    if (!navigator.mediaDevices?.getUserMedia) {
      show(byId("camera-problem"), "The browser gives the camera only to pages by https or on this device (localhost). Choose pictures instead.");
      return;
    }
    try {
      const wanted = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
      this.#stream = await navigator.mediaDevices.getUserMedia({
        video: { ...wanted, width: { ideal: 1280 }, height: { ideal: 720 } },
        audio: false,
      });
    } catch (error) {
      show(byId("camera-problem"), problem(error));
      return;
    }
    this.#stream.getVideoTracks()[0].addEventListener("ended", () => {
      this.stop();
      show(byId("camera-problem"), "The camera has gone. Connect it, and start it again.");
    });
    video.srcObject = this.#stream;
    await video.play();
    this.#present(video);
    await this.#listCameras();
    this.dispatchEvent(new Event("started"));
  }

  stop() {
    if (!this.#stream) return;
    this.#stream.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    video.srcObject = null;
    this.#present(null);
    this.dispatchEvent(new Event("stopped"));
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
    byId("camera-toggle").textContent = this.live ? "Stop camera" : "Start camera";
  }

  async #listCameras() {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    const now = this.#stream?.getVideoTracks()[0].getSettings().deviceId;
    byId("camera-choice").hidden = cameras.length < 2;
    byId("camera-select").replaceChildren(
      ...cameras.map((one, i) => new Option(one.label || `Camera ${i + 1}`, one.deviceId, false, one.deviceId === now)),
    );
  }
}

function problem(error) {
  if (error.name === "NotAllowedError")
    return "The browser was not allowed to use the camera. Allow it beside the address, and start it again.";
  if (error.name === "NotFoundError") return "There is no camera on this device. Choose pictures instead.";
  if (error.name === "NotReadableError") return "Another program has the camera. Close it, and start the camera again.";
  return `The camera cannot be started: ${error.message}`;
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
