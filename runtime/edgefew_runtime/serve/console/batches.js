// Pictures in parts that the server takes in one request.

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
