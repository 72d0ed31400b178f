import { ConfigurationError } from "../core/failure.ts";
import { type Settings, VARIABLES } from "./deployment.ts";

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
