import { Logger } from "@aws-lambda-powertools/logger";
import { printable } from "../core/text.ts";

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
