import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { documentOf, environmentOf } from "../core/organization.ts";
import { startPipelineProcess } from "../support/processes.ts";

const CLIENTS = 20;
const BODY = 256 * 1024;
const CHUNKS_AT_ONCE = 4096;
const MIB = 1024 ** 2;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A body of 256 KiB, each byte in a chunk of its own; the answer's first line. */
async function send(port: number): Promise<string> {
  const socket = createConnection(port, "127.0.0.1");
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("data", (data) => resolve(data.toString("latin1").split("\r\n")[0] ?? ""));
    socket.once("error", reject);
  });
  const head =
    "POST /webhooks/clavex/acme HTTP/1.1\r\nhost: 127.0.0.1\r\nx-clavex-signature: sha256=x\r\ntransfer-encoding: chunked\r\n\r\n";
  const some = Buffer.from("1\r\nx\r\n".repeat(CHUNKS_AT_ONCE));
  const all = [Buffer.from(head), ...Array<Buffer>(BODY / CHUNKS_AT_ONCE).fill(some), Buffer.from("0\r\n\r\n")];
  await pipeline(Readable.from(all), socket, { end: false });
  const line = await answer;
  socket.destroy();
  return line;
}

test("20 clients that send 256 KiB in 1-byte chunks are answered, and the process lives with a heap of 256 MB", async () => {
  const organizations = join(folder, "organizations");
  await mkdir(organizations);
  const document = documentOf(
    {},
    { clavex: { url: "http://127.0.0.1:9" }, nextcloud: { url: "http://127.0.0.1:9", username: "p" } },
  );
  await writeFile(join(organizations, "acme.json"), JSON.stringify(document));
  const places = ["--organizations", organizations, "--state", join(folder, "state")];
  const program = await startPipelineProcess(places, {
    ...environmentOf("p", "acme"),
    NODE_OPTIONS: "--max-old-space-size=256",
  });
  try {
    const memory = async (): Promise<number> => {
      const metrics = await (await fetch(`${program.adminUrl}/metrics`)).text();
      return Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]) / MIB;
    };
    const before = await memory();
    const answers = await Promise.all(Array.from({ length: CLIENTS }, () => send(Number(new URL(program.url).port))));
    const after = await memory();
    console.log(
      `resident memory: ${before.toFixed(0)} MiB before, ${after.toFixed(0)} MiB after ${CLIENTS} such clients`,
    );
    // Whoever is slower than a request may be, on a busy machine, is cut off with 408.
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 (?:401|408) /);
    expect((await fetch(`${program.url}/healthz`)).status).toBe(200);
  } finally {
    program.kill("SIGTERM");
    expect(await program.ended).toBe(0);
  }
});
