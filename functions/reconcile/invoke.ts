import type { InvokeCommandInput } from "@aws-sdk/client-lambda";
import { awsLimits } from "../aws.ts";
import { PipelineFailure } from "../core/failure.ts";

/** Lambda did not accept the invocation for one organization; the others get theirs. */
class NotInvoked extends PipelineFailure {
  constructor(cause: unknown) {
    const name = cause instanceof Error ? cause.name : "unknown error";
    super("transient", "reconcile-not-invoked", `Lambda did not take the invocation (${name})`, "subject", {
      cause,
    });
  }
}

let client: Promise<(input: InvokeCommandInput) => Promise<unknown>> | undefined;

/**
 * Invokes a function and does not wait for its end. The SDK's client is loaded at the first call: what invokes the runs needs it,
 * the runs themselves do not.
 *
 * @param payload its event, as JSON
 * @throws {NotInvoked} when Lambda did not take it
 */
export async function invokeLambda(FunctionName: string, Payload: string): Promise<void> {
  client ??= import("@aws-sdk/client-lambda").then(({ InvokeCommand, LambdaClient }) => {
    const lambda = new LambdaClient(awsLimits());
    return (input) => lambda.send(new InvokeCommand(input));
  });
  try {
    await (await client)({ FunctionName, InvocationType: "Event", Payload });
  } catch (error) {
    throw new NotInvoked(error);
  }
}
