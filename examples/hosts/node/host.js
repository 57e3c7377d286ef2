// EdgeFew in Node. The state file is shared with every other host.
//
//   node host.js BUNDLE STATE enroll NAME FRAME.ppm...
//   node host.js BUNDLE STATE classify FRAME.ppm...
//   node host.js BUNDLE STATE classes
//   node host.js BUNDLE STATE forget NAME
//   node host.js BUNDLE vectors FOLDER

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { runVectors } from "./conformance.js";
import { Host, HostError, State, checkName, fromPpm } from "./edgefew.js";

process.env.ORT_DISABLE_TELEMETRY ??= "1"; // read once, when the library is loaded: so it is imported after this
const ort = await import("onnxruntime-node");

const USAGE = `Usage: node host.js BUNDLE STATE enroll NAME FRAME... | classify FRAME... | classes | forget NAME
       node host.js BUNDLE vectors FOLDER`;

const readFrom = (folder) => async (name) => new Uint8Array(readFileSync(join(folder, name)));
const readFrame = (path) => fromPpm(new Uint8Array(readFileSync(path)), basename(path));
const readState = (host, path) =>
  existsSync(path) ? State.fromBytes(host, new Uint8Array(readFileSync(path))) : new State(host);

// Whole or not at all: written beside, flushed to the disk, then renamed.
function writeState(state, path) {
  const file = openSync(`${path}.part`, "w");
  writeFileSync(file, state.toBytes());
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.part`, path);
}

const COMMANDS = {
  async enroll(host, path, name, ...frames) {
    if (!frames.length) throw new HostError(USAGE);
    const state = readState(host, path);
    const added = await host.learn(state, name, frames.map(readFrame));
    writeState(state, path);
    const { examples } = state.classes.find((entry) => entry.name === checkName(name));
    console.log(`${name}: ${added} added, ${examples.length} in all`);
  },
  async classify(host, path, ...frames) {
    const state = readState(host, path);
    if (!state.classes.length) throw new HostError("No class is enrolled.");
    for (const frame of frames) {
      const { label, nearest, score, threshold } = await host.recognise(state, readFrame(frame));
      const told = nearest === null ? "" : ` (nearest: ${nearest}, score ${score.toFixed(4)}, threshold ${threshold.toFixed(4)})`;
      console.log(`${frame}: ${label ?? "unknown"}${told}`);
    }
  },
  async classes(host, path) {
    for (const { name, examples } of readState(host, path).classes) console.log(`${name}: ${examples.length}`);
  },
  async forget(host, path, name) {
    const state = readState(host, path);
    state.forget(name);
    writeState(state, path);
    console.log(`${name}: forgotten`);
  },
};

async function main([bundle, second, command, ...words]) {
  const vectors = second === "vectors" && command !== undefined && !words.length;
  if (!vectors && !Object.hasOwn(COMMANDS, command ?? "")) throw new HostError(USAGE);
  const host = await Host.open(ort, "cpu", readFrom(bundle));
  if (vectors) return await runVectors(host, readFrom(command), console.log);
  await COMMANDS[command](host, second, ...words);
  return 0;
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 1 : 0;
} catch (error) {
  console.error(`Error: ${error.message}`);
  process.exitCode = 1;
}
