import { parseEnv } from "node:util";
import { ConfigurationError } from "../core/failure.ts";
import { type Settings, VARIABLES } from "./deployment.ts";
import { LOG_LEVELS, type LogLevel } from "./log-level.ts";

/**
 * Reads the named settings from environment variables (`STAGE`, `QUEUE_URL`, `DEAD_LETTER_QUEUE_URL`, `TABLE_NAME`).
 *
 * @throws {ConfigurationError} with every variable that is missing
 */
export function settings<K extends keyof Settings>(
  names: readonly K[],
  environment: Record<string, string | undefined> = process.env,
): Pick<Settings, K> {
  const missing = names.filter((name) => !environment[VARIABLES[name]]);
  if (missing.length > 0) {
    throw new ConfigurationError(
      "environment-incomplete",
      missing.map((name) => `environment variable ${VARIABLES[name]} is not set`),
    );
  }
  return Object.fromEntries(names.map((name) => [name, environment[VARIABLES[name]]])) as Pick<Settings, K>;
}

/** A setting that is a yes or no. */
export function isTrue(setting: string): boolean {
  return setting === "true";
}

/**
 * How much a function logs: the environment variable LOG_LEVEL in either letter case, `info` when it is not set.
 *
 * @throws {ConfigurationError} when it names no level
 */
export function logLevel(environment: Record<string, string | undefined> = process.env): LogLevel {
  const given = environment[VARIABLES.logLevel] || "info";
  const level = LOG_LEVELS.find((each) => each === given.toLowerCase());
  if (level) return level;
  throw new ConfigurationError("environment-invalid", [
    `environment variable ${VARIABLES.logLevel} is "${given}", must be one of ${LOG_LEVELS.join(", ")}`,
  ]);
}

/** The stage that this function belongs to; undefined outside Lambda. */
export function stageName(environment: Record<string, string | undefined> = process.env): string | undefined {
  return environment[VARIABLES.stage] || undefined;
}

/** The root id of the X-Ray trace of this invocation; undefined outside Lambda. */
export function traceId(): string | undefined {
  return process.env._X_AMZN_TRACE_ID?.match(/Root=([^;]+)/)?.[1];
}

/** The variables of a file such as `.env`. Editors on Windows put an invisible byte order mark first: it is no part of a name. */
export function parseEnvironmentFile(text: string): Record<string, string | undefined> {
  return parseEnv(text.replace(/^\uFEFF/, ""));
}
