import { Duration } from "aws-cdk-lib";
import { type IMetric, MathExpression, Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import { METRIC_NAMESPACE } from "../functions/config/deployment.ts";
import type { Counter } from "../functions/telemetry/metrics.ts";
import type { FunctionName } from "./bundling.ts";

const PERIOD = Duration.minutes(5);

/** The counts of one stage's functions. */
export interface StageMetrics {
  /** What one function counts, per five minutes. */
  counter(service: FunctionName, name: Counter, label?: string): Metric;
  /** What several functions count together; one that has counted nothing yet is a zero. */
  counterOf(services: FunctionName[], name: Counter): IMetric;
}

/** The stage is a dimension, so that two stages in one account do not raise each other's alarms. */
export function stageMetrics(stage: string): StageMetrics {
  const counter: StageMetrics["counter"] = (service, name, label = name) =>
    new Metric({
      namespace: METRIC_NAMESPACE,
      metricName: name,
      dimensionsMap: { service, stage },
      statistic: Stats.SUM,
      period: PERIOD,
      label,
    });
  return {
    counter,
    counterOf: (services, name) =>
      total(
        name,
        services.map((service) => counter(service, name)),
      ),
  };
}

/** The sum of metrics, of which some may be silent. */
export function total(label: string, metrics: IMetric[]): IMetric {
  // Ids have to differ within a graph, and begin with a small letter.
  const named = metrics.map((metric, index): [string, IMetric] => [`${label.toLowerCase()}${index}`, metric]);
  return new MathExpression({
    expression: named.map(([id]) => `FILL(${id}, 0)`).join(" + "),
    usingMetrics: Object.fromEntries(named),
    period: PERIOD,
    label,
  });
}
