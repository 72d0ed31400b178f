import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { METRIC_NAMESPACE, METRIC_SERVICE } from "../config/deployment.ts";

/** What the pipeline counts; the alarms of the stack are made of these. */
export type Counter =
  | "DeliveriesQueued"
  | "DeliveriesIgnored"
  | "DeliveriesMalformed"
  | "SignatureFailures"
  /** Without a signature, or for an organization that there is none of: anybody can send these. */
  | "DeliveriesUnsigned"
  | "QueueFailures"
  | "JobsApplied"
  | "JobsUnchanged"
  | "JobsRetried"
  | "JobsParked"
  /** An error that nobody foresaw. */
  | "UnexpectedErrors"
  | "RevokesRefused"
  /** Counted each time that taking access away is refused again, too: it goes on. */
  | "RevokesOutstanding"
  | "ConfigurationErrors"
  | "BrakeHeld"
  | "LeavesHeld"
  | "DeprovisionsOverDaily"
  | "ReconcileFailures"
  | "ReconcileBusy"
  | "WatchFailures"
  /** A full run found enabled accounts that are nobody's whom the pipeline knows. */
  | "UnknownAccounts"
  /** The schedule has come. */
  | "Ticks";

/** What the pipeline measures, in seconds; the largest of an invocation is written. */
export type Measure =
  /** How long ago a job was sent that has just failed, of an organization that is not paused. */
  | "JobAge"
  /** How long ago a reconciliation began that came to its end, of an organization that is not paused. */
  | "ReconcileAge";

/** Counts, written out once per invocation. */
export interface Counters {
  count(counter: Counter): void;
  measure(measure: Measure, seconds: number): void;
  flush(): void;
}

/**
 * CloudWatch metrics in embedded metric format: no request, one log line that CloudWatch reads. All functions of a stage count
 * together, so that an alarm looks at one metric, and nobody pays for four.
 */
export function createCounters(stage: string): Counters {
  const metrics = new Metrics({
    namespace: METRIC_NAMESPACE,
    serviceName: METRIC_SERVICE,
    defaultDimensions: { stage },
  });
  const largest = new Map<Measure, number>();
  return {
    count: (counter) => {
      metrics.addMetric(counter, MetricUnit.Count, 1);
    },
    measure: (measure, seconds) => {
      largest.set(measure, Math.max(seconds, largest.get(measure) ?? 0));
    },
    flush: () => {
      for (const [measure, seconds] of largest) metrics.addMetric(measure, MetricUnit.Seconds, seconds);
      largest.clear();
      if (metrics.hasStoredMetrics()) metrics.publishStoredMetrics();
    },
  };
}
