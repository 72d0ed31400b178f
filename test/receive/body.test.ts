import { describe, expect, it } from "vitest";
import { createBodyReader, LARGEST_BODY } from "../../functions/receive/body.ts";

/**
 * A body whose chunks are all one and the same piece of memory, written again for each: whoever keeps chunks instead of
 * copying them has the last one many times.
 */
function* overwritten(body: Uint8Array, chunkSize: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(chunkSize);
  for (let start = 0; start < body.length; start += chunkSize) {
    const part = body.subarray(start, start + chunkSize);
    chunk.set(part);
    yield chunk.subarray(0, part.length);
  }
}

const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, index) => index % 251);

describe("the body of a request", () => {
  it.each([
    [1, 0],
    [1, 1],
    [1, 10_000],
    [1_000, 8_192],
    [1_000, 8_193],
    [7, LARGEST_BODY - 1],
    [4096, LARGEST_BODY],
    [LARGEST_BODY, LARGEST_BODY],
  ])("in chunks of %i bytes, %i bytes in all, is copied into one buffer of 8 KiB, or of 256 KiB", async (chunkSize, size) => {
    const body = await createBodyReader()({ body: overwritten(bytes(size), chunkSize) });
    if (typeof body === "string") throw new Error(body);
    expect(Buffer.compare(body, bytes(size))).toBe(0);
    expect(body.buffer.byteLength).toBe(size <= 8_192 ? 8_192 : LARGEST_BODY);
  });

  it("of 1-byte chunks of 20 clients takes 20 buffers, however the chunks are mixed", async () => {
    const read = createBodyReader();
    const sent = Array.from({ length: 20 }, (_, client) => bytes(20_000 + client));
    const bodies = await Promise.all(sent.map((body) => read({ body: overwritten(body, 1) })));
    const kept = new Set<ArrayBufferLike>();
    for (const [client, body] of bodies.entries()) {
      if (typeof body === "string") throw new Error(body);
      expect(Buffer.compare(body, sent[client] ?? bytes(0))).toBe(0);
      kept.add(body.buffer);
    }
    expect([...kept].map(({ byteLength }) => byteLength)).toEqual(Array(20).fill(LARGEST_BODY));
  });

  it.each([
    [1, LARGEST_BODY + 1],
    [4096, LARGEST_BODY + 1],
    [2 * LARGEST_BODY, 2 * LARGEST_BODY],
  ])("in chunks of %i bytes, %i bytes in all, is too large", async (chunkSize, size) => {
    expect(await createBodyReader()({ body: overwritten(bytes(size), chunkSize) })).toBe("too large");
  });

  it("that ends with an error gives its place back", async () => {
    const read = createBodyReader(1);
    const broken = (async function* () {
      yield bytes(1);
      throw new Error("reset");
    })();
    expect(await read({ body: broken })).toBe("interrupted");
    expect(await read({ body: [bytes(1)] })).toHaveLength(1);
  });

  it("is not touched while too many are being read", async () => {
    const read = createBodyReader(1);
    const end = Promise.withResolvers<void>();
    const body = (async function* () {
      await end.promise;
      yield bytes(3);
    })();
    const first = read({ body });
    let touched = false;
    const second = await read({
      get body() {
        touched = true;
        return null;
      },
    });
    expect([second, touched]).toEqual(["busy", false]);
    end.resolve();
    expect(await first).toHaveLength(3);
  });
});
