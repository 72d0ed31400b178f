import { Duration, Stack } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IWidget,
  LogQueryVisualizationType,
  LogQueryWidget,
  PeriodOverride,
  Stats,
  TextWidget,
} from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";
import { stackName } from "../functions/config/deployment.ts";
import type { Functions } from "./functions.ts";
import type { JobQueue } from "./job-queue.ts";
import { stageMetrics } from "./metrics.ts";

export interface StatusDashboardProps {
  stage: string;
  api: HttpApi;
  jobs: JobQueue;
  functions: Functions;
  alarms: Alarm[];
}

const HALF = 12;

/** An account's dashboards have one list for all regions: a stage may be in two of them. */
export function dashboardName(scope: Construct, stage: string): string {
  return `${stackName(stage)}-${Stack.of(scope).region}`;
}

/** One page that answers: is it working, what is late, what is refused. */
export class StatusDashboard extends Construct {
  readonly dashboard: Dashboard;

  constructor(scope: Construct, id: string, { stage, api, jobs, functions, alarms }: StatusDashboardProps) {
    super(scope, id);
    const { counter, measure } = stageMetrics(stage);
    this.dashboard = new Dashboard(this, "Dashboard", {
      dashboardName: dashboardName(this, stage),
      defaultInterval: Duration.hours(12),
      periodOverride: PeriodOverride.INHERIT,
    });
    this.dashboard.addWidgets(new AlarmStatusWidget({ title: "Alarms", alarms, width: 24, height: 3 }));

    this.#section(
      "Is it working?",
      new GraphWidget({
        title: "Deliveries of Clavex",
        width: HALF,
        left: [counter("DeliveriesQueued", "queued"), counter("DeliveriesIgnored", "do not concern Nextcloud")],
        right: [api.metricLatency({ statistic: Stats.percentile(95), label: "answer, 95th percentile (ms)" })],
      }),
      new GraphWidget({
        title: "Jobs done",
        width: HALF,
        left: [counter("JobsApplied", "changed something"), counter("JobsUnchanged", "were right already")],
      }),
    );
    this.#section(
      "What is late?",
      new GraphWidget({
        title: "Age of the oldest job",
        width: HALF,
        left: [
          measure("JobAge", "that failed (seconds)"),
          jobs.queue.metricApproximateAgeOfOldestMessage({
            statistic: Stats.MAXIMUM,
            label: "not yet taken (seconds)",
          }),
        ],
      }),
      new GraphWidget({
        title: "Jobs in the queue",
        width: HALF,
        left: [
          jobs.queue.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, label: "waiting" }),
          jobs.queue.metricApproximateNumberOfMessagesNotVisible({
            statistic: Stats.MAXIMUM,
            label: "at work, or waiting for the next attempt",
          }),
        ],
        right: [counter("JobsRetried", "failed for now")],
      }),
    );
    this.#section(
      "What is refused?",
      new GraphWidget({
        title: "Deliveries refused",
        width: HALF,
        left: [
          counter("SignatureFailures", "wrong signature"),
          counter("DeliveriesUnsigned", "without a signature"),
          counter("DeliveriesMalformed", "malformed"),
          api.metricServerError({ statistic: Stats.SUM, label: "answered 5xx" }),
        ],
      }),
      new GraphWidget({
        title: "People refused",
        width: HALF,
        left: [
          counter("JobsParked", "parked as dead letters"),
          jobs.deadLetterQueue.metricApproximateNumberOfMessagesVisible({
            statistic: Stats.MAXIMUM,
            label: "in the dead-letter queue",
          }),
          counter("ConfigurationErrors"),
          counter("BrakeHeld"),
          counter("UnknownAccounts", "full runs that found unknown accounts"),
        ],
      }),
      new LogQueryWidget({
        title: "Why, and what to do",
        view: LogQueryVisualizationType.TABLE,
        width: 24,
        logGroupNames: functions.all.map(({ logGroup }) => logGroup.logGroupName),
        queryLines: [
          "filter ispresent(code)",
          "stats count(*) as times, latest(@timestamp) as last, latest(problem) as problem, latest(fix) as fix by code, class",
          "sort last desc",
          "limit 50",
        ],
      }),
    );
  }

  #section(question: string, ...widgets: IWidget[]): void {
    this.dashboard.addWidgets(new TextWidget({ markdown: `# ${question}`, width: 24, height: 1 }));
    this.dashboard.addWidgets(...widgets);
  }
}
