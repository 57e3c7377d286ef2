// What the camera and the microphone share: the browser's permission, what goes wrong in words, which one of several.

import { byId, show } from "./elements.js";
import { isHeard } from "./kinds.js";

const sensors = {};

/** That which fits the bundle: the camera or the microphone. Both have `live`, `start`, `stop`, `grab` and `picture`. */
export function sense() {
  return sensors[isHeard() ? "microphone" : "camera"];
}

/** Tells "started" and "stopped". A subclass has `wanted(deviceId)`, `connect(stream)` and `disconnect()`. */
export class Sensor extends EventTarget {
  #noun;
  #instead;
  #stream = null;
  #given = null;
  #turn = 0;

  constructor(noun, instead) {
    super();
    this.#noun = noun;
    this.#instead = instead;
    sensors[noun] = this;
  }

  get on() {
    return this.#stream !== null;
  }

  get live() {
    return this.on;
  }

  async start(deviceId) {
    if (await this.open(deviceId)) this.dispatchEvent(new Event("started"));
  }

  /** Whether it is on now; what hinders is said on the page. */
  async open(deviceId) {
    this.stop();
    show(byId("sensor-problem"), null);
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#say(`The browser gives the ${this.#noun} only to pages by https or on this device (localhost). ${this.#instead}`);
      return false;
    }
    const mine = ++this.#turn;
    let stream = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia(this.wanted(deviceId));
      if (mine === this.#turn) await this.connect((this.#given = stream));
    } catch (error) {
      if (mine === this.#turn) this.#say(this.#problem(error));
      this.#giveUp(stream);
      return false;
    }
    if (mine !== this.#turn) {
      this.#giveUp(stream); // it was stopped before it had started
      return false;
    }
    this.#stream = stream;
    stream.getTracks()[0].addEventListener("ended", () => {
      if (this.#stream !== stream) return;
      this.stop();
      this.#say(`The ${this.#noun} has gone. Connect it, and start it again.`);
    });
    await this.#list(stream.getTracks()[0]);
    return this.#stream === stream;
  }

  stop() {
    this.#turn++;
    release(this.#given);
    this.#given = null;
    if (!this.on) return;
    this.#stream = null;
    this.disconnect();
    this.dispatchEvent(new Event("stopped"));
  }

  #giveUp(stream) {
    release(stream);
    if (!this.on) this.disconnect();
  }

  #say(problem) {
    show(byId("sensor-problem"), problem);
  }

  #problem(error) {
    if (error.name === "NotAllowedError")
      return `The browser was not allowed to use the ${this.#noun}. Allow it beside the address, and start it again.`;
    if (["NotFoundError", "OverconstrainedError"].includes(error.name)) return `There is no ${this.#noun} on this device. ${this.#instead}`;
    if (error.name === "NotReadableError") return `Another program has the ${this.#noun}. Close it, and start the ${this.#noun} again.`;
    return `The ${this.#noun} cannot be started: ${error.message}`;
  }

  async #list(track) {
    const all = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === `${track.kind}input`);
    const name = `${this.#noun[0].toUpperCase()}${this.#noun.slice(1)}`;
    byId("sensor-choice").hidden = all.length < 2;
    byId("sensor-name").textContent = name;
    byId("sensor-select").replaceChildren(
      ...all.map((one, i) => new Option(one.label || `${name} ${i + 1}`, one.deviceId, false, one.deviceId === track.getSettings().deviceId)),
    );
  }
}

function release(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
