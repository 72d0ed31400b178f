import { Duration } from "aws-cdk-lib";
import { type IMetric, Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import { METRIC_NAMESPACE, METRIC_SERVICE } from "../functions/config/deployment.ts";
import type { Counter, Measure } from "../functions/telemetry/metrics.ts";

/** The period of every alarm and graph. */
export const PERIOD = Duration.minutes(5);

/** What one stage's functions count and measure, per five minutes. */
export interface StageMetrics {
  counter(name: Counter, label?: string): IMetric;
  /** The largest. */
  measure(name: Measure, label?: string): IMetric;
}

/** The stage is a dimension, so that two stages in one account do not raise each other's alarms. */
export function stageMetrics(stage: string): StageMetrics {
  // CDK would write an alarm on a labelled metric as metric math, which is not needed.
  const metric = (metricName: string, statistic: string, label: string | undefined) =>
    new Metric({
      namespace: METRIC_NAMESPACE,
      metricName,
      dimensionsMap: { service: METRIC_SERVICE, stage },
      statistic,
      period: PERIOD,
      ...(label === undefined ? {} : { label }),
    });
  return {
    counter: (name, label) => metric(name, Stats.SUM, label),
    measure: (name, label) => metric(name, Stats.MAXIMUM, label),
  };
}
