// Recordings in the browser: as WAV, as a drawing, played again.

import { drawing, element } from "./elements.js";

const BARS = 64;
const LOOKED_AT = 200000;
const DECODED_HZ = 48000;
const FULL_SCALE = 0.99;
const CLIPPED = 0.001;
const QUIET_DB = -40; // the last three as the doctor has them

/** Samples from -1 to 1 as a WAV file of 16 bits, one channel. */
export function wav(samples, rate, name) {
  const body = Int16Array.from(samples, (value) => Math.round(32767 * Math.max(-1, Math.min(1, value))));
  const head = new TextEncoder().encode("RIFF----WAVEfmt \x10\0\0\0\x01\0\x01\0--------\x02\0\x10\0data----");
  const numbers = [[4, 36 + body.byteLength], [24, rate], [28, 2 * rate], [40, body.byteLength]];
  for (const [at, number] of numbers) new DataView(head.buffer).setUint32(at, number, true);
  return new File([head, body], name, { type: "audio/wav" });
}

export function peakOf(samples, step = 1) {
  let most = 0;
  for (let i = 0; i < samples.length; i += step) most = Math.max(most, Math.abs(samples[i]));
  return most;
}

export function decibels(peak) {
  return 20 * Math.log10(peak);
}

/** What is to be said of how loud it is: [a word for the style, words for people]. */
export function loudness(peak, clipped = peak >= FULL_SCALE) {
  if (clipped) return ["poor", "too loud"];
  if (decibels(peak) < QUIET_DB) return ["fair", "quiet"];
  return ["good", "good"];
}

/** Where a window of `length` begins in which the middle hears the most: a sound in it is whole, with silence around. */
export function loudestWindow(samples, length) {
  const step = Math.max(1, Math.round(length / 100));
  const energy = [];
  for (let at = 0; at < samples.length; at += step) energy.push(samples.subarray(at, at + step).reduce((sum, value) => sum + value * value, 0));
  const steps = Math.round(length / step);
  const bell = Array.from({ length: steps }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / steps) ** 2);
  let [best, most] = [0, -1];
  for (let first = 0; first * step + length <= samples.length; first++) {
    const heard = bell.reduce((sum, weight, i) => sum + weight * energy[first + i], 0);
    if (heard > most) [best, most] = [first * step, heard];
  }
  return best;
}

/** A waveform of the loudest values of its parts, each from 0 to 1. */
export function waveform(peaks, label) {
  const line = peaks.map((peak, i) => `M${i + 0.5} ${50 - 48 * Math.max(0.015, peak)}V${50 + 48 * Math.max(0.015, peak)}`).join("");
  const shown = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return drawing("svg", { class: "waveform", viewBox: `0 0 ${peaks.length} 100`, preserveAspectRatio: "none", ...shown }, drawing("path", { d: line }));
}

/** The loudest value of each of `BARS` parts; of long recordings not every sample is looked at. */
export function parts(samples) {
  const at = (i) => Math.floor((i * samples.length) / BARS);
  const step = Math.ceil(samples.length / LOOKED_AT);
  return Array.from({ length: BARS }, (_, i) => peakOf(samples.subarray(at(i), at(i + 1)), step));
}

/** What a recording looks like, how loud it is, and a button to listen to it. */
export function recordingCard(blob, name) {
  const told = element("span", { class: "muted" });
  const picture = element("div", { class: "sound-picture" });
  look(blob).then(
    ({ samples, seconds }) => {
      const peak = peakOf(samples);
      const clipped = samples.reduce((count, value) => count + (Math.abs(value) >= FULL_SCALE), 0) > CLIPPED * samples.length;
      const [level, word] = loudness(peak, clipped);
      picture.append(waveform(parts(samples)));
      picture.dataset.level = level;
      told.textContent = `${seconds.toFixed(1)} s, ${peak ? `loudest ${decibels(peak).toFixed(0).replace("-", "−")} dB` : "silent"}, ${word}`;
    },
    () => (told.textContent = "This browser cannot draw it."),
  );
  return element("div", { class: "sound" }, picture, element("div", { class: "beside" }, player(blob, name), told));
}

async function look(blob) {
  const decoded = await new OfflineAudioContext(1, 1, DECODED_HZ).decodeAudioData(await blob.arrayBuffer());
  return { samples: decoded.getChannelData(0), seconds: decoded.duration };
}

let playing = null;

export function isPlaying() {
  return playing !== null;
}

/** Stops what is played. */
export function hush() {
  playing?.();
}

function player(blob, name) {
  const button = element("button", { type: "button", class: "play", "aria-label": `Listen to ${name}` }, "▶ Listen");
  button.addEventListener("click", () => {
    if (button.dataset.playing) return hush();
    hush();
    const url = URL.createObjectURL(blob);
    const sound = new Audio(url);
    const done = () => {
      if (playing === done) playing = null;
      sound.pause();
      URL.revokeObjectURL(url);
      delete button.dataset.playing;
      button.textContent = "▶ Listen";
    };
    playing = done;
    button.dataset.playing = "yes";
    button.textContent = "■ Stop";
    sound.addEventListener("ended", done);
    sound.addEventListener("error", done);
    sound.play().catch(done);
  });
  return button;
}
