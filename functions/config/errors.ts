import { Failure } from "../core/failure.ts";

/** Configuration that cannot be used. `problems` holds every one of them, each with the place it was found. */
export class ConfigurationError extends Failure {
  readonly problems: string[];

  constructor(code: string, problems: string[], details: { fix?: string; cause?: unknown } = {}) {
    super("configuration", code, problems.join("\n"), {
      fix: "Correct the configuration and deploy or start again.",
      ...details,
    });
    this.problems = problems;
  }
}

/** A secret that a reference names but that cannot be read, or that is too short to be one. */
export class SecretUnreadable extends Failure {
  constructor(reference: string, place: string, reason: string, cause?: unknown) {
    super("configuration", "secret-unreadable", `secret ${reference} cannot be read from ${place}: ${reason}`, {
      fix: `Put the secret at ${place}.`,
      cause,
    });
  }
}
