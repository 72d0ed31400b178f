/** The largest delivery that is read: 256 KiB. */
export const LARGEST_BODY = 256 * 1024;
/** What nearly every delivery fits into: a large buffer for each costs more than all the rest of a request. */
const USUAL_BODY = 8 * 1024;
/** How many bytes of a larger one are drained, so that its sender can read the 413: 1 MiB. */
const LARGEST_DRAIN = 1024 * 1024;
/** How many bodies are read in parallel, each into a buffer of its own: 16 MiB in all. */
const MOST_AT_ONCE = 64;

/** What is read of a request: the parts of its body, in order, as the network delivers them. */
export interface Incoming {
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null;
}

/** Why there is no body: more than 256 KiB; the connection ended before the body did; too many are being read. */
export type Unread = "too large" | "interrupted" | "busy";

/**
 * Reads the raw bytes of bodies. A body takes 8 KiB of memory, or if it is larger 256 KiB, however small its chunks are.
 *
 * @returns a function from a request to the bytes, or to the reason why it has none. Of a body that is too large at most
 * 1 MiB is read; of one that would be the 65th at the same time nothing is.
 */
export function createBodyReader(mostAtOnce = MOST_AT_ONCE): (request: Incoming) => Promise<Uint8Array | Unread> {
  let underWay = 0;
  return async (request) => {
    // A look at the body alone would already make the server queue what comes of it.
    if (underWay >= mostAtOnce) return "busy";
    underWay += 1;
    try {
      return await collect(request.body ?? []);
    } catch {
      // Only the connection can fail here.
      return "interrupted";
    } finally {
      underWay -= 1;
    }
  };
}

async function collect(chunks: NonNullable<Incoming["body"]>): Promise<Uint8Array | "too large"> {
  // Never a list of chunks: each chunk is an object, which weighs a hundred times its one byte.
  let buffer = Buffer.allocUnsafeSlow(USUAL_BODY);
  let size = 0;
  for await (const chunk of chunks) {
    const end = size + chunk.length;
    if (end > buffer.length && end <= LARGEST_BODY && buffer.length < LARGEST_BODY) {
      const larger = Buffer.allocUnsafeSlow(LARGEST_BODY);
      larger.set(buffer.subarray(0, size));
      buffer = larger;
    }
    if (end <= buffer.length) buffer.set(chunk, size);
    size = end;
    if (size > LARGEST_DRAIN) break;
  }
  return size > LARGEST_BODY ? "too large" : buffer.subarray(0, size);
}
