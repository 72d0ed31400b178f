import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { METRIC_NAMESPACE } from "../config/deployment.ts";

/** What the pipeline counts; the alarms of the stack are made of these. */
export type Counter =
  | "DeliveriesQueued"
  | "DeliveriesIgnored"
  | "DeliveriesMalformed"
  | "SignatureFailures"
  | "QueueFailures"
  | "JobsApplied"
  | "JobsUnchanged"
  | "JobsRetried"
  | "JobsParked"
  | "RevokesRefused"
  | "ConfigurationErrors"
  | "BrakeHeld"
  | "LeavesHeld"
  | "DeprovisionsOverDaily"
  | "ReconcileFailures"
  | "ReconcileBusy"
  | "WatchFailures";

/** Counts, written out once per invocation. */
export interface Counters {
  count(counter: Counter): void;
  flush(): void;
}

/** CloudWatch metrics in embedded metric format: no request, one log line that CloudWatch reads. */
export function createCounters(service: string, stage: string): Counters {
  const metrics = new Metrics({ namespace: METRIC_NAMESPACE, serviceName: service, defaultDimensions: { stage } });
  return {
    count: (counter) => {
      metrics.addMetric(counter, MetricUnit.Count, 1);
    },
    flush: () => {
      if (metrics.hasStoredMetrics()) metrics.publishStoredMetrics();
    },
  };
}
