export interface AwsLimits {
  /** How often a request is sent, if it fails in a way that may pass. */
  attempts?: number;
  /** How long a connection may take, in milliseconds. */
  connectMs?: number;
  /** How long an answer may take to begin, and the longest pause in it, in milliseconds. */
  requestMs?: number;
}

/**
 * The settings of an AWS client that give every request an end. Without them the SDK waits for ever, and a connection that died
 * unnoticed while the function was frozen would hold it until Lambda ends it, with the messages of its batch.
 */
export function awsLimits({ attempts = 3, connectMs = 1_000, requestMs = 3_000 }: AwsLimits = {}) {
  return {
    maxAttempts: attempts,
    requestHandler: {
      connectionTimeout: connectMs,
      requestTimeout: requestMs,
      socketTimeout: requestMs,
      throwOnRequestTimeout: true,
    },
  };
}
