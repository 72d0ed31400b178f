import { Duration, Stack } from "aws-cdk-lib";
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import { Construct } from "constructs";
import { stackName } from "../functions/config/deployment.ts";
import { DEFAULT_INTERVALS } from "../functions/core/schedule.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface SchedulesProps {
  settings: DeploymentSettings;
  reconcile: IFunction;
}

/** One tick a minute. It runs what is due; its payload says how often each kind of run is wanted. */
export class Schedules extends Construct {
  constructor(scope: Construct, id: string, { settings, reconcile }: SchedulesProps) {
    super(scope, id);
    // A tick or run that crashed is made up for by the next tick; repeated at once it would find the organization locked.
    reconcile.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(5) });
    const { stage, watch, lightMinutes, fullHours } = settings;
    const watchSeconds = watch ? DEFAULT_INTERVALS.watchSeconds : 0;
    const role = new Role(this, "Role", {
      description: `Lets the schedule of clavex-nextcloud, stage ${stage}, start the reconciliation`,
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        // Nobody else's schedule may use this role.
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    });
    role.addToPolicy(new PolicyStatement({ actions: ["lambda:InvokeFunction"], resources: [reconcile.functionArn] }));
    const tick = new CfnSchedule(this, "Tick", {
      name: tickName(stage),
      description: `clavex-nextcloud, stage ${stage}: starts the reconciliations that are due`,
      scheduleExpression: "rate(1 minute)",
      flexibleTimeWindow: { mode: "OFF" },
      target: {
        arn: reconcile.functionArn,
        roleArn: role.roleArn,
        input: JSON.stringify({ mode: "tick", watchSeconds, lightMinutes, fullHours }),
        // The next tick comes sooner than a retry.
        retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
      },
    });
    // The role alone is not enough: its policy has to be there before the first tick.
    tick.node.addDependency(role);
  }
}

/** The schedule's name, in the default group. */
export function tickName(stage: string): string {
  return `${stackName(stage)}-tick`;
}
