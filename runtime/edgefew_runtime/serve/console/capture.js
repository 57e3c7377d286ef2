// Runs beside the page, in the browser's thread of sound: gives the page what the microphone hears, 512 samples at a time.

const SAMPLES = 512;

class Capture extends AudioWorkletProcessor {
  #chunk = new Float32Array(SAMPLES);
  #filled = 0;

  process([[samples]]) {
    if (!samples) return true;
    this.#chunk.set(samples, this.#filled);
    this.#filled += samples.length;
    if (this.#filled === SAMPLES) {
      this.port.postMessage(this.#chunk, [this.#chunk.buffer]);
      this.#chunk = new Float32Array(SAMPLES);
      this.#filled = 0;
    }
    return true;
  }
}

registerProcessor("capture", Capture);
