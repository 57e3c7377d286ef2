// EdgeFew in JavaScript, for Node and for browsers: a bundle's three graphs, and the state file. See docs/hosts.md.
//
//   const host = await Host.open(ort, "cpu", async (name) => bytes of that file of the bundle);
//   const state = new State(host);
//   await host.learn(state, "leaf", [frame, frame]);        a frame: {pixels: RGB bytes, height, width, source}
//   const answer = await host.recognise(state, frame);      {label, known, nearest, score, probability, threshold}
//   state.toBytes();  State.fromBytes(host, bytes);

export const FALSE_ACCEPT_RATE = 0.05;

const MAGIC = "EFSTATE1";
const MAX_TEXT = 4096;
const MAX_NAME = 200;
const MAX_PIXELS = 64e6;
const ABSENT = -1.5; // no cosine is below it; a class without examples scores -2

export class HostError extends Error {}

// ---- the bundle ------------------------------------------------------------------------------------------------------

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) throw new HostError("Hashes cannot be computed: open this page by https or as localhost.");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

// Every file of SHA256SUMS must have its hash before anything reads it; a file that is not listed is never read.
async function readBundle(read) {
  const sums = await read("SHA256SUMS");
  const lines = new TextDecoder().decode(sums).split("\n").filter((line) => line);
  const files = {};
  for (const line of lines) {
    const [digest, name] = [line.slice(0, 64), line.slice(66)];
    if (!/^[0-9a-f]{64} {2}[^/]/.test(line) || name.includes("..")) throw new HostError("SHA256SUMS is damaged.");
    files[name] = await read(name);
    if (hex(await sha256(files[name])) !== digest) throw new HostError(`${name} has other bytes than were exported.`);
  }
  return { id: await sha256(sums), files };
}

export class Host {
  static async open(ort, provider, read) {
    const { id, files } = await readBundle(read);
    const ours = JSON.parse(new TextDecoder().decode(files["manifest.json"])).additional_metadata.edgefew;
    if (ours.format !== 1) throw new HostError(`The bundle is of format ${ours.format}; this program reads format 1.`);
    if (ours.input.kind !== "image") throw new HostError(`The bundle takes ${ours.input.kind}, not images.`);
    const options = { executionProviders: [provider], intraOpNumThreads: 1, logSeverityLevel: 3 };
    const graph = (name) => ort.InferenceSession.create(files[`${name}/fp32/model.onnx`], options);
    const graphs = { embed: await graph("embed"), enroll: await graph("enroll"), classify: await graph("classify") };
    return new Host(ort, id, ours, graphs);
  }

  constructor(ort, id, manifest, graphs) {
    this.ort = ort;
    this.id = id; // 32 bytes
    this.dimension = manifest.embedding.dimension;
    this.scale = manifest.embedding.scale;
    this.points = manifest.operating_points;
    this.graphs = graphs;
  }

  get idHex() {
    return hex(this.id);
  }

  // ---- the three graphs ----------------------------------------------------------------------------------------------

