import { SSMClient } from "@aws-sdk/client-ssm";

/** The SSM client of the functions. Its limits leave the receiver time to answer Clavex, which waits ten seconds. */
export function createSsmClient(): SSMClient {
  return new SSMClient({
    maxAttempts: 2,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 1_500, throwOnRequestTimeout: true },
  });
}
