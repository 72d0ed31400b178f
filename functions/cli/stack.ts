import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { OUTPUTS, STAGE_NAME, stackName } from "../config/deployment.ts";
import { networkErrorName } from "../http.ts";
import { CommandError } from "./report.ts";

/** The outputs of a stage's stack; one that it lacks is undefined. */
export type StackOutputs = { [K in keyof typeof OUTPUTS]?: string | undefined };

/** Nothing was deployed under this name, in this account and region. */
export class NoStack extends CommandError {
  constructor(stage: string, region: string) {
    super(
      `there is no stack ${stackName(stage)} in this account and the region ${region}: deploy it with "npx cdk deploy -c stage=${stage}"`,
    );
  }
}

const known = new Map<string, Promise<StackOutputs>>();

/**
 * Reads the outputs of a stage's stack once, with the operator's usual credentials and region.
 *
 * @throws {NoStack} when nothing is deployed under this name
 * @throws {CommandError} when the name is invalid, there are no valid credentials or no region, or the stack cannot be read
 */
export function stackOutputs(stage: string): Promise<StackOutputs> {
  const before = known.get(stage);
  if (before) return before;
  const reading = readOutputs(stage);
  known.set(stage, reading);
  return reading;
}

async function readOutputs(stage: string): Promise<StackOutputs> {
  if (!STAGE_NAME.pattern.test(stage)) throw new CommandError(`--stage ${stage}: ${STAGE_NAME.rule}`);
  const client = new CloudFormationClient();
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName(stage) }));
    const values = new Map(Stacks[0]?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
    return Object.fromEntries(Object.entries(OUTPUTS).map(([name, key]) => [name, values.get(key)]));
  } catch (error) {
    throw whyUnreadable(stage, await client.config.region().catch(() => "unknown"), error);
  } finally {
    client.destroy();
  }
}

const LOG_IN = "set AWS_PROFILE, or log in as you do for the AWS CLI";
const EXPIRED = /^(?:ExpiredToken(?:Exception)?|RequestExpired)$/;
const REFUSED =
  /^(?:InvalidClientTokenId|UnrecognizedClientException|SignatureDoesNotMatch|InvalidSignatureException)$/;
const FORBIDDEN = /^AccessDenied(?:Exception)?$/;

function whyUnreadable(stage: string, region: string, error: unknown): CommandError {
  const profile = process.env.AWS_PROFILE;
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "CredentialsProviderError")
    return new CommandError(
      profile
        ? `the AWS profile ${profile} gives no credentials: log in, or set another AWS_PROFILE`
        : `there are no AWS credentials: ${LOG_IN}`,
    );
  if (name === "TokenProviderError" || EXPIRED.test(name))
    return new CommandError(`the AWS credentials have expired: ${LOG_IN}`);
  if (REFUSED.test(name)) return new CommandError(`AWS does not know the credentials (${name}): ${LOG_IN}`);
  if (FORBIDDEN.test(name))
    return new CommandError(`these AWS credentials may not look at the stack ${stackName(stage)}: ${LOG_IN}`);
  if (/region is missing/i.test(message)) return new CommandError("there is no AWS region: set AWS_REGION");
  if (/does not exist/.test(message)) return new NoStack(stage, region);
  return new CommandError(
    `the stack ${stackName(stage)} in the region ${region} cannot be read (${name === "Error" ? networkErrorName(error) : name})`,
    "See that this machine can reach AWS and that AWS_REGION is right, and try again.",
  );
}