  #floats(data, ...shape) {
    return new this.ort.Tensor("float32", data, shape);
  }

  // pixels: RGB bytes [height, width, 3]. Gives float32 [d].
  async embed({ pixels, height, width }) {
    if (height * width > MAX_PIXELS || pixels.length !== height * width * 3) {
      throw new HostError(`A frame of ${width} × ${height} and ${pixels.length} bytes cannot be used.`);
    }
    const { embeddings } = await this.graphs.embed.run({ frames: new this.ort.Tensor("uint8", pixels, [1, height, width, 3]) });
    return embeddings.data;
  }

  // embeddings: float32 [n, d]; labels: n numbers or BigInts; weights: float32 [n]; sums: float32 [c, d]; counts: float32 [c].
  async enroll(embeddings, labels, weights, sums, counts) {
    const [n, c, d] = [labels.length, counts.length, this.dimension];
    const result = await this.graphs.enroll.run({
      embeddings: this.#floats(embeddings, n, d),
      labels: new this.ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [n]),
      weights: this.#floats(weights, n),
      sums: this.#floats(sums, c, d),
      counts: this.#floats(counts, c),
    });
    return { sums: result.new_sums.data, counts: result.new_counts.data, accepted: result.accepted.data };
  }

  async classify(embeddings, sums, counts, threshold) {
    const [n, c, d] = [embeddings.length / this.dimension, counts.length, this.dimension];
    const result = await this.graphs.classify.run({
      embeddings: this.#floats(embeddings, n, d),
      sums: this.#floats(sums, c, d),
      counts: this.#floats(counts, c),
      scale: this.#floats(Float32Array.of(this.scale)),
      threshold: this.#floats(Float32Array.of(threshold)),
    });
    const { probabilities, scores, best, known } = result;
    return { probabilities: probabilities.data, scores: scores.data, best: best.data, known: known.data };
  }

  // ---- what a program does with them ---------------------------------------------------------------------------------

  // Add frames to a class, new or not, all or none; gives how many the class did not have yet.
  async learn(state, name, frames) {
    const label = checkName(name);
    const found = state.classes.find((entry) => entry.name === label);
    let { sum, examples } = found ?? { sum: new Float32Array(this.dimension), examples: [] };
    const before = examples.length;
    for (const frame of frames) {
      const digest = await frameHash(frame);
      if (examples.some((example) => hex(example.sha256) === hex(digest))) continue;
      const counts = Float32Array.of(examples.length);
      const result = await this.enroll(await this.embed(frame), [0], Float32Array.of(1), sum, counts);
      if (!result.accepted[0]) throw new HostError(`${frame.source} gives no usable embedding. Nothing was enrolled.`);
      // Sums of values on the grid are exact, and so is this difference: the example as it went into the sum.
      const embedding = result.sums.map((value, index) => value - sum[index]);
      examples = [...examples, { embedding, sha256: digest, source: shortened(frame.source) }];
      sum = result.sums;
    }
    if (found) Object.assign(found, { sum, examples });
    else state.classes.push({ name: label, sum, examples });
    return examples.length - before;
  }

  // What a frame is taken for. Where `known` is false, the answer is "unknown": do not act on `nearest`.
  async recognise(state, frame, rate = FALSE_ACCEPT_RATE) {
    const threshold = this.threshold(state, rate);
    const nothing = { label: null, known: false, nearest: null, score: null, probability: 0, threshold };
    if (!state.classes.length) return nothing;
    const answer = await this.classify(await this.embed(frame), state.sums, state.counts, threshold);
    const best = Number(answer.best[0]);
    if (!(answer.scores[best] > ABSENT)) return nothing;
    const nearest = state.classes[best].name;
    const known = Boolean(answer.known[0]);
    const [score, probability] = [answer.scores[best], answer.probabilities[best]];
    return { label: known ? nearest : null, known, nearest, score, probability, threshold };
  }

  // The threshold that the bundle promises the rate with, for these classes; infinite, so that every answer is
  // "unknown", if it promises none. docs/unknown.md.
  threshold(state, rate) {
    const counts = state.classes.map((entry) => entry.examples.length);
    const [fewest, most] = counts.length ? [Math.min(...counts), Math.max(...counts)] : [1, 1];
    const way = Math.max(1, counts.length);
    let points = this.points.filter((point) => point.way >= way && point.false_accept_rate <= rate * (1 + 1e-9));
    if (!points.length) return Infinity;
    const keep = (key, value) => (points = points.filter((point) => point[key] === value));
    keep("false_accept_rate", Math.max(...points.map((point) => point.false_accept_rate)));
    keep("way", Math.min(...points.map((point) => point.way)));
    const shots = points.map((point) => point.shot).sort((a, b) => a - b);
    const low = shots.findLast((shot) => shot <= fewest) ?? shots[0];
    const high = shots.find((shot) => shot >= most) ?? shots.at(-1);
    const around = points.filter((point) => low <= point.shot && point.shot <= high);
    return Math.max(...around.map((point) => point.threshold));
  }
}

// ---- frames and names ------------------------------------------------------------------------------------------------

// As Python's Frame.sha256: the shape as text, then the pixels.
function frameHash({ pixels, height, width }) {
  const shape = new TextEncoder().encode(`(${height}, ${width}, 3)`);
  const bytes = new Uint8Array(shape.length + pixels.length);
  bytes.set(shape);
  bytes.set(pixels, shape.length);
  return sha256(bytes);
}

// What a camera, a canvas or a picture file gives: RGBA. Transparent becomes white.
export function fromRgba(rgba, height, width, source) {
  const pixels = new Uint8Array(height * width * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3];
    for (let part = 0; part < 3; part++) pixels[to++] = Math.round((rgba[from + part] * alpha + 255 * (255 - alpha)) / 255);
  }
  return { pixels, height, width, source };
}

// A binary PPM file (P6), RGB, 8 bits.
export function fromPpm(bytes, source) {
  const head = /^P6\s(\d{1,5})\s(\d{1,5})\s255\s/.exec(new TextDecoder("latin1").decode(bytes.subarray(0, 32)));
  if (!head) throw new HostError(`${source} is no binary PPM file (P6, 8 bits).`);
  const [width, height] = [Number(head[1]), Number(head[2])];
  const pixels = bytes.slice(head[0].length);
  if (!pixels.length || pixels.length !== width * height * 3) throw new HostError(`${source} should have ${width} × ${height} pixels.`);
  return { pixels, height, width, source };
}

