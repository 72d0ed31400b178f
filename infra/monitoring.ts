import { ArnFormat, Stack } from "aws-cdk-lib";
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
import { PERIOD, stageMetrics } from "./metrics.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface MonitoringProps {
  settings: DeploymentSettings;
  api: HttpApi;
  /** How many deliveries were answered 429. */
  throttled: IMetric;
  jobs: JobQueue;
  functions: Functions;
}

/** When an alarm is raised, and when it ends. All alarms look at periods of five minutes. */
interface AlarmDefinition {
  /** The end of the alarm's name. */
  name: string;
  metric: IMetric;
  /** Alarms at this value and above; with `below`, under it. */
  threshold: number;
  below?: boolean;
  /** In how many of the periods it has to be so; default one. */
  datapoints?: number;
  /**
   * How many periods are looked at: the alarm goes on as long as enough of them are bad. Longer than what causes it may pause,
   * so that one waiting job is one mail, and its end another.
   */
  of: number;
  /** Whether missing data counts as bad; not by default: no traffic is no problem. */
  silenceIsBad?: boolean;
  /** What is wrong and what to do; it is in the e-mail. */
  description: string;
}

const PERIOD_MINUTES = PERIOD.toMinutes();
/** A job that waits longer is not just between two attempts: those are at most twenty minutes apart. */
const LATE_SECONDS = 30 * 60;
/** How many periods cover the time between two attempts of a job, and one to spare. */
const ATTEMPTS = 30 / PERIOD_MINUTES;
/** An hour, for what happens once: the same problem within the hour sends no further mail. */
const HOUR = 60 / PERIOD_MINUTES;
/** What Nextcloud refuses to take away is tried again daily at least; CloudWatch looks back for a day at most. */
const DAY = (24 * 60) / PERIOD_MINUTES;
/** One lost event is three attempts within five seconds. */
const SIGNATURE_FAILURES = 3;
/** One failed run is made up for by the next. */
const RECONCILE_FAILURES = 3;
/** A run that fails is tried again after its interval, but within the hour. */
const LONGEST_RETRY_MINUTES = 60;
/** However often received, a job that no worker has taken for this long is not just behind another of its person. */
const UNTAKEN_SECONDS = 2 * 60 * 60;

