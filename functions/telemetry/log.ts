import { logLevel, stageName, traceId } from "../config/environment.ts";
import { LOG_LEVELS, type LogLevel } from "../config/log-level.ts";
import { namingStage, printable, withoutAddresses } from "../core/text.ts";

/** Fields of a log line: ids, names, numbers. No secrets. */
export type Fields = Record<string, unknown>;

/** One structured line per call. E-mail addresses are masked above debug, in every field. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/**
 * A log whose calls below a level do nothing.
 *
 * @param entry writes what is at that level or above
 */
export function logFrom(least: LogLevel, entry: (level: LogLevel, message: string, fields: Fields) => void): Log {
  const at = (level: LogLevel) =>
    LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(least)
      ? () => undefined
      : (message: string, fields: Fields = {}) => entry(level, message, fields);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A text as it may stand in a line of this level: nothing that a terminal obeys, and no e-mail address above debug. */
export function presentable(text: string, level: LogLevel): string {
  return printable(level === "debug" ? text : withoutAddresses(text));
}

/** What JSON hides behind a backslash or leaves as it is, and a terminal obeys; and the sign of every e-mail address. */
const UNCLEAN = /[\\@\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/**
 * Lines of JSON: `level` (DEBUG, INFO, WARN, ERROR), `message`, `timestamp` (ISO 8601, UTC), `service`, then the fields.
 *
 * @param write takes one line without its end
 * @param common fields of every line, asked for at each
 */
export function jsonLog(
  service: string,
  write: (line: string) => void,
  least: LogLevel,
  common: () => Fields = () => ({}),
): Log {
  return logFrom(least, (level, message, fields) => {
    const head = { level: level.toUpperCase(), message, timestamp: new Date().toISOString(), service, ...common() };
    // Named twice: the head stands in front, and no field can take its place.
    const line = { ...head, ...fields, ...head };
    const json = JSON.stringify(line);
    // Looking at each value costs as much as the line itself; hardly any line needs it.
    const isClean = !UNCLEAN.test(json);
    write(isClean ? json : printable(JSON.stringify(line, (_key, value) => cleaned(value, level))));
  });
}

function cleaned(value: unknown, level: LogLevel): unknown {
  return typeof value === "string" ? presentable(value, level) : value;
}

/**
 * The log of a Lambda function: JSON lines on stdout, which CloudWatch takes, with the id of the X-Ray trace. Commands in it name the
 * function's stage, so that they can be copied.
 *
 * @throws {ConfigurationError} when LOG_LEVEL names no level
 */
export function createLog(service: string): Log {
  const stage = stageName();
  // A pipe on Lambda: the line is written when the call returns, also before the process is frozen.
  const write = (line: string): void => void process.stdout.write(`${namingStage(line, stage)}\n`);
  return jsonLog(`clavex-nextcloud-${service}`, write, logLevel(), () => ({ xray_trace_id: traceId() }));
}
