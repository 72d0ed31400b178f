import { ConfigurationError } from "../core/failure.ts";

/** Where a deployed function finds its stage's resources: the environment that the stack gives it. */
export interface Settings {
  stage: string;
  queueUrl: string;
  deadLetterQueueUrl: string;
  tableName: string;
}

const VARIABLES = {
  stage: "STAGE",
  queueUrl: "QUEUE_URL",
  deadLetterQueueUrl: "DEAD_LETTER_QUEUE_URL",
  tableName: "TABLE_NAME",
} as const;

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
