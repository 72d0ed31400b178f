import { describe, expect, it } from "vitest";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import { jsonLog } from "../../functions/telemetry/log.ts";
import { loggingUnexpected } from "../../functions/telemetry/unexpected.ts";

describe("an invocation that fails", () => {
  it.each([
    ["unforeseen", new TypeError("ada@acme.example is no number"), "TypeError"],
    ["of the ledger", new LedgerUnavailable(new Error("ada@acme.example")), "ledger-unavailable"],
  ])("is logged with where it was thrown, and neither log nor runtime gets to see its message: %s", async (_name, error, told) => {
    const lines: string[] = [];
    const log = jsonLog("test", (line) => lines.push(line), "info");
    const thrown: Error = await loggingUnexpected(log, () => Promise.reject(error)).catch((each) => each);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "ERROR", message: "invocation failed" });
    expect(lines[0]).toContain(told);
    expect(thrown.message).toContain(told);
    expect(`${lines[0]} ${thrown.message} ${thrown.stack} ${String(thrown.cause)}`).not.toContain("@acme.example");
  });

  it("passes on what the work gives", async () => {
    const log = jsonLog("test", () => undefined, "info");
    expect(await loggingUnexpected(log, async () => 5)).toBe(5);
  });
});