/** The alarms, and the topic that they go to. */
export class Monitoring extends Construct {
  readonly topic: Topic;
  readonly alarms: Alarm[];

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    const { stage, alarmEmail } = props.settings;
    this.topic = new Topic(this, "Topic", {
      displayName: `clavex-nextcloud ${stage}`,
      // Not encrypted with a key of our own: alarms contain no personal data, and CloudWatch cannot use the default key.
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

    this.alarms = alarmsOf(props).map((definition) => this.#alarm(stage, definition));
  }

  #alarm(stage: string, definition: AlarmDefinition): Alarm {
    const {
      name,
      metric,
      threshold,
      below = false,
      datapoints = 1,
      of,
      silenceIsBad = false,
      description,
    } = definition;
    const alarm = new Alarm(this, name, {
      alarmName: alarmName(stage, name),
      alarmDescription: description,
      metric,
      threshold,
      comparisonOperator: below
        ? ComparisonOperator.LESS_THAN_THRESHOLD
        : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      datapointsToAlarm: datapoints,
      evaluationPeriods: of,
      treatMissingData: silenceIsBad ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(this.topic));
    alarm.addOkAction(new SnsAction(this.topic));
    return alarm;
  }
}

function alarmsOf(watched: MonitoringProps): AlarmDefinition[] {
  return [...ofPeople(watched), ...ofJobs(watched), ...ofDeliveries(watched), ...ofRuns(watched)];
}

const cli = (stage: string, command: string): string => `npx clavex-nextcloud ${command} --stage ${stage}`;

/** How many periods cover the time between two runs, or two attempts of a job, whichever is longer. */
function betweenRuns({ lightMinutes }: DeploymentSettings): number {
  return Math.max(ATTEMPTS, Math.ceil((Math.min(lightMinutes, LONGEST_RETRY_MINUTES) + 10) / PERIOD_MINUTES));
}

/** What keeps somebody from getting or losing access, until a person acts. */
function ofPeople({ settings, jobs }: MonitoringProps): AlarmDefinition[] {
  const { stage, lightMinutes } = settings;
  const { counter, measure } = stageMetrics(stage);
  const held = betweenRuns(settings);
  return [
    {
      name: "dead-letters",
      metric: counter("JobsParked"),
      threshold: 1,
      of: HOUR,
      description: `Nextcloud refused somebody for good. Look: ${cli(stage, "dead-letters list")}`,
    },
    {
      name: "dead-letter-queue",
      metric: jobs.deadLetterQueue.metricApproximateNumberOfMessagesVisible({
        statistic: Stats.MAXIMUM,
        period: PERIOD,
      }),
      threshold: 1,
      of: 3,
      description: `Messages that no worker could do or read wait in the dead-letter queue. Look: ${cli(stage, "dead-letters list")}`,
    },
    {
      name: "revokes-refused",
      metric: counter("RevokesOutstanding"),
      threshold: 1,
      of: DAY,
      description: `Nextcloud refuses to take access away from somebody; it is tried again daily at least. Look: ${cli(stage, "dead-letters list")}, and disable them there by hand.`,
    },
    {
      name: "leavers-still-enabled",
      metric: measure("LeaversStillEnabled"),
      threshold: 1,
      // Every run reports it again.
      of: Math.min(DAY, Math.ceil((lightMinutes + 10) / PERIOD_MINUTES)),
      description: `People left and can still use their account, because Nextcloud refuses to disable it. Look: ${cli(stage, "dead-letters list")}, and disable them there by hand.`,
    },
    {
      name: "brake",
      metric: counter("BrakeHeld"),
      threshold: 1,
      of: held,
      description: `More people would be deprovisioned than allowed, or not all could be read; they wait. Look: ${cli(stage, "plan")}`,
    },
    {
      name: "leaves-held",
      metric: counter("LeavesHeld"),
      threshold: 1,
      of: held,
      description: `More people would leave groups than allowed; they wait. Look: ${cli(stage, "plan")}`,
    },
    {
      name: "daily-deprovisions",
      metric: counter("DeprovisionsOverDaily"),
      threshold: 1,
      of: HOUR,
      description: `More people lost access within a day than reconcile.maxDeprovisions.daily. Is that right? Look: ${cli(stage, "plan")}`,
    },
  ];
}

/** What is wrong with jobs, no matter whom they are about. */
function ofJobs({ settings, jobs, functions }: MonitoringProps): AlarmDefinition[] {
  const { stage } = settings;
  const { counter, measure } = stageMetrics(stage);
  return [
    {
      name: "late-jobs",
      metric: measure("JobAge"),
      threshold: LATE_SECONDS,
      of: ATTEMPTS,
      description: "A job has failed for more than 30 minutes: is Nextcloud down? The dashboard shows why jobs fail.",
    },
    {
      name: "jobs-not-taken",
      metric: jobs.queue.metricApproximateAgeOfOldestMessage({ statistic: Stats.MAXIMUM, period: PERIOD }),
      threshold: UNTAKEN_SECONDS,
      of: 3,
      description: `A job has waited for two hours and was hardly tried. Is the queue's trigger of ${stackName(stage)}-provision disabled, or does that function fail to start?`,
    },
    {
      name: "configuration-errors",
      metric: counter("ConfigurationErrors"),
      threshold: 1,
      of: betweenRuns(settings),
      description: "Jobs fail until a person acts. The dashboard shows the cause and the fix.",
    },
    {
      name: "unexpected-errors",
      metric: counter("UnexpectedErrors"),
      threshold: 1,
      of: ATTEMPTS,
      description:
        "Something failed in a way that was not foreseen. The log has it at level ERROR: code unexpected with its stack, or queue-unavailable.",
    },
    ...functions.all.map(({ name, handler }) => ({
      name: `crashes-${name}`,
      metric: handler.metricErrors({ statistic: Stats.SUM, period: PERIOD }),
      threshold: 1,
      datapoints: 2,
      of: ATTEMPTS,
      description: `The function ${name} crashed or ran out of time, twice within half an hour. Its log group has the error.`,
    })),
  ];
}

/** What is wrong with what Clavex sends. */
function ofDeliveries({ settings: { stage }, api, throttled }: MonitoringProps): AlarmDefinition[] {
  const { counter } = stageMetrics(stage);
  return [
    {
      name: "receiver-errors",
      metric: api.metricServerError({ statistic: Stats.SUM, period: PERIOD }),
      threshold: 1,
      of: ATTEMPTS,
      description:
        "The webhook endpoint answered 5xx. Clavex tries again for 2.5 hours, reconciliation finds the rest.",
    },
    {
      name: "throttled-deliveries",
      metric: throttled,
      threshold: 1,
      of: ATTEMPTS,
      description:
        "Deliveries were answered 429, because there were more than 50 a second. Reconciliation finds the rest.",
    },
    {
      name: "signature-failures",
      metric: counter("SignatureFailures"),
      threshold: SIGNATURE_FAILURES,
      of: ATTEMPTS,
      description:
        "Deliveries with a wrong signature: has the webhook secret in SSM been changed, or the subscription?",
    },
    {
      name: "malformed-deliveries",
      metric: counter("DeliveriesMalformed"),
      threshold: 1,
      of: ATTEMPTS,
      description: `Clavex signed deliveries that cannot be read, or that are another organization's. Look: ${cli(stage, "doctor")}`,
    },
  ];
}

/** What is wrong with the schedule. */
function ofRuns({ settings }: MonitoringProps): AlarmDefinition[] {
  const { stage, lightMinutes } = settings;
  const { counter, measure } = stageMetrics(stage);
  const retryMinutes = Math.min(lightMinutes, LONGEST_RETRY_MINUTES);
  return [
    {
      name: "reconcile-failures",
      metric: counter("ReconcileFailures"),
      threshold: 1,
      datapoints: RECONCILE_FAILURES,
      // Three runs, however far apart they are.
      of: Math.ceil((RECONCILE_FAILURES * retryMinutes + 10) / PERIOD_MINUTES),
      description: "Reconciliation failed three times in a row: is Clavex or Nextcloud down?",
    },
    {
      name: "no-reconciliation",
      metric: measure("ReconcileAge"),
      threshold: Math.max(3 * lightMinutes, 2 * LONGEST_RETRY_MINUTES) * 60,
      of: betweenRuns(settings),
      description: `An organization was not reconciled for long. Look: ${cli(stage, "doctor")}`,
    },
    {
      name: "no-ticks",
      metric: counter("Ticks"),
      threshold: 1,
      below: true,
      datapoints: 3,
      of: 3,
      silenceIsBad: true,
      description: `Nothing has started reconciliation for 15 minutes: is the schedule ${stackName(stage)}-tick disabled?`,
    },
  ];
}

function alarmName(stage: string, name: string): string {
  return `${stackName(stage)}-${name}`;
}

function alarmArn(scope: Construct, name: string): string {
  const arnFormat = ArnFormat.COLON_RESOURCE_NAME;
  return Stack.of(scope).formatArn({ service: "cloudwatch", resource: "alarm", resourceName: name, arnFormat });
}
