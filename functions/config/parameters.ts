import { type Failure, PipelineFailure } from "../core/failure.ts";

/** SSM did not answer: throttled or unreachable. */
class ParametersUnavailable extends PipelineFailure {
  constructor(name: string, cause: unknown) {
    super(
      "transient",
      "parameters-unavailable",
      `parameter ${name} cannot be read now (${errorName(cause)})`,
      "subject",
      {
        cause,
      },
    );
  }
}

/** SSM forbids this function to read the parameter. */
class ParametersForbidden extends PipelineFailure {
  constructor(name: string, cause: unknown) {
    super("configuration", "parameters-forbidden", `parameter ${name} may not be read`, "subject", {
      cause,
      fix: "Deploy the stack again: the function's permission for this parameter is missing.",
    });
  }
}

/** The typed error for an SSM call that failed. */
export function parametersUnavailable(name: string, cause: unknown): Failure {
  return errorName(cause) === "AccessDeniedException"
    ? new ParametersForbidden(name, cause)
    : new ParametersUnavailable(name, cause);
}

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : "unknown error";
}
