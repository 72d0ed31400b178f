import { vi } from "vitest";

/** Throws an unexpected error, whose message is private. */
export function failUnforeseen(): never {
  throw new RangeError("ada@acme.example is no number");
}

/** What the Lambda functions read from their environment; nothing of AWS exists there. */
export function stubFunction(): void {
  const nowhere = "http://127.0.0.1:1";
  for (const [name, value] of Object.entries({
    STAGE: "prod",
    QUEUE_URL: `${nowhere}/jobs.fifo`,
    DEAD_LETTER_QUEUE_URL: `${nowhere}/dead-letters.fifo`,
    TABLE_NAME: "ledger",
    STARTS_PAUSED: "false",
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local",
    LOG_LEVEL: "info",
  }))
    vi.stubEnv(name, value);
}

/** Does the work of an invocation that fails: the lines that it wrote to stdout, where CloudWatch takes them, and what it threw. */
export async function linesOf(
  work: () => Promise<unknown>,
): Promise<{ lines: Record<string, unknown>[]; thrown: Error | undefined }> {
  const written: string[] = [];
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  try {
    const thrown = await work().then(
      () => undefined,
      (error: Error) => error,
    );
    return { lines: written.map((line) => JSON.parse(line)), thrown };
  } finally {
    stdout.mockRestore();
  }
}
