import { describe, expect, it, vi } from "vitest";
import { logLevel } from "../../functions/config/environment.ts";
import { BrakeHeld } from "../../functions/core/brake.ts";
import { terminalLog } from "../../functions/local/terminal-log.ts";
import { createLog, jsonLog, type Log } from "../../functions/telemetry/log.ts";
import { problemOf } from "../../functions/telemetry/problem.ts";

const EMAIL = "ada.lovelace@acme.example";
const HOSTILE = "\u001b[2J \u009b31m \u0007 \u202e \u2066 \u2028 \\u001b \r\n forged";
/** What moves a terminal's cursor, breaks a line or turns its direction. */
const UNPRINTABLE = /[\p{Cc}\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

type Format = (write: (line: string) => void, least: "debug" | "info" | "warn" | "error") => Log;

const FORMATS: { format: string; create: Format }[] = [
  { format: "json", create: (write, least) => jsonLog("test", write, least) },
  { format: "text", create: terminalLog },
];

/** The lines that a log writes. */
function lines(create: Format, use: (log: Log) => void, least: Parameters<Format>[1] = "debug"): string[] {
  const written: string[] = [];
  use(create((line) => written.push(line), least));
  return written;
}

describe.each(FORMATS)("a log line ($format)", ({ create }) => {
  it("holds nothing foreign that a terminal obeys, and stays one line", () => {
    const written = lines(create, (log) => {
      log.info(HOSTILE, { event: HOSTILE, notes: [HOSTILE], nested: { problem: HOSTILE }, [HOSTILE]: 1 });
    });
    expect(written).toHaveLength(1);
    for (const line of written) expect(line).not.toMatch(UNPRINTABLE);
  });

  it.each(["info", "warn", "error"] as const)("holds no e-mail address at %s", (level) => {
    const [line] = lines(create, (log) => {
      log[level](`about ${EMAIL}`, { event: EMAIL, notes: [`group ${EMAIL}`, `<${EMAIL}>`], nested: { to: EMAIL } });
    });
    expect(line).toContain("(e-mail address)");
    expect(line).not.toContain("@");
  });

  it("may hold an e-mail address at debug", () => {
    expect(lines(create, (log) => log.debug("looking", { who: EMAIL }))[0]).toContain(EMAIL);
  });

  it("keeps the paths of scoped packages", () => {
    const frame = "at send (/app/node_modules/@aws-sdk/client-sqs/index.js:1:2)";
    expect(lines(create, (log) => log.error("failed", { stack: [frame] }))[0]).toContain(frame);
  });

  it("is written from its level on", () => {
    const all = (log: Log) => {
      for (const level of ["debug", "info", "warn", "error"] as const) log[level](`at ${level}`);
    };
    expect(lines(create, all, "debug")).toHaveLength(4);
    expect(lines(create, all, "info")).toHaveLength(3);
    expect(lines(create, all, "warn").join()).toMatch(/at warn.*at error/);
    expect(lines(create, all, "error")).toEqual([expect.stringContaining("at error")]);
  });
});

describe("a line of JSON", () => {
  it("has level, message, time and service in front, and the fields after them", () => {
    const [line = ""] = lines(FORMATS[0]?.create as Format, (log) =>
      log.warn("job", { subject: "ada", attempt: 3, notes: ["a"], fix: undefined }),
    );
    expect(Object.keys(JSON.parse(line))).toEqual([
      "level",
      "message",
      "timestamp",
      "service",
      "subject",
      "attempt",
      "notes",
    ]);
    expect(JSON.parse(line)).toEqual({
      level: "WARN",
      message: "job",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      service: "test",
      subject: "ada",
      attempt: 3,
      notes: ["a"],
    });
  });

  it("cannot be given another level or message by a field", () => {
    const [line = ""] = lines(FORMATS[0]?.create as Format, (log) =>
      log.error("job", { level: "DEBUG", message: "nothing", timestamp: "never", service: "other" }),
    );
    expect(JSON.parse(line)).toMatchObject({ level: "ERROR", message: "job", service: "test" });
    expect(line).not.toContain("never");
  });

  it("keeps quotes, backslashes and every script", () => {
    const text = 'C:\\a "quoted" 名前 🏢 مرحبا';
    const [line = ""] = lines(FORMATS[0]?.create as Format, (log) => log.info("job", { text }));
    expect(JSON.parse(line).text).toBe(text);
  });
});

describe("a short line", () => {
  it("begins with date, time and level", () => {
    const [line] = lines(terminalLog, (log) => log.info("job", { subject: "ada", notes: ["a b"] }));
    expect(line).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d info {2}job subject=ada notes=\["a b"\]$/);
  });
});

describe("a function's log", () => {
  it("goes to stdout, named after the function, with the trace that the invocation belongs to", () => {
    vi.stubEnv("LOG_LEVEL", "");
    vi.stubEnv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1");
    const written: string[] = [];
    const spy = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => written.push(String(chunk)) > 0);
    try {
      const log = createLog("receive");
      log.debug("not shown");
      log.error("failed");
    } finally {
      spy.mockRestore();
      vi.unstubAllEnvs();
    }
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(/\n$/);
    expect(JSON.parse(written[0] ?? "")).toMatchObject({
      level: "ERROR",
      message: "failed",
      service: "clavex-nextcloud-receive",
      xray_trace_id: "1-5759e988-bd862e3fe1be46a994272793",
    });
  });

  it("names the stage in the commands of its fixes", () => {
    vi.stubEnv("STAGE", "prod");
    const written: string[] = [];
    const spy = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => written.push(String(chunk)) > 0);
    try {
      createLog("provision").error("job failed", { ...problemOf(new BrakeHeld("acme", "deprovisions", 10)) });
    } finally {
      spy.mockRestore();
      vi.unstubAllEnvs();
    }
    expect(JSON.parse(written[0] ?? "").fix).toContain(
      "npx clavex-nextcloud reconcile --stage prod --organization acme --allow-deprovisions",
    );
  });

  it("takes its level from LOG_LEVEL, in either letter case, and refuses another one", () => {
    expect(logLevel({})).toBe("info");
    expect(logLevel({ LOG_LEVEL: "" })).toBe("info");
    expect(logLevel({ LOG_LEVEL: "DEBUG" })).toBe("debug");
    expect(logLevel({ LOG_LEVEL: "warn" })).toBe("warn");
    expect(() => logLevel({ LOG_LEVEL: "verbose" })).toThrow(
      expect.objectContaining({
        failureClass: "configuration",
        problems: ['environment variable LOG_LEVEL is "verbose", must be one of debug, info, warn, error'],
      }),
    );
  });
});
