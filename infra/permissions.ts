import { ArnFormat, Stack, Validations } from "aws-cdk-lib";
import { PolicyStatement, type Role } from "aws-cdk-lib/aws-iam";
import type { IConstruct } from "constructs";
import { organizationsPath } from "../functions/config/organization-parameters.ts";
import { secretParameter } from "../functions/config/secret-parameters.ts";

/** Something a function may do. `wildcard`: the part of it that names more than one resource, and why it must. */
export interface Permission {
  statement: PolicyStatement;
  wildcard?: { resource: string; reason: string };
}

/** Gives a function's role its permissions, and writes down for cdk-nag why some of them hold a wildcard. */
export function grant(role: Role, permissions: Permission[]): void {
  for (const { statement, wildcard } of permissions) {
    role.addToPolicy(statement);
    if (wildcard !== undefined) acknowledgeWildcard(role, wildcard);
  }
  // CDK adds these two actions to the role of every function that is traced.
  acknowledgeWildcard(role, {
    resource: "*",
    reason: "xray:PutTraceSegments and xray:PutTelemetryRecords know no resources that they could be limited to.",
  });
}

function acknowledgeWildcard(role: Role, { resource, reason }: NonNullable<Permission["wildcard"]>): void {
  Validations.of(role).acknowledge({ id: `AwsSolutions::AwsSolutions-IAM5[Resource::${resource}]`, reason });
}

/**
 * Reads the organizations of the stage, all at once. IAM is asked for the path itself, which may come without the slash at its
 * end; a wildcard behind that slash would then allow nothing.
 */
export function readOrganizations(scope: IConstruct, stage: string): Permission {
  const path = organizationsPath(stage);
  return onParameters(
    scope,
    { sid: "ReadOrganizations", action: "ssm:GetParametersByPath", names: [path.slice(0, -1), `${path}*`] },
    "The organizations of this stage are read together, by their path; each of them is a parameter below it.",
  );
}

/**
 * Reads one kind of secret of every organization of the stage. No `kms:Decrypt` goes with it: the default key of SecureString
 * parameters, `aws/ssm`, decrypts for everybody in the account who may read the parameter.
 */
export function readSecrets(scope: IConstruct, stage: string, kind: "webhook" | "api"): Permission {
  return onParameters(
    scope,
    {
      sid: kind === "webhook" ? "ReadWebhookSecrets" : "ReadApiSecrets",
      action: "ssm:GetParameter",
      names: [secretParameter(stage, "*", kind, "ssm:*")],
    },
    `The function serves every organization of this stage, and each has secrets of its own; only those of kind ${kind}.`,
  );
}

function onParameters(
  scope: IConstruct,
  { sid, action, names }: { sid: string; action: string; names: string[] },
  reason: string,
): Permission {
  const arns = names.map((name) =>
    Stack.of(scope).formatArn({ service: "ssm", resource: "parameter", resourceName: name.slice(1) }),
  );
  const wildcard = names.find((name) => name.includes("*"));
  return {
    statement: new PolicyStatement({ sid, actions: [action], resources: arns }),
    wildcard: { resource: `arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter${wildcard}`, reason },
  };
}

/** One queue, and just these actions on it. */
export function onQueue(sid: string, queue: { queueArn: string }, actions: string[]): Permission {
  return { statement: new PolicyStatement({ sid, actions, resources: [queue.queueArn] }) };
}

/** The ledger, and just these actions on it. */
export function onLedger(table: { tableArn: string }, actions: string[]): Permission {
  return { statement: new PolicyStatement({ sid: "UseLedger", actions, resources: [table.tableArn] }) };
}

/** Invokes the function of this name. By name and not by reference: a function cannot depend on a policy that needs it. */
export function invokeFunction(scope: IConstruct, name: string): Permission {
  const arn = Stack.of(scope).formatArn({
    service: "lambda",
    resource: "function",
    resourceName: name,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  return {
    statement: new PolicyStatement({ sid: "InvokeItself", actions: ["lambda:InvokeFunction"], resources: [arn] }),
  };
}
