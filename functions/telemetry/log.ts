import { Logger } from "@aws-lambda-powertools/logger";

/** Fields of a log line: ids, names, numbers. No secrets, and no e-mail addresses above debug. */
export type Fields = Record<string, unknown>;

/** One structured line per call. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** JSON lines for CloudWatch, with the function's name as the service. The level comes from POWERTOOLS_LOG_LEVEL. */
export function createLog(service: string): Log {
  const logger = new Logger({
    serviceName: `clavex-nextcloud-${service}`,
    // JSON escapes the old control characters only; a log is read on terminals too.
    jsonReplacerFn: (_key, value) => (typeof value === "string" ? printable(value) : value),
  });
  return {
    debug: (message, fields = {}) => logger.debug(message, fields),
    info: (message, fields = {}) => logger.info(message, fields),
    warn: (message, fields = {}) => logger.warn(message, fields),
    error: (message, fields = {}) => logger.error(message, fields),
  };
}

/** A server's message without e-mail addresses. */
export function withoutAddresses(text: string): string {
  return text.replaceAll(/[^\s"'<>()]+@[^\s"'<>()]+/g, "(e-mail address)");
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text made safe for a terminal: control characters and text direction marks become spaces. */
export function printable(text: string): string {
  return text.replace(CONTROL, " ");
}
