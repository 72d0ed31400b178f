/** The largest delivery that is read: 256 KiB. */
export const LARGEST_BODY = 256 * 1024;
/** How much of a larger one is read and dropped, so that its sender gets to see the answer: 1 MiB. */
const LARGEST_DRAIN = 1024 * 1024;

/**
 * Reads a request's raw bytes.
 *
 * @returns undefined when there are more than 256 KiB; at most 1 MiB is read then, and none of it kept
 */
export async function readBody(request: Request): Promise<Uint8Array | undefined> {
  if (!request.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size > LARGEST_DRAIN) break;
    if (size <= LARGEST_BODY) chunks.push(chunk);
    else chunks.length = 0;
  }
  return size > LARGEST_BODY ? undefined : Buffer.concat(chunks);
}
