import { readFileSync } from "node:fs";
import { buildSync } from "esbuild";
import { describe, expect, it } from "vitest";
import { BUNDLING, FUNCTIONS, type FunctionName } from "../../infra/bundling.ts";
import { allows, functionId, resources, statementsOf } from "./policies.ts";
import { synthesize } from "./synth.ts";

const { template } = synthesize();
const PARAMETERS = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter/clavex-nextcloud/test";

/** The actions a function may use on what a resource's name begins with. */
function granted(name: FunctionName): Record<string, string[]> {
  const table: Record<string, string[]> = {};
  for (const { actions, resources: names } of statementsOf(template, name)) {
    for (const resource of names) {
      const key = resource
        .replace(PARAMETERS, "parameter")
        .replace(/^.*:function:/, "function ")
        .replace(/^<(.*?)[0-9A-F]{8}\.Arn>$/, "$1");
      table[key] = [...(table[key] ?? []), ...actions].sort();
    }
  }
  return table;
}

const LOG = ["logs:CreateLogStream", "logs:PutLogEvents"];
const TRACES = { "*": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"] };
const ORGANIZATIONS = {
  "parameter/organizations": ["ssm:GetParametersByPath"],
  "parameter/organizations/*": ["ssm:GetParametersByPath"],
};

describe("least privilege", () => {
  it("lets the receiver send to one queue, read its webhook secrets and whether an organization is paused, and nothing more", () => {
    expect(granted("receive")).toEqual({
      ...ORGANIZATIONS,
      "parameter/secrets/*/webhook/*": ["ssm:GetParameter"],
      JobsQueue: ["sqs:SendMessage"],
      LedgerTable: ["dynamodb:GetItem"],
      FunctionsReceiveLog: LOG,
      ...TRACES,
    });
  });

  it("lets the worker take jobs, send jobs, read API secrets and use the ledger, and nothing more", () => {
    expect(granted("provision")).toEqual({
      ...ORGANIZATIONS,
      "parameter/secrets/*/api/*": ["ssm:GetParameter"],
      JobsQueue: [
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
      ],
      LedgerTable: ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
      FunctionsProvisionLog: LOG,
      ...TRACES,
    });
  });

  it("lets reconciliation send and count jobs, read API secrets, use the ledger and start itself, and nothing more", () => {
    expect(granted("reconcile")).toEqual({
      ...ORGANIZATIONS,
      "parameter/secrets/*/api/*": ["ssm:GetParameter"],
      JobsQueue: ["sqs:GetQueueAttributes", "sqs:SendMessage"],
      LedgerTable: ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
      "function clavex-nextcloud-test-reconcile": ["lambda:InvokeFunction"],
      FunctionsReconcileLog: LOG,
      ...TRACES,
    });
  });

  it("lets the replay take dead letters, send jobs and use the ledger, and read no secret", () => {
    expect(granted("replay")).toEqual({
      ...ORGANIZATIONS,
      JobsQueue: ["sqs:SendMessage"],
      JobsDeadLetters: ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"],
      LedgerTable: ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
      FunctionsReplayLog: LOG,
      ...TRACES,
    });
  });

  // Others have met the denial of the path itself: "not authorized ... on resource: ...:parameter/NAME" beside a policy for NAME/*.
  it("lets every function read the organizations, with and without a slash at the path's end, and none other stage's", () => {
    const read = (name: FunctionName, path: string) =>
      allows(statementsOf(template, name), "ssm:GetParametersByPath", path);
    for (const name of FUNCTIONS) {
      for (const end of ["", "/"]) {
        expect(read(name, `${PARAMETERS}/organizations${end}`)).toBe(true);
        expect(read(name, `${PARAMETERS.replace("/test", "/prod")}/organizations${end}`)).toBe(false);
      }
      expect(read(name, PARAMETERS)).toBe(false);
    }
  });

  it("keeps each kind of secret from the functions that do not need it", () => {
    const webhook = `${PARAMETERS}/secrets/acme/webhook/primary`;
    const api = `${PARAMETERS}/secrets/acme/api/clavex-api-key`;
    const otherStage = api.replace("/test/", "/prod/");
    const readers = (parameter: string) =>
      FUNCTIONS.filter((name) => allows(statementsOf(template, name), "ssm:GetParameter", parameter));
    expect(readers(webhook)).toEqual(["receive"]);
    expect(readers(api)).toEqual(["provision", "reconcile"]);
    expect(readers(otherStage)).toEqual([]);
    // A path read with GetParametersByPath decrypts whole trees: no secret may lie below one.
    for (const name of FUNCTIONS) {
      for (const parameter of [webhook, api])
        expect(allows(statementsOf(template, name), "ssm:GetParametersByPath", parameter)).toBe(false);
    }
  });

  it("uses no wildcard in an action, and none for all resources but X-Ray's", () => {
    for (const name of FUNCTIONS) {
      for (const { effect, actions, resources: names } of statementsOf(template, name)) {
        expect(effect).toBe("Allow");
        expect(actions.join()).not.toContain("*");
        if (names.includes("*")) expect(actions.every((action) => action.startsWith("xray:Put"))).toBe(true);
      }
    }
  });

  it("gives every function a role of its own, without managed policies", () => {
    const all = resources(template);
    const roles = FUNCTIONS.map((name) => JSON.stringify(all[functionId(template, name)]?.Properties.Role));
    expect(new Set(roles).size).toBe(FUNCTIONS.length);
    for (const { Type, Properties } of Object.values(all)) {
      if (Type !== "AWS::IAM::Role") continue;
      expect(Properties.ManagedPolicyArns).toBeUndefined();
      expect(Properties.Policies).toBeUndefined();
    }
  });

  it.each(FUNCTIONS)("grants %s no action that its code never calls", (name) => {
    const called = new Set([
      ...commandsOf(name).flatMap((command) => ACTIONS[command] ?? []),
      ...(RUNTIME[name] ?? []),
    ]);
    const unused = statementsOf(template, name)
      .flatMap(({ actions }) => actions)
      .filter((action) => !/^(?:logs|xray):/.test(action) && !called.has(action));
    expect(unused).toEqual([]);
  });
});

/** What a command of the SDK asks IAM for. */
const ACTIONS: Record<string, string[]> = {
  GetParametersByPathCommand: ["ssm:GetParametersByPath"],
  GetParameterCommand: ["ssm:GetParameter"],
  SendMessageCommand: ["sqs:SendMessage"],
  SendMessageBatchCommand: ["sqs:SendMessage"],
  ReceiveMessageCommand: ["sqs:ReceiveMessage"],
  DeleteMessageCommand: ["sqs:DeleteMessage"],
  DeleteMessageBatchCommand: ["sqs:DeleteMessage"],
  GetQueueAttributesCommand: ["sqs:GetQueueAttributes"],
  ChangeMessageVisibilityBatchCommand: ["sqs:ChangeMessageVisibility"],
  GetCommand: ["dynamodb:GetItem"],
  PutCommand: ["dynamodb:PutItem"],
  DeleteCommand: ["dynamodb:DeleteItem"],
  QueryCommand: ["dynamodb:Query"],
  InvokeCommand: ["lambda:InvokeFunction"],
};

/** What Lambda itself does with the worker's role: its event source mapping takes the messages and deletes those done. */
const RUNTIME: Partial<Record<FunctionName, string[]>> = {
  provision: ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
};

/** The SDK commands that the source files of a function's bundle make. */
function commandsOf(name: FunctionName): string[] {
  const { metafile } = buildSync({
    ...BUNDLING,
    entryPoints: [`functions/${name}/handler.ts`],
    outfile: "index.mjs",
    write: false,
    metafile: true,
  });
  const commands = Object.keys(metafile.inputs)
    .filter((file) => file.startsWith("functions/"))
    .flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/new (\w+Command)\(/g)].map(([, command = ""]) => command),
    );
  const unknown = commands.filter((command) => !(command in ACTIONS));
  expect(unknown).toEqual([]);
  return commands;
}
