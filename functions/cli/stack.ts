import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { OUTPUTS, stackName } from "../config/deployment.ts";
import { CommandError } from "./report.ts";

/** The outputs of a stage's stack; one that it lacks is undefined. */
export type StackOutputs = { [K in keyof typeof OUTPUTS]?: string | undefined };

/**
 * Reads the outputs of a stage's stack, with the operator's usual credentials and region.
 *
 * @throws {CommandError} when there is no such stack, or it cannot be read
 */
export async function stackOutputs(stage: string): Promise<StackOutputs> {
  const client = new CloudFormationClient();
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName(stage) }));
    const values = new Map(Stacks[0]?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
    return Object.fromEntries(Object.entries(OUTPUTS).map(([name, key]) => [name, values.get(key)]));
  } catch (error) {
    throw new CommandError(whyUnreadable(stage, error));
  } finally {
    client.destroy();
  }
}

function whyUnreadable(stage: string, error: unknown): string {
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "CredentialsProviderError")
    return "there are no AWS credentials: set AWS_PROFILE, or log in as you do for the AWS CLI";
  if (/region is missing/i.test(message)) return "there is no AWS region: set AWS_REGION";
  if (/does not exist/.test(message))
    return `there is no stack ${stackName(stage)} in this account and region: deploy it with "npx cdk deploy -c stage=${stage}"`;
  return `the stack ${stackName(stage)} cannot be read (${name})`;
}
