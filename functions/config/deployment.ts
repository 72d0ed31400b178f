/** What a deployed function knows about its stage's resources. */
export interface Settings {
  stage: string;
  queueUrl: string;
  deadLetterQueueUrl: string;
  tableName: string;
  /** `true` where organizations that the ledger does not know yet start paused. */
  startsPaused: string;
  /** One of LOG_LEVELS. */
  logLevel: string;
}

/** The environment variables that hold the settings: the stack sets them, the functions read them. */
export const VARIABLES: Readonly<Record<keyof Settings, string>> = {
  stage: "STAGE",
  queueUrl: "QUEUE_URL",
  deadLetterQueueUrl: "DEAD_LETTER_QUEUE_URL",
  tableName: "TABLE_NAME",
  startsPaused: "STARTS_PAUSED",
  logLevel: "LOG_LEVEL",
};

/** The stack's outputs that the command line reads; the others are for people. */
export const OUTPUTS = {
  queueUrl: "QueueUrl",
  deadLetterQueueUrl: "DeadLetterQueueUrl",
  tableName: "TableName",
  webhookBaseUrl: "WebhookBaseUrl",
  startsPaused: "StartsPaused",
  logGroups: "LogGroups",
} as const;

/** Where CloudWatch keeps the counts of all stages: the functions write them, the alarms and the dashboard read them. */
export const METRIC_NAMESPACE = "ClavexNextcloud";

/** The dimension `service` of all counts: the pipeline is one, however many functions it has. */
export const METRIC_SERVICE = "pipeline";

/** What a stage can be called: it is part of the name of every resource. */
export const STAGE_NAME = {
  pattern: /^[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?$/,
  rule: "must be a-z, 0-9 and -, at most 20 characters, a letter first",
} as const;

/** The name of a stage's stack; the names of its resources begin with it. */
export function stackName(stage: string): string {
  return `clavex-nextcloud-${stage}`;
}

/** The environment that gives a function these settings. */
export function environmentOf(settings: Partial<Settings>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [VARIABLES[name as keyof Settings], value]),
  );
}
