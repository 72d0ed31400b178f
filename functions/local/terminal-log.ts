import type { LogLevel } from "../config/log-level.ts";
import { type Log, logFrom, presentable } from "../telemetry/log.ts";

/**
 * A log for people: one line per call, `date time level message key=value ...` (UTC), ids in full, nothing that moves the
 * cursor.
 *
 * @param write takes one line without its end
 */
export function terminalLog(write: (line: string) => void, least: LogLevel = "info"): Log {
  return logFrom(least, (level, message, fields) => {
    const time = new Date().toISOString().slice(0, 19).replace("T", " ");
    const shown = Object.entries(fields).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${text(value)}`],
    );
    write(presentable([time, level.padEnd(5), message, ...shown].join(" "), level));
  });
}

function text(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && /^[\w.:#@/-]+$/.test(value) ? value : JSON.stringify(value);
}
