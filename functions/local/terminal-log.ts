import { printable } from "../core/text.ts";
import type { Fields, Log } from "../telemetry/log.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
type Level = (typeof LEVELS)[number];

/**
 * A log for people: one line per call, `time level message key=value ...`, ids in full, nothing that moves the cursor.
 *
 * @param write takes one line without its end
 */
export function terminalLog(write: (line: string) => void, least: Level = "info"): Log {
  const at =
    (level: Level) =>
    (message: string, fields: Fields = {}) => {
      if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return;
      const time = new Date().toISOString().slice(11, 19);
      const shown = Object.entries(fields).flatMap(([name, value]) =>
        value === undefined ? [] : [`${name}=${text(value)}`],
      );
      write(printable([time, level.padEnd(5), message, ...shown].join(" ")));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function text(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && /^[\w.:#@/-]+$/.test(value) ? value : JSON.stringify(value);
}
