import { describe, expect, it } from "vitest";
import { resources } from "./policies.ts";
import { document, folderWith, synthesize } from "./synth.ts";

/*
 * What the stack of version 0.1 holds, by logical id, with the properties that CloudFormation cannot change: another id or value
 * would put an empty resource in its place, with its jobs, its ledger or its address gone.
 */
const FIRST_VERSION: Record<string, { Type: string; Properties?: object }> = {
  JobsQueue24944186: { Type: "AWS::SQS::Queue", Properties: { FifoQueue: true } },
  JobsDeadLetters8D991969: { Type: "AWS::SQS::Queue", Properties: { FifoQueue: true } },
  LedgerTable9343E4AA: {
    Type: "AWS::DynamoDB::Table",
    Properties: {
      TableName: "clavex-nextcloud-test-ledger",
      AttributeDefinitions: [
        { AttributeName: "partition", AttributeType: "S" },
        { AttributeName: "sort", AttributeType: "S" },
      ],
      KeySchema: [
        { AttributeName: "partition", KeyType: "HASH" },
        { AttributeName: "sort", KeyType: "RANGE" },
      ],
    },
  },
  Organizationsacme3D52BCA2: {
    Type: "AWS::SSM::Parameter",
    Properties: { Name: "/clavex-nextcloud/test/organizations/acme", Type: "String" },
  },
  FunctionsReceiveLog9EF5B95C: logGroup("/clavex-nextcloud/test/receive"),
  FunctionsProvisionLogD5032554: logGroup("/clavex-nextcloud/test/provision"),
  FunctionsReconcileLogA8661FF8: logGroup("/clavex-nextcloud/test/reconcile"),
  FunctionsReplayLogEAC77F5B: logGroup("/clavex-nextcloud/test/replay"),
  EndpointAccessLog75A33DDC: logGroup("/aws/vendedlogs/clavex-nextcloud/test/access"),
  FunctionsReceiveFunctionBDE39ABC: aFunction("receive"),
  FunctionsProvisionFunction43F020CC: aFunction("provision"),
  FunctionsReconcileFunction8AB10D1C: aFunction("reconcile"),
  FunctionsReplayFunction5C9ED39D: aFunction("replay"),
  FunctionsJobs6C8FA27D: {
    Type: "AWS::Lambda::EventSourceMapping",
    Properties: { EventSourceArn: { "Fn::GetAtt": ["JobsQueue24944186", "Arn"] } },
  },
  // The webhook's address is made of its id.
  EndpointApiB7AE4D04: { Type: "AWS::ApiGatewayV2::Api", Properties: { ProtocolType: "HTTP" } },
  EndpointStage78C1013F: { Type: "AWS::ApiGatewayV2::Stage", Properties: { StageName: "$default" } },
  EndpointApiANYwebhooksclavexorganization361EB41B: {
    Type: "AWS::ApiGatewayV2::Route",
    Properties: { RouteKey: "ANY /webhooks/clavex/{organization}" },
  },
  // Who gets the alarms has confirmed that once.
  MonitoringTopic2EDA8B02: { Type: "AWS::SNS::Topic" },
};

function logGroup(LogGroupName: string) {
  return { Type: "AWS::Logs::LogGroup", Properties: { LogGroupName } };
}

function aFunction(name: string) {
  return { Type: "AWS::Lambda::Function", Properties: { FunctionName: `clavex-nextcloud-test-${name}` } };
}

describe("an upgrade from version 0.1", () => {
  const { template } = synthesize({ organizations: folderWith({ "acme.json": document("acme") }) });
  const now = resources(template);

  it.each(Object.entries(FIRST_VERSION))("replaces nothing that keeps jobs, entries or an address: %s", (id, was) => {
    expect(now[id]).toMatchObject(was);
  });

  it("gives no name to queues and topic that had none: each would be replaced", () => {
    for (const id of ["JobsQueue24944186", "JobsDeadLetters8D991969"])
      expect(now[id]?.Properties).not.toHaveProperty("QueueName");
    expect(now.MonitoringTopic2EDA8B02?.Properties ?? {}).not.toHaveProperty("TopicName");
  });

  it("keeps every output, by which commands and admins find the stage", () => {
    const { Outputs } = template.toJSON() as { Outputs: Record<string, unknown> };
    expect(Object.keys(Outputs)).toEqual(
      expect.arrayContaining([
        ...["QueueUrl", "DeadLetterQueueUrl", "TableName", "AlarmTopic", "DashboardUrl", "WebhookBaseUrl"],
        ...["ReceiveFunction", "ProvisionFunction", "ReconcileFunction", "ReplayFunction", "WebhookUrlacme"],
      ]),
    );
  });
});
