// Runs conformance vectors (docs/hosts.md) on a host: one line a step, ✓ or ✗.

import { HostError, fromPpm } from "./edgefew.js";

// read: gives the bytes of a file of the vectors' folder. report: takes a line. Gives how many steps failed.
export async function runVectors(host, read, report) {
  const text = new TextDecoder().decode(await read("steps.txt"));
  const vectors = new Vectors(host, read);
  const result = { steps: 0, failed: 0 };
  for (const line of text.split("\n").filter((line) => line)) {
    const [verb, name, ...rest] = line.split(" ");
    if (!(verb in STEPS)) {
      vectors.head(verb, name);
      continue;
    }
    const right = await vectors[STEPS[verb]](name, ...rest);
    report(`${right ? "✓" : "✗"} ${verb} ${name}`);
    result.steps += 1;
    result.failed += right ? 0 : 1;
  }
  if (!result.steps) throw new HostError("The vectors have no steps.");
  report(`${result.steps - result.failed} of ${result.steps} steps agree`);
  return result.failed;
}

const STEPS = { embed: "embed", enroll: "enroll", classify: "classify", learn: "learn", recognise: "recognise" };
const TYPES = { labels: BigInt64Array, best: BigInt64Array, accepted: Uint8Array, known: Uint8Array };

const near = (a, b, tolerance) => a.length === b.length && a.every((value, index) => Math.abs(value - b[index]) <= tolerance);
const same = (a, b) => a.length === b.length && a.every((value, index) => value === b[index]);
const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);

class Vectors {
  constructor(host, read) {
    Object.assign(this, { host, read, values: {} });
  }

  head(key, value) {
    if (key === "edgefew-vectors" && value !== "1") throw new HostError(`The vectors are of format ${value}.`);
    if (key === "bundle" && value !== this.host.idHex) throw new HostError("The vectors are of another bundle.");
    if (key === "reset") {
      this.sums = new Float32Array(this.values.classes * this.host.dimension);
      this.counts = new Float32Array(this.values.classes);
    }
    this.values[key] = Number(value);
  }

  async array(step, part) {
    const bytes = await this.read(`${step}.${part}`);
    return new (TYPES[part] ?? Float32Array)(bytes.slice().buffer);
  }

  async embedded(step) {
    return this.host.embed(fromPpm(await this.read(`${step}.ppm`), step));
  }

  async embed(step, kind) {
    const [expected, got] = [await this.array(step, "embedding"), await this.embedded(step)];
    if (kind === "exact") return near(got, expected, this.values.tolerance);
    return dot(got, expected) / Math.sqrt(dot(got, got) * dot(expected, expected)) >= this.values.cosine;
  }

  async enroll(step) {
    const [rows, labels, weights] = await Promise.all(["embeddings", "labels", "weights"].map((part) => this.array(step, part)));
    const result = await this.host.enroll(rows, labels, weights, this.sums, this.counts);
    Object.assign(this, { sums: result.sums, counts: result.counts });
    for (const part of ["accepted", "sums", "counts"]) if (!same(result[part], await this.array(step, part))) return false;
    return true;
  }

  async classify(step, _rows, threshold) {
    const rows = await this.array(step, "embeddings");
    const result = await this.host.classify(rows, this.sums, this.counts, Number(threshold));
    for (const part of ["best", "known"]) if (!same(result[part], await this.array(step, part))) return false;
    for (const part of ["probabilities", "scores"]) {
      if (!near(result[part], await this.array(step, part), this.values.tolerance)) return false;
    }
    return true;
  }

  async learn(step, label) {
    const result = await this.host.enroll(await this.embedded(step), [label], Float32Array.of(1), this.sums, this.counts);
    Object.assign(this, { sums: result.sums, counts: result.counts });
    return result.accepted[0] === 1;
  }

  async recognise(step, threshold, expected) {
    const { best, known } = await this.host.classify(await this.embedded(step), this.sums, this.counts, Number(threshold));
    return (known[0] ? String(best[0]) : "unknown") === expected;
  }
}
