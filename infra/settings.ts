import type { IConstruct } from "constructs";
import * as z from "zod";
import { STAGE_NAME } from "../functions/config/deployment.ts";
import { LOG_LEVELS } from "../functions/config/log-level.ts";
import { ConfigurationError } from "../functions/core/failure.ts";

/** What CloudWatch accepts as a log group's retention, in days; up to a year. */
const LOG_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] as const;

// Flags (`-c name=value`) are always texts, values from a file are not.
const flag = z.union([z.boolean(), z.stringbool({ truthy: ["true"], falsy: ["false"] })], {
  error: "must be true or false",
});
const numberWhere = (holds: (value: number) => boolean, error: string) =>
  z.coerce.number({ error }).refine(holds, { error });
const whole = (least: number, most: number) =>
  numberWhere(
    (value) => Number.isInteger(value) && value >= least && value <= most,
    `must be a whole number from ${least} to ${most}`,
  );

/** Every setting; docs/deploy.md describes them. */
export const settingsSchema = z
  .strictObject({
    stage: z
      .string({ error: "is missing: name the stage with -c stage=dev" })
      .regex(STAGE_NAME.pattern, STAGE_NAME.rule),
    /** The folder with one JSON file per organization; default `organizations/STAGE`. */
    organizations: z.string().min(1).optional(),
    /** Who gets the alarms. The address has to confirm it once. */
    alarmEmail: z.email("must be an e-mail address").optional(),
    /** How many workers may be busy at once, which protects Nextcloud. Lambda's minimum is 2. */
    maxConcurrency: whole(2, 1000).default(4),
    /** Whether the members of the directory's groups are compared every minute. */
    watch: flag.default(true),
    /** How often the directory is compared with the ledger. */
    lightMinutes: whole(1, 24 * 60).default(10),
    /** How often the directory is compared with Nextcloud itself. */
    fullHours: whole(1, 7 * 24).default(24),
    /** Whether organizations are provisioned from their first deployment on, instead of after `resume`. */
    autostart: flag.default(false),
    /** How long the functions' logs are kept. */
    logDays: numberWhere(
      (days) => LOG_DAYS.some((allowed) => allowed === days),
      `must be one of ${LOG_DAYS.join(", ")}`,
    ).default(30),
    /** The lowest level that the functions log. */
    logLevel: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(", ")}` }).default("info"),
    /** Whether `cdk destroy` leaves the ledger and the dead letters behind. */
    retain: flag.default(true),
    /** Your own domain name for the webhook endpoint, with its certificate in AWS Certificate Manager (same region). */
    domainName: z.hostname("must be a host name").optional(),
    certificateArn: z
      .string()
      .regex(/^arn:aws[a-z-]*:acm:/, "must be the ARN of a certificate")
      .optional(),
  })
  .refine(({ domainName, certificateArn }) => (domainName === undefined) === (certificateArn === undefined), {
    path: ["domainName"],
    message: "needs certificateArn, and the other way round",
    // Also when something else is wrong: all problems are reported together.
    when: () => true,
  });

/** How one stage is deployed: `-c name=value`, or `stages.STAGE.name` in the context files. */
export type DeploymentSettings = z.output<typeof settingsSchema>;

/**
 * Reads a stage's settings from the context. A flag wins over the stage's entry in `stages`, which is where settings belong
 * that must not be forgotten at the next deployment.
 *
 * @throws {ConfigurationError} with every problem at once, names that do not exist included
 */
export function readSettings(scope: IConstruct): DeploymentSettings {
  const { stages, ...context } = scope.node.getAllContext() as Record<string, unknown>;
  // CDK's own context keys (feature flags, look-ups, versions) all hold a character that no setting has.
  const flags = Object.fromEntries(Object.entries(context).filter(([key]) => /^[A-Za-z]+$/.test(key)));
  const ofStage = isRecord(stages) && typeof flags.stage === "string" ? stages[flags.stage] : undefined;
  const result = settingsSchema.safeParse({ ...(isRecord(ofStage) ? ofStage : {}), ...flags });
  if (result.success) return result.data;
  throw new ConfigurationError(
    "settings-invalid",
    result.error.issues.map((issue) =>
      issue.code === "unrecognized_keys"
        ? `unknown setting ${issue.keys.join(", ")}`
        : `setting ${issue.path.join(".")}: ${issue.message}`,
    ),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
