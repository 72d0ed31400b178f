import { Duration } from "aws-cdk-lib";
import { Rule, RuleTargetInput, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import { DEFAULT_INTERVALS, TICK_MS } from "../functions/core/schedule.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface SchedulesProps {
  settings: DeploymentSettings;
  reconcile: IFunction;
}

/** One tick a minute. What it finds due, it runs: how often each kind of run is wanted goes with it. */
export class Schedules extends Construct {
  constructor(scope: Construct, id: string, { settings, reconcile }: SchedulesProps) {
    super(scope, id);
    // A tick or run that crashed is made up for by the next tick; repeated at once it would find the organization locked.
    reconcile.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(5) });
    const { stage, watch, lightMinutes, fullHours } = settings;
    const watchSeconds = watch ? DEFAULT_INTERVALS.watchSeconds : 0;
    new Rule(this, "Tick", {
      description: `clavex-nextcloud, stage ${stage}: starts the reconciliations that are due`,
      schedule: Schedule.rate(Duration.millis(TICK_MS)),
      targets: [
        new LambdaFunction(reconcile, {
          event: RuleTargetInput.fromObject({ mode: "tick", watchSeconds, lightMinutes, fullHours }),
        }),
      ],
    });
  }
}
