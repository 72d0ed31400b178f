import { SSMClient } from "@aws-sdk/client-ssm";
import { awsLimits } from "../aws.ts";

/** The SSM client of the functions. Its limits leave the receiver time to answer Clavex, which waits ten seconds. */
export function createSsmClient(): SSMClient {
  return new SSMClient(awsLimits({ attempts: 2, requestMs: 1_500 }));
}
