import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { METRIC_NAMESPACE, METRIC_SERVICE } from "../config/deployment.ts";

/** What the pipeline counts; the stack's alarms are built on these. */
export type Counter =
  | "DeliveriesQueued"
  | "DeliveriesIgnored"
  | "DeliveriesMalformed"
  | "SignatureFailures"
  /** Without a signature, or for an organization that does not exist: anybody can send these. */
  | "DeliveriesUnsigned"
  | "QueueFailures"
  | "JobsApplied"
  | "JobsUnchanged"
  | "JobsRetried"
  | "JobsParked"
  /** An unexpected error, or jobs whose return to the queue could not be scheduled. */
  | "UnexpectedErrors"
  | "RevokesRefused"
  /** Also counted each time that taking access away is refused again. */
  | "RevokesOutstanding"
  | "ConfigurationErrors"
  | "BrakeHeld"
  | "LeavesHeld"
  | "DeprovisionsOverDaily"
  | "ReconcileFailures"
  | "ReconcileBusy"
  | "WatchFailures"
  /** A full run found enabled accounts of nobody that the pipeline knows. */
  | "UnknownAccounts"
  /** The schedule has ticked. */
  | "Ticks";

/** What the pipeline measures; the largest of an invocation is written. */
export type Measure =
  /** The age in seconds of a job that has just failed, of an organization that is not paused. */
  | "JobAge"
  /** How many seconds ago the last completed reconciliation began, of an organization that is not paused. */
  | "ReconcileAge"
  /** How many people of an organization left and have an account that Nextcloud refuses to disable; written while there are any. */
  | "LeaversStillEnabled";

const UNITS: Record<Measure, (typeof MetricUnit)[keyof typeof MetricUnit]> = {
  JobAge: MetricUnit.Seconds,
  ReconcileAge: MetricUnit.Seconds,
  LeaversStillEnabled: MetricUnit.Count,
};

/** Counts, written out once per invocation. */
export interface Counters {
  count(counter: Counter): void;
  measure(measure: Measure, value: number): void;
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
  // Added up here: Powertools keeps each addition as a value of its own.
  const values = new Map<Counter | Measure, number>();
  return {
    count: (counter) => {
      values.set(counter, (values.get(counter) ?? 0) + 1);
    },
    measure: (measure, value) => {
      values.set(measure, Math.max(value, values.get(measure) ?? 0));
    },
    flush: () => {
      if (values.size === 0) return;
      for (const [name, value] of values) metrics.addMetric(name, unitOf(name), value);
      values.clear();
      metrics.publishStoredMetrics();
    },
  };
}

function unitOf(name: Counter | Measure): (typeof MetricUnit)[keyof typeof MetricUnit] {
  return name in UNITS ? UNITS[name as Measure] : MetricUnit.Count;
}
