// The microphone: what it hears is drawn, and sent as long as the bundle hears, at the device's rate; the server resamples.

import { byId } from "./elements.js";
import { heardSeconds, isHeard } from "./kinds.js";
import { Sensor } from "./sensor.js";
import { decibels, hush, isPlaying, loudestWindow, loudness, parts, peakOf, recordingCard, wav, waveform } from "./sound.js";

const LEAD_S = 1; // what passes before a person makes the sound
const SEEN_S = 3;
const OFF = "The microphone is off.";
const LEVEL_S = 0.25;
const METER_DB = 60;
const DRAWINGS_A_SECOND = matchMedia("(prefers-reduced-motion: reduce)").matches ? 3 : 20;

class Microphone extends Sensor {
  #context = null;
  #kept = false;
  #heard = new Float32Array(0);
  #count = 0;
  #drawn = 0;
  #taking = null;

  constructor() {
    super("microphone", "Choose recordings instead.");
  }

  /** Whether it goes on listening; not while it only takes one recording. */
  get live() {
    return this.on && this.#kept;
  }

  get recording() {
    return this.#taking !== null;
  }

  /** From one answer to the next while it listens: half of what the bundle hears, from 0.25 s to 1 s. */
  get strideMs() {
    return Math.min(1000, Math.max(250, 500 * heardSeconds()));
  }

  wanted(deviceId) {
    // As it sounds: what a browser does for telephone calls changes sounds, and learns while it listens.
    const raw = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    return { audio: { ...raw, ...(deviceId && { deviceId: { exact: deviceId } }) }, video: false };
  }

  async start(deviceId) {
    this.#say("Starting the microphone …");
    const opened = await this.open(deviceId);
    if (!opened) return this.#say(OFF);
    this.#say("Listening.");
    this.#kept = true;
    this.follow();
    this.dispatchEvent(new Event("started"));
  }

  async connect(stream) {
    this.disconnect();
    const context = new AudioContext();
    this.#context = context;
    await context.audioWorklet.addModule("capture.js");
    const capture = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => context === this.#context && this.#take(data);
    this.#heard = new Float32Array(this.#samples(heardSeconds() + LEAD_S));
    this.#count = this.#drawn = 0;
    context.createMediaStreamSource(stream).connect(capture).connect(context.destination); // it gives silence
    await context.resume();
  }

  disconnect() {
    if (!this.#context) return;
    this.#context.close();
    this.#context = null;
    this.#kept = false;
    this.#taking?.done(false);
    this.#level(0);
    this.#say(OFF);
    this.follow();
  }

  /** What was heard last, as long as the bundle hears; null before so much was heard, and where it is quiet. */
  async grab() {
    const length = this.#samples(heardSeconds());
    if (!this.live || this.recording || isPlaying() || this.#count < length) return null;
    const samples = this.#last(length);
    return loudness(peakOf(samples))[1] === "quiet" ? null : wav(samples, this.#context.sampleRate, fileName());
  }

  /** Of what is heard from now on the part with the most in it; null if it was given up. With `keep` it stays on. */
  async record(keep) {
    if (this.recording) return this.#taking.done(false), null;
    hush();
    if (!this.on) {
      this.#say("Starting the microphone …");
      if (!(await this.open())) {
        this.#say(OFF);
        return null;
      }
      this.#kept = keep;
    }
    const [length, whole] = [heardSeconds(), heardSeconds() + LEAD_S].map((time) => this.#samples(time));
    const taken = new Promise((done) => (this.#taking = { from: this.#count, until: this.#count + whole, done }));
    this.#say("Now: make the sound.");
    this.follow();
    const whether = await taken;
    this.#taking = null;
    if (!whether) {
      if (!this.live) this.stop();
      this.#say("Nothing was taken.");
      this.follow();
      return null;
    }
    const all = this.#last(whole);
    const begin = loudestWindow(all, length);
    const file = wav(all.slice(begin, begin + length), this.#context.sampleRate, fileName());
    if (!this.live) this.stop();
    this.#shown(file);
    this.follow();
    return file;
  }

  /** Shows a recording in the place of the microphone. */
  picture(file) {
    this.stop();
    this.#shown(file);
  }

  #shown(file) {
    byId("scope-now").replaceChildren(recordingCard(file, file.name));
    this.#say("Recorded.");
  }

  /** The buttons as they fit the view and what goes on. */
  follow() {
    if (!isHeard()) return;
    const teaching = document.body.dataset.view === "teach";
    const [record, toggle] = [byId("record"), byId("sensor-toggle")];
    record.hidden = this.live && !teaching;
    record.dataset.recording = this.recording ? "yes" : "no";
    record.textContent = this.recording ? "Stop" : `${teaching ? "Record an example" : "Listen once"} (${seconds(heardSeconds())})`;
    toggle.hidden = teaching && !this.live;
    toggle.textContent = teaching ? "Turn the microphone off" : this.live ? "Stop listening" : "Keep listening";
    toggle.classList.remove("primary");
    byId("scope-level").hidden = !this.on;
    if (!byId("scope-now").childElementCount) byId("scope-now").append(waveform(new Array(64).fill(0)));
  }

  #say(text) {
    byId("scope-said").textContent = text;
  }

  #samples(time) {
    return Math.round(time * this.#context.sampleRate);
  }

  /** The newest samples, in order; silence where so many were not heard yet. */
  #last(length) {
    const ring = this.#heard;
    const begin = (this.#count + ring.length - (length % ring.length)) % ring.length;
    const samples = new Float32Array(length);
    samples.set(ring.subarray(begin, begin + length));
    const got = Math.min(length, ring.length - begin);
    samples.set(ring.subarray(0, length - got), got);
    return samples;
  }

  /** While it records, how much of the recording is there; else what was heard last. */
  #draw() {
    const { from, until } = this.#taking ?? {};
    const length = this.#taking ? until - from : Math.min(this.#heard.length, this.#samples(SEEN_S));
    const there = this.#taking ? Math.min(length, this.#count - from) : length;
    const samples = new Float32Array(length);
    samples.set(this.#last(there));
    byId("scope-now").replaceChildren(waveform(parts(samples), "What the microphone hears"));
    this.#level(peakOf(this.#last(this.#samples(LEVEL_S))));
  }

  #level(peak) {
    const share = peak ? Math.max(0, 1 + decibels(peak) / METER_DB) : 0;
    const [level, word] = loudness(peak);
    byId("scope-level").dataset.level = level;
    byId("level-fill").style.width = `${100 * Math.min(1, share)}%`;
    byId("level-word").textContent = word;
  }

  #take(chunk) {
    const ring = this.#heard;
    const at = this.#count % ring.length;
    const fits = Math.min(chunk.length, ring.length - at);
    ring.set(chunk.subarray(0, fits), at);
    ring.set(chunk.subarray(fits), 0);
    this.#count += chunk.length;
    if (this.#taking && this.#count >= this.#taking.until) this.#taking.done(true);
    if (this.#count - this.#drawn < this.#context.sampleRate / DRAWINGS_A_SECOND) return;
    this.#drawn = this.#count;
    this.#draw();
  }
}

function seconds(time) {
  return `${Number(time.toFixed(1))} s`;
}

function fileName() {
  return `recording-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.wav`;
}

export const microphone = new Microphone();
