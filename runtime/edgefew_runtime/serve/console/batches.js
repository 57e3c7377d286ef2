// Frames as the server takes them: in parts of one request, as a form.

import { server } from "./server.js";

const FILES = 32;
const BYTES = 24 * 2 ** 20;

/** The things in order, in parts of at most 32 and, by the blob that `blobOf` gives of each, 24 MiB. */
export function batches(things, blobOf) {
  const parts = [];
  let bytes = 0;
  for (const thing of things) {
    const { size } = blobOf(thing);
    if (!parts.length || parts.at(-1).length === FILES || bytes + size > BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1).push(thing);
    bytes += size;
  }
  return parts;
}

/** A form with files, who gives them, and further fields. */
export function form(files, fields = {}) {
  const made = new FormData();
  for (const [name, value] of Object.entries({ by: server.person, ...fields })) made.append(name, value);
  for (const [file, name] of files) made.append("frames", file, name);
  return made;
}
