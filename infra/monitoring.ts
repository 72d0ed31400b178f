import { ArnFormat, Duration, Stack } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { Alarm, ComparisonOperator, type IMetric, Stats, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";
import { stackName } from "../functions/config/deployment.ts";
import type { Functions } from "./functions.ts";
import type { JobQueue } from "./job-queue.ts";
import { stageMetrics, total } from "./metrics.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface MonitoringProps {
  settings: DeploymentSettings;
  api: HttpApi;
  jobs: JobQueue;
  functions: Functions;
}

interface AlarmDefinition {
  /** The end of the alarm's name. */
  name: string;
  metric: IMetric;
  /** Alarms at this value and above. */
  threshold: number;
  /** For how many of the metric's periods it has to last; default one. */
  periods?: number;
  /** What is wrong and what to do; it is in the e-mail. */
  description: string;
}

/** A job that waits longer is not just between two attempts: those are at most twenty minutes apart. */
const LATE_SECONDS = 30 * 60;
/** One lost event is three attempts within five seconds. */
const SIGNATURE_FAILURES = 3;

/** One failed run is made up for by the next. */
const RECONCILE_FAILURES = 3;

/** The alarms, and the topic that they go to. */
export class Monitoring extends Construct {
  readonly topic: Topic;
  readonly alarms: Alarm[];

  constructor(scope: Construct, id: string, { settings, api, jobs, functions }: MonitoringProps) {
    super(scope, id);
    const { stage, alarmEmail } = settings;
    const { counter, counterOf } = stageMetrics(stage);
    this.topic = new Topic(this, "Topic", {
      displayName: `clavex-nextcloud ${stage}`,
      // Not encrypted with a key of our own: alarms hold no personal data, and CloudWatch cannot use the default one.
      enforceSSL: true,
    });
    // A topic with a policy of its own is closed to CloudWatch unless that says otherwise, and nobody would notice.
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: "PublishAlarms",
        principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
        actions: ["sns:Publish"],
        resources: [this.topic.topicArn],
        conditions: {
          StringEquals: { "aws:SourceAccount": Stack.of(this).account },
          ArnLike: { "aws:SourceArn": alarmArn(this, alarmName(stage, "*")) },
        },
      }),
    );
    if (alarmEmail !== undefined) this.topic.addSubscription(new EmailSubscription(alarmEmail));

    const cli = (command: string) => `npx clavex-nextcloud ${command} --stage ${stage}`;
    this.alarms = (
      [
        {
          name: "dead-letters",
          metric: counter("provision", "JobsParked"),
          threshold: 1,
          description: `Nextcloud refused somebody for good. Look: ${cli("dead-letters list")}`,
        },
        {
          name: "dead-letter-queue",
          metric: jobs.deadLetterQueue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM }),
          threshold: 1,
          description: `Messages that no worker could do or read wait in the dead-letter queue. Look: ${cli("dead-letters list")}`,
        },
        {
          name: "late-jobs",
          metric: jobs.queue.metricApproximateAgeOfOldestMessage({ statistic: Stats.MAXIMUM }),
          threshold: LATE_SECONDS,
          description:
            "A job has waited for more than 30 minutes: is Nextcloud down? The dashboard shows why jobs fail.",
        },
        {
          name: "configuration-errors",
          metric: counterOf(["receive", "provision", "reconcile"], "ConfigurationErrors"),
          threshold: 1,
          description: "Jobs fail until a person acts. The dashboard shows the cause and the fix.",
        },
        {
          name: "receiver-errors",
          metric: api.metricServerError({ statistic: Stats.SUM }),
          threshold: 1,
          description:
            "The webhook endpoint answered 5xx. Clavex tries again for 2.5 hours, reconciliation finds the rest.",
        },
        {
          name: "signature-failures",
          metric: counter("receive", "SignatureFailures"),
          threshold: SIGNATURE_FAILURES,
          description:
            "Deliveries with a wrong signature: has the webhook secret in SSM been changed, or the subscription?",
        },
        {
          name: "brake",
          metric: counterOf(["provision", "reconcile"], "BrakeHeld"),
          threshold: 1,
          description: `More people would be deprovisioned than allowed; they wait. Look: ${cli("plan")}`,
        },
        {
          name: "leaves-held",
          metric: counterOf(["provision", "reconcile"], "LeavesHeld"),
          threshold: 1,
          description: `More people would lose a group than allowed, or Clavex shows no groups; they stay. Look: ${cli("plan")}`,
        },
        {
          name: "daily-deprovisions",
          metric: counter("provision", "DeprovisionsOverDaily"),
          threshold: 1,
          description:
            "More people have lost access within a day than reconcile.maxDeprovisions.daily. Nobody is held by that: is it right?",
        },
        {
          name: "revokes-refused",
          metric: counter("provision", "RevokesRefused"),
          threshold: 1,
          description: `Nextcloud refuses to take access away from somebody, who still has it. Look: ${cli("dead-letters list")}`,
        },
        {
          name: "reconcile-failures",
          metric: counter("reconcile", "ReconcileFailures").with({ period: Duration.hours(1) }),
          threshold: RECONCILE_FAILURES,
          description: "Reconciliation failed several times within an hour: is Clavex or Nextcloud down?",
        },
        {
          name: "function-errors",
          metric: total(
            "Errors",
            functions.all.map(({ handler }) => handler.metricErrors({ statistic: Stats.SUM })),
          ),
          threshold: 1,
          periods: 2,
          description: "A function crashed or ran out of time, twice in a row. Its log group has the error.",
        },
      ] satisfies AlarmDefinition[]
    ).map((definition) => this.#alarm(stage, definition));
  }

  #alarm(stage: string, { name, metric, threshold, periods = 1, description }: AlarmDefinition): Alarm {
    const alarm = new Alarm(this, name, {
      alarmName: alarmName(stage, name),
      alarmDescription: description,
      metric,
      threshold,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: periods,
      // No traffic is no problem.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(this.topic));
    alarm.addOkAction(new SnsAction(this.topic));
    return alarm;
  }
}

function alarmName(stage: string, name: string): string {
  return `${stackName(stage)}-${name}`;
}

function alarmArn(scope: Construct, name: string): string {
  const arnFormat = ArnFormat.COLON_RESOURCE_NAME;
  return Stack.of(scope).formatArn({ service: "cloudwatch", resource: "alarm", resourceName: name, arnFormat });
}