// The name as it is stored: without blanks around it, and with one code for each letter.
export function checkName(name) {
  const label = name.trim().normalize("NFC");
  if (!label || [...label].length > MAX_NAME) throw new HostError(`A class name has 1 to ${MAX_NAME} characters.`);
  if (/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(label)) throw new HostError("The class name has characters that cannot be shown.");
  return label;
}

// The end of a long source name, which has the file's name; never half a character.
function shortened(source) {
  let text = source.toWellFormed?.() ?? source;
  while (new TextEncoder().encode(text).length > MAX_TEXT) text = [...text].slice(1).join("");
  return text;
}

// ---- the state file --------------------------------------------------------------------------------------------------

// The enrolled classes: each has a name, the sum of its examples (float32 [d]), and the examples.
export class State {
  constructor(host) {
    this.host = host;
    this.classes = [];
  }

  get sums() {
    const sums = new Float32Array(this.classes.length * this.host.dimension);
    this.classes.forEach((entry, index) => sums.set(entry.sum, index * this.host.dimension));
    return sums;
  }

  get counts() {
    return Float32Array.from(this.classes, (entry) => entry.examples.length);
  }

  forget(name) {
    const left = this.classes.filter((entry) => entry.name !== name);
    if (left.length === this.classes.length) throw new HostError(`No class ${name} is enrolled.`);
    this.classes = left;
  }

  toBytes() {
    const examples = this.classes.flatMap((entry, index) => entry.examples.map((example) => ({ ...example, index })));
    const texts = [...this.classes.map((entry) => entry.name), ...examples.map((example) => example.source)];
    const parts = [
      new TextEncoder().encode(MAGIC),
      this.host.id,
      Uint32Array.of(this.host.dimension, this.classes.length, examples.length),
      this.sums,
      this.counts,
      ...examples.map((example) => example.embedding),
      Uint32Array.from(examples, (example) => example.index),
      ...examples.map((example) => example.sha256),
      ...texts.map((text) => new TextEncoder().encode(text)).flatMap((text) => [Uint32Array.of(text.length), text]),
    ];
    const bytes = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
    let place = 0;
    for (const part of parts) {
      bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), place);
      place += part.byteLength;
    }
    return bytes;
  }

  static fromBytes(host, bytes) {
    const d = host.dimension;
    let place = 0;
    const take = (size) => {
      if (place + size > bytes.length) throw new HostError("The state file was cut off.");
      place += size;
      return bytes.slice(place - size, place); // a copy, so that numbers in it are aligned
    };
    const floats = (count) => new Float32Array(take(4 * count).buffer);
    const numbers = (count) => new Uint32Array(take(4 * count).buffer);
    const text = () => {
      const [size] = numbers(1);
      if (size > MAX_TEXT) throw new HostError(`The state file has a name of ${size} bytes.`);
      return new TextDecoder("utf-8", { fatal: true }).decode(take(size));
    };
    if (new TextDecoder("latin1").decode(take(8)) !== MAGIC) throw new HostError("This is no state file of format 1.");
    const id = take(32);
    const [dimension, c, n] = numbers(3);
    if (hex(id) !== host.idHex || dimension !== d) throw new HostError("The state file is of another bundle.");
    const [sums, counts, rows, classes, hashes] = [floats(c * d), floats(c), floats(n * d), numbers(n), take(32 * n)];
    const state = new State(host);
    state.classes = Array.from({ length: c }, () => ({ name: checkName(text()), sum: new Float32Array(d), examples: [] }));
    for (let i = 0; i < n; i++) {
      const [entry, embedding] = [state.classes[classes[i]], rows.slice(i * d, (i + 1) * d)];
      if (!entry) throw new HostError("The state file has an example of no class.");
      entry.sum = entry.sum.map((value, index) => value + embedding[index]);
      entry.examples.push({ embedding, sha256: hashes.slice(32 * i, 32 * (i + 1)), source: text() });
    }
    if (place !== bytes.length) throw new HostError(`${bytes.length - place} bytes follow the end of the state file.`);
    // To the bit; NaN equals nothing, so it is refused too.
    const same = (a, b) => a.every((value, index) => value === b[index]);
    const filled = counts.every((count) => count > 0);
    if (!same(state.sums, sums) || !same(state.counts, counts) || !filled) {
      throw new HostError("The state file's sums and counts are not those of its examples.");
    }
    if (new Set(state.classes.map((entry) => entry.name)).size < c) throw new HostError("Two classes have the same name.");
    return state;
  }
}
