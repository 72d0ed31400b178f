import { Duration } from "aws-cdk-lib";
import { Rule, RuleTargetInput, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { DeploymentSettings } from "./settings.ts";

export interface SchedulesProps {
  settings: DeploymentSettings;
  reconcile: IFunction;
}

/** When reconciliation runs, for all organizations: `light` against the ledger, `full` against Nextcloud itself. */
export class Schedules extends Construct {
  constructor(scope: Construct, id: string, { settings, reconcile }: SchedulesProps) {
    super(scope, id);
    // A run that crashed is made up for by the next one; repeated at once it would find the organization locked.
    reconcile.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.hours(1) });
    const intervals = {
      light: Duration.minutes(settings.lightMinutes),
      full: Duration.hours(settings.fullHours),
    };
    for (const [mode, interval] of Object.entries(intervals)) {
      new Rule(this, mode === "light" ? "Light" : "Full", {
        description: `clavex-nextcloud, stage ${settings.stage}: ${mode} reconciliation`,
        schedule: Schedule.rate(interval),
        targets: [new LambdaFunction(reconcile, { event: RuleTargetInput.fromObject({ mode }) })],
      });
    }
  }
}
