import { readFileSync } from "node:fs";
import { Match, type Template } from "aws-cdk-lib/assertions";
import { describe, expect, it } from "vitest";
import { OUTPUTS, stackName } from "../../functions/config/deployment.ts";
import { FUNCTIONS } from "../../infra/bundling.ts";
import { functionId, type Resource, readable, resources } from "./policies.ts";
import { document, folderWith, synthesize } from "./synth.ts";

const organizations = folderWith({ "acme.json": document("acme"), "north.json": document("north-wind") });
const { stack, template } = synthesize({ organizations, alarmEmail: "admin@acme.example" });

function ofType(type: string, from: Template = template): Resource[] {
  return Object.values(resources(from)).filter((resource) => resource.Type === type);
}

function only(type: string, from: Template = template): Resource {
  const found = ofType(type, from);
  if (found.length !== 1 || !found[0]) throw new Error(`expected one ${type}, found ${found.length}`);
  return found[0];
}

function functionProperties(name: (typeof FUNCTIONS)[number], from: Template = template): Record<string, unknown> {
  return resources(from)[functionId(from, name)]?.Properties ?? {};
}

function queues(from: Template = template): { jobs: Resource; dead: Resource } {
  const all = ofType("AWS::SQS::Queue", from);
  const jobs = all.find(({ Properties }) => Properties.RedrivePolicy !== undefined);
  const dead = all.find(({ Properties }) => Properties.RedrivePolicy === undefined);
  if (!jobs || !dead || all.length !== 2) throw new Error("expected a queue and its dead-letter queue");
  return { jobs, dead };
}

describe("job queue", () => {
  it("hides a message for at least six times as long as the worker may run", () => {
    const { Timeout } = functionProperties("provision");
    expect(queues().jobs.Properties.VisibilityTimeout).toBeGreaterThanOrEqual(6 * Number(Timeout));
  });

  it("keeps jobs and dead letters for 14 days", () => {
    for (const { Properties } of Object.values(queues())) expect(Properties.MessageRetentionPeriod).toBe(1_209_600);
  });

  it("gives a job 1000 receives before it becomes a dead letter", () => {
    expect(queues().jobs.Properties.RedrivePolicy).toMatchObject({ maxReceiveCount: 1000 });
  });

  it("keeps order per person, with the high throughput of FIFO queues", () => {
    for (const { Properties } of Object.values(queues())) {
      expect(Properties).toMatchObject({
        FifoQueue: true,
        DeduplicationScope: "messageGroup",
        FifoThroughputLimit: "perMessageGroupId",
      });
      // Two jobs may have the same body: only their ids say whether they are the same.
      expect(Properties.ContentBasedDeduplication).toBeUndefined();
    }
  });

  it("encrypts both queues", () => {
    for (const { Properties } of Object.values(queues())) expect(Properties.SqsManagedSseEnabled).toBe(true);
  });

  it("refuses every request to a queue without TLS, and lets nobody in by a queue policy", () => {
    const policies = ofType("AWS::SQS::QueuePolicy");
    expect(policies).toHaveLength(2);
    for (const { Properties } of policies) {
      const { Statement } = Properties.PolicyDocument as { Statement: unknown[] };
      expect(Statement).toEqual([
        expect.objectContaining({
          Effect: "Deny",
          Action: "sqs:*",
          Principal: { AWS: "*" },
          Condition: { Bool: { "aws:SecureTransport": "false" } },
        }),
      ]);
    }
  });
});

describe("ledger", () => {
  it("has the keys that the code uses, and pays per request", () => {
    template.hasResourceProperties("AWS::DynamoDB::Table", {
      BillingMode: "PAY_PER_REQUEST",
      KeySchema: [
        { AttributeName: "partition", KeyType: "HASH" },
        { AttributeName: "sort", KeyType: "RANGE" },
      ],
    });
  });

  it("can be put back to any second of the last 35 days", () => {
    template.hasResourceProperties("AWS::DynamoDB::Table", {
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    });
  });

  it("is encrypted with a key whose use shows in CloudTrail", () => {
    template.hasResourceProperties("AWS::DynamoDB::Table", { SSESpecification: { SSEEnabled: true } });
  });

  it("never forgets an entry by itself", () => {
    expect(only("AWS::DynamoDB::Table").Properties.TimeToLiveSpecification).toBeUndefined();
  });

  it("has a fixed name, so that no change puts an empty table in its place", () => {
    template.hasResourceProperties("AWS::DynamoDB::Table", { TableName: "clavex-nextcloud-test-ledger" });
  });
});

describe("cdk destroy", () => {
  const policies = (from: Template) =>
    [only("AWS::DynamoDB::Table", from), queues(from).dead].map(({ DeletionPolicy, UpdateReplacePolicy }) => [
      DeletionPolicy,
      UpdateReplacePolicy,
    ]);

  it("leaves the ledger and the dead letters", () => {
    for (const policy of policies(template)) expect(policy).toEqual(["RetainExceptOnCreate", "Retain"]);
  });

  it("is refused, and so is the deletion of the ledger by hand, until somebody takes the protection away", () => {
    expect(stack.terminationProtection).toBe(true);
    template.hasResourceProperties("AWS::DynamoDB::Table", { DeletionProtectionEnabled: true });
  });

  it("removes them when retain=false says so", () => {
    const { template: removable, stack: unprotected } = synthesize({ retain: "false" });
    for (const policy of policies(removable)) expect(policy).toEqual(["Delete", "Delete"]);
    expect(unprotected.terminationProtection).toBe(false);
    removable.hasResourceProperties("AWS::DynamoDB::Table", { DeletionProtectionEnabled: false });
  });
});

describe("functions", () => {
  it("are four: receive, provision, reconcile and replay", () => {
    expect(ofType("AWS::Lambda::Function")).toHaveLength(FUNCTIONS.length);
  });

  it.each(FUNCTIONS)("%s runs on Node 24 and arm64, and is traced", (name) => {
    expect(functionProperties(name)).toMatchObject({
      Runtime: "nodejs24.x",
      Architectures: ["arm64"],
      TracingConfig: { Mode: "Active" },
      Handler: "index.handler",
      Environment: { Variables: { STAGE: "test", LOG_LEVEL: "info" } },
    });
  });

  it.each(FUNCTIONS)("%s writes to a log group of its own, which forgets", (name) => {
    const { LoggingConfig } = functionProperties(name) as { LoggingConfig: { LogGroup: { Ref: string } } };
    expect(resources(template)[LoggingConfig.LogGroup.Ref]).toMatchObject({
      Type: "AWS::Logs::LogGroup",
      Properties: { LogGroupName: `/clavex-nextcloud/test/${name}`, RetentionInDays: 30 },
    });
  });

  it("leave a new organization alone until resume, unless autostart says otherwise", () => {
    const started = synthesize({ autostart: "true" }).template;
    for (const name of ["receive", "provision", "reconcile"] as const) {
      expect(functionProperties(name).Environment).toMatchObject({ Variables: { STARTS_PAUSED: "true" } });
      expect(functionProperties(name, started).Environment).toMatchObject({ Variables: { STARTS_PAUSED: "false" } });
    }
    template.hasOutput(OUTPUTS.startsPaused, { Value: "true" });
  });

  it("keeps logs for as many days as logDays says", () => {
    for (const { Properties } of ofType("AWS::Logs::LogGroup", synthesize({ logDays: "7" }).template))
      expect(Properties.RetentionInDays).toBe(7);
  });

  it("log as much as logLevel says", () => {
    const debug = synthesize({ logLevel: "debug" }).template;
    for (const { Properties } of ofType("AWS::Lambda::Function", debug))
      expect(Properties.Environment).toMatchObject({ Variables: { LOG_LEVEL: "debug" } });
  });

  it("answers Clavex within its ten seconds", () => {
    expect(functionProperties("receive").Timeout).toBeLessThanOrEqual(10);
  });

  it("gives reconciliation the fifteen minutes and the gigabyte that it counts on", () => {
    expect(functionProperties("reconcile")).toMatchObject({ Timeout: 900, MemorySize: 1024 });
  });

  it("takes the settings from the stack's own resources", () => {
    const variables = (name: (typeof FUNCTIONS)[number]) =>
      (functionProperties(name).Environment as { Variables: Record<string, unknown> }).Variables;
    const ids = Object.keys(resources(template));
    const [queue] = ids.filter((id) => /^JobsQueue[0-9A-F]{8}$/.test(id));
    const [dead] = ids.filter((id) => /^JobsDeadLetters[0-9A-F]{8}$/.test(id));
    const [table] = ids.filter((id) => /^LedgerTable[0-9A-F]{8}$/.test(id));
    for (const name of FUNCTIONS) expect(variables(name).QUEUE_URL).toEqual({ Ref: queue });
    for (const name of FUNCTIONS) expect(variables(name).TABLE_NAME).toEqual({ Ref: table });
    expect(variables("replay").DEAD_LETTER_QUEUE_URL).toEqual({ Ref: dead });
  });
});

describe("protection of Nextcloud", () => {
  it("has at most four workers busy at once", () => {
    template.hasResourceProperties("AWS::Lambda::EventSourceMapping", { ScalingConfig: { MaximumConcurrency: 4 } });
  });

  it("has as many workers as maxConcurrency says", () => {
    synthesize({ maxConcurrency: "9" }).template.hasResourceProperties("AWS::Lambda::EventSourceMapping", {
      ScalingConfig: { MaximumConcurrency: 9 },
    });
  });

  it("gives back only those messages of a batch that failed", () => {
    template.hasResourceProperties("AWS::Lambda::EventSourceMapping", {
      BatchSize: 10,
      FunctionResponseTypes: ["ReportBatchItemFailures"],
      FunctionName: { Ref: functionId(template, "provision") },
    });
  });
});

describe("webhook endpoint", () => {
  it("limits what a flood can cost", () => {
    template.hasResourceProperties("AWS::ApiGatewayV2::Stage", {
      DefaultRouteSettings: { ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 },
    });
  });

  it("runs the receiver for the webhook's path and the health check only", () => {
    const routes = ofType("AWS::ApiGatewayV2::Route").map(({ Properties }) => Properties.RouteKey);
    expect(routes.sort()).toEqual(["ANY /healthz", "ANY /webhooks/clavex/{organization}"]);
  });

  it("hands requests over in payload format 2.0", () => {
    template.allResourcesProperties("AWS::ApiGatewayV2::Integration", {
      IntegrationType: "AWS_PROXY",
      PayloadFormatVersion: "2.0",
    });
  });

  it("logs each request without headers, query, body or anything else that could be secret", () => {
    const { AccessLogSettings } = only("AWS::ApiGatewayV2::Stage").Properties as {
      AccessLogSettings: { Format: string };
    };
    expect(Object.values(JSON.parse(AccessLogSettings.Format)).sort()).toEqual([
      "$context.httpMethod",
      "$context.identity.sourceIp",
      "$context.integrationErrorMessage",
      "$context.path",
      "$context.requestId",
      "$context.requestTime",
      "$context.responseLatency",
      "$context.status",
    ]);
  });

  it("has only an own domain name's address when there is one", () => {
    const certificateArn = "arn:aws:acm:eu-central-1:123456789012:certificate/0b9d7d4e";
    const own = synthesize({ organizations, domainName: "hooks.acme.example", certificateArn }).template;
    own.hasResourceProperties("AWS::ApiGatewayV2::Api", { DisableExecuteApiEndpoint: true });
    own.hasResourceProperties("AWS::ApiGatewayV2::DomainName", {
      DomainName: "hooks.acme.example",
      DomainNameConfigurations: [Match.objectLike({ CertificateArn: certificateArn, EndpointType: "REGIONAL" })],
    });
    own.resourceCountIs("AWS::ApiGatewayV2::ApiMapping", 1);
    own.hasOutput("WebhookUrlacme", { Value: "https://hooks.acme.example/webhooks/clavex/acme" });
    own.hasOutput("DomainTarget", {});
  });
});

describe("schedules", () => {
  const schedules = (from: Template) =>
    ofType("AWS::Scheduler::Schedule", from).map(({ Properties }) => ({
      ...Properties,
      Target: {
        ...(Properties.Target as { Input: string }),
        Input: JSON.parse((Properties.Target as { Input: string }).Input),
      },
    }));
  const input = (from: Template) => schedules(from).map(({ Target }) => Target.Input);
  const tick = { mode: "tick", watchSeconds: 60, lightMinutes: 10, fullHours: 24 };

  it("tick once a minute, and nothing else starts a run", () => {
    expect(schedules(template)).toMatchObject([
      {
        Name: "clavex-nextcloud-test-tick",
        ScheduleExpression: "rate(1 minute)",
        FlexibleTimeWindow: { Mode: "OFF" },
        Target: { Arn: { "Fn::GetAtt": [functionId(template, "reconcile"), "Arn"] }, Input: tick },
      },
    ]);
    template.resourceCountIs("AWS::Events::Rule", 0);
  });

  it("may start the reconciliation and nothing else, and only for this account", () => {
    const { RoleArn } = schedules(template)[0]?.Target as unknown as { RoleArn: { "Fn::GetAtt": [string, string] } };
    const role = resources(template)[RoleArn["Fn::GetAtt"][0]];
    expect(role?.Properties).toMatchObject({
      AssumeRolePolicyDocument: {
        Statement: [
          {
            Action: "sts:AssumeRole",
            Principal: { Service: "scheduler.amazonaws.com" },
            Condition: { StringEquals: { "aws:SourceAccount": { Ref: "AWS::AccountId" } } },
          },
        ],
      },
    });
    expect(role?.Properties.ManagedPolicyArns).toBeUndefined();
    const policies = ofType("AWS::IAM::Policy").filter(
      ({ Properties }) => JSON.stringify(Properties.Roles) === JSON.stringify([{ Ref: RoleArn["Fn::GetAtt"][0] }]),
    );
    expect(policies.map(({ Properties }) => Properties.PolicyDocument)).toMatchObject([
      {
        Statement: [
          {
            Effect: "Allow",
            Action: "lambda:InvokeFunction",
            Resource: { "Fn::GetAtt": [functionId(template, "reconcile"), "Arn"] },
          },
        ],
      },
    ]);
  });

  it("do not repeat a run that crashed, or one that could not begin within five minutes: the next tick comes soon", () => {
    template.hasResourceProperties("AWS::Lambda::EventInvokeConfig", {
      FunctionName: { Ref: functionId(template, "reconcile") },
      MaximumRetryAttempts: 0,
      MaximumEventAgeInSeconds: 300,
    });
  });

  it("follow lightMinutes, fullHours and watch", () => {
    const { template: changed } = synthesize({ lightMinutes: "1", fullHours: "6", watch: "false" });
    expect(input(changed)).toEqual([{ ...tick, watchSeconds: 0, lightMinutes: 1, fullHours: 6 }]);
  });
});

describe("organizations", () => {
  it("become the parameters that the functions read, without white space and in the tier that their size needs", () => {
    for (const slug of ["acme", "north-wind"]) {
      template.hasResourceProperties("AWS::SSM::Parameter", {
        Name: `/clavex-nextcloud/test/organizations/${slug}`,
        Type: "String",
        Tier: "Intelligent-Tiering",
        Value: JSON.stringify(document(slug)),
      });
    }
    template.resourceCountIs("AWS::SSM::Parameter", 2);
  });
});

describe("monitoring", () => {
  const alarm = (name: string): Record<string, unknown> => {
    const found = ofType("AWS::CloudWatch::Alarm").find(
      ({ Properties }) => Properties.AlarmName === `clavex-nextcloud-test-${name}`,
    );
    if (!found) throw new Error(`there is no alarm ${name}`);
    return found.Properties;
  };
  /** The metrics behind an alarm, as `namespace/metric` with the values of the dimensions. */
  const watched = (name: string): string[] => {
    const {
      Namespace,
      MetricName,
      Dimensions = [],
      Metrics = [],
    } = alarm(name) as {
      Namespace?: string;
      MetricName?: string;
      Dimensions?: { Value: unknown }[];
      Metrics?: {
        MetricStat?: { Metric: { Namespace: string; MetricName: string; Dimensions: { Value: unknown }[] } };
      }[];
    };
    const all = [
      ...(MetricName === undefined ? [] : [{ Namespace, MetricName, Dimensions }]),
      ...Metrics.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : [])),
    ];
    return all.map((metric) => {
      const values = metric.Dimensions.map(({ Value }) => readable(Value).replace(/[0-9A-F]{8}(?=[.>])/, ""));
      return [`${metric.Namespace}/${metric.MetricName}`, ...values].join(" ");
    });
  };

  it.each([
    ["dead letters", "dead-letters", 1, "ClavexNextcloud/JobsParked pipeline test"],
    [
      "messages in the dead-letter queue",
      "dead-letter-queue",
      1,
      "AWS/SQS/ApproximateNumberOfMessagesVisible <JobsDeadLetters.QueueName>",
    ],
    ["a job that fails for 30 minutes", "late-jobs", 1800, "ClavexNextcloud/JobAge pipeline test"],
    ["a job that nobody takes", "jobs-not-taken", 7200, "AWS/SQS/ApproximateAgeOfOldestMessage <JobsQueue.QueueName>"],
    ["configuration errors", "configuration-errors", 1, "ClavexNextcloud/ConfigurationErrors pipeline test"],
    ["unexpected errors", "unexpected-errors", 1, "ClavexNextcloud/UnexpectedErrors pipeline test"],
    ["5xx answers", "receiver-errors", 1, "AWS/ApiGateway/5xx <EndpointApi>"],
    ["429 answers", "throttled-deliveries", 1, "ClavexNextcloud/DeliveriesThrottled-test"],
    ["wrong signatures", "signature-failures", 3, "ClavexNextcloud/SignatureFailures pipeline test"],
    ["malformed deliveries", "malformed-deliveries", 1, "ClavexNextcloud/DeliveriesMalformed pipeline test"],
    ["the brake", "brake", 1, "ClavexNextcloud/BrakeHeld pipeline test"],
    ["people who stay in groups", "leaves-held", 1, "ClavexNextcloud/LeavesHeld pipeline test"],
    ["many departures within a day", "daily-deprovisions", 1, "ClavexNextcloud/DeprovisionsOverDaily pipeline test"],
    ["access that cannot be taken away", "revokes-refused", 1, "ClavexNextcloud/RevokesOutstanding pipeline test"],
    ["leavers who can still log in", "leavers-still-enabled", 1, "ClavexNextcloud/LeaversStillEnabled pipeline test"],
    ["failing reconciliation", "reconcile-failures", 1, "ClavexNextcloud/ReconcileFailures pipeline test"],
    ["no reconciliation", "no-reconciliation", 7200, "ClavexNextcloud/ReconcileAge pipeline test"],
    ["a crashing receiver", "crashes-receive", 1, "AWS/Lambda/Errors <FunctionsReceiveFunction>"],
    ["a crashing worker", "crashes-provision", 1, "AWS/Lambda/Errors <FunctionsProvisionFunction>"],
    ["a crashing reconciliation", "crashes-reconcile", 1, "AWS/Lambda/Errors <FunctionsReconcileFunction>"],
    ["a crashing replay", "crashes-replay", 1, "AWS/Lambda/Errors <FunctionsReplayFunction>"],
  ])("raises an alarm for %s", (_what, name, threshold, metric) => {
    expect(watched(name)).toEqual([metric]);
    expect(alarm(name)).toMatchObject({
      Threshold: threshold,
      ComparisonOperator: "GreaterThanOrEqualToThreshold",
      TreatMissingData: "notBreaching",
    });
  });

  it("raises an alarm when the schedule does not come, which is silence", () => {
    expect(watched("no-ticks")).toEqual(["ClavexNextcloud/Ticks pipeline test"]);
    expect(alarm("no-ticks")).toMatchObject({
      Threshold: 1,
      ComparisonOperator: "LessThanThreshold",
      TreatMissingData: "breaching",
    });
  });

  it("counts the deliveries that are answered 429 by the access log", () => {
    template.hasResourceProperties("AWS::Logs::MetricFilter", {
      FilterPattern: '{ $.status = "429" }',
      MetricTransformations: [
        { MetricNamespace: "ClavexNextcloud", MetricName: "DeliveriesThrottled-test", MetricValue: "1" },
      ],
    });
  });

  it("sends every alarm, and its end, to the topic, with a sentence on what to do", () => {
    const [topic] = Object.entries(resources(template)).find(([, { Type }]) => Type === "AWS::SNS::Topic") ?? [];
    const alarms = ofType("AWS::CloudWatch::Alarm");
    expect(alarms).toHaveLength(22);
    for (const { Properties } of alarms) {
      expect(Properties.AlarmActions).toEqual([{ Ref: topic }]);
      expect(Properties.OKActions).toEqual([{ Ref: topic }]);
      expect(String(Properties.AlarmDescription).length).toBeGreaterThan(30);
    }
  });

  it("sends e-mail only to an address that was given", () => {
    template.hasResourceProperties("AWS::SNS::Subscription", { Protocol: "email", Endpoint: "admin@acme.example" });
    synthesize().template.resourceCountIs("AWS::SNS::Subscription", 0);
  });

  it("lets CloudWatch publish this stage's alarms", () => {
    const { PolicyDocument } = only("AWS::SNS::TopicPolicy").Properties as {
      PolicyDocument: { Statement: { Sid: string; Condition: { ArnLike: { "aws:SourceArn": unknown } } }[] };
    };
    const statement = PolicyDocument.Statement.find(({ Sid }) => Sid === "PublishAlarms");
    expect(statement).toMatchObject({
      Effect: "Allow",
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Action: "sns:Publish",
      Condition: { StringEquals: { "aws:SourceAccount": { Ref: "AWS::AccountId" } } },
    });
    const arn = readable(statement?.Condition.ArnLike["aws:SourceArn"]);
    const [prefix = ""] = (arn.split(":alarm:")[1] ?? "").split("*");
    for (const { Properties } of ofType("AWS::CloudWatch::Alarm"))
      expect(String(Properties.AlarmName).startsWith(prefix)).toBe(true);
    expect(prefix).toBe("clavex-nextcloud-test-");
  });

  it("refuses alarms that are published without TLS", () => {
    template.hasResourceProperties("AWS::SNS::TopicPolicy", {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: "Deny", Condition: { Bool: { "aws:SecureTransport": "false" } } }),
        ]),
      },
    });
  });

  it("has one dashboard: is it working, what is late, what is refused, and why", () => {
    const body = readable(only("AWS::CloudWatch::Dashboard").Properties.DashboardBody);
    for (const question of ["Is it working?", "What is late?", "What is refused?", "Why, and what to do"])
      expect(body).toContain(question);
  });
});

describe("the stack", () => {
  it("has the outputs that the CLI and an admin need", () => {
    expect(Object.keys(template.toJSON().Outputs).sort()).toEqual([
      "AlarmTopic",
      "DashboardUrl",
      "DeadLetterQueueUrl",
      "LogGroups",
      "ProvisionFunction",
      "QueueUrl",
      "ReceiveFunction",
      "ReconcileFunction",
      "ReplayFunction",
      "StartsPaused",
      "TableName",
      "WebhookBaseUrl",
      "WebhookUrlacme",
      "WebhookUrlnorthDashwind",
    ]);
    const { Value } = template.toJSON().Outputs.WebhookUrlnorthDashwind;
    expect(readable(Value)).toMatch(/^<EndpointApi\w+\.ApiEndpoint>\/webhooks\/clavex\/north-wind$/);
  });

  it("links to the dashboard in the console of the partition that it is deployed to", () => {
    const { Mappings, Outputs } = template.toJSON();
    expect(Mappings.Console).toMatchObject({
      aws: { domain: "console.aws.amazon.com" },
      "aws-cn": { domain: "console.amazonaws.cn" },
      "aws-us-gov": { domain: "console.amazonaws-us-gov.com" },
    });
    expect(JSON.stringify(Outputs.DashboardUrl.Value)).toContain(
      JSON.stringify({ "Fn::FindInMap": ["Console", { Ref: "AWS::Partition" }, "domain"] }),
    );
    // All regions of an account share the names of dashboards.
    const { DashboardName } = only("AWS::CloudWatch::Dashboard").Properties;
    expect(readable(DashboardName)).toBe(`${stackName("test")}-<AWS::Region>`);
    expect(JSON.stringify(Outputs.DashboardUrl.Value)).toContain(
      `#dashboards/dashboard/${stackName("test")}-",${JSON.stringify({ Ref: "AWS::Region" })}`,
    );
  });

  it("has the name by which the CLI looks for it", () => {
    expect(stack.stackName).toBe(stackName("test"));
  });

  it("says in tags and description what it is", () => {
    expect(template.toJSON().Description).toBe(
      "clavex-nextcloud, stage test: provisions Nextcloud accounts from Clavex",
    );
    const tags = [
      { Key: "application", Value: "clavex-nextcloud" },
      { Key: "stage", Value: "test" },
    ];
    for (const type of ["AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::DynamoDB::Table"])
      template.allResourcesProperties(type, { Tags: Match.arrayWith(tags) });
  });

  it("holds no secret, and nothing but the aws/ssm key decrypts those in SSM", () => {
    template.resourceCountIs("AWS::SecretsManager::Secret", 0);
    template.resourceCountIs("AWS::KMS::Key", 0);
    for (const { Properties } of ofType("AWS::SSM::Parameter")) expect(Properties.Type).toBe("String");
  });
});

describe("AwsSolutions", () => {
  const { assembly } = synthesize({ organizations });
  const { pluginReports } = JSON.parse(readFileSync(`${assembly}/validation-report.json`, "utf8")) as {
    pluginReports: {
      pluginName: string;
      violations: unknown[];
      suppressedViolations: { acknowledgedId: string; reason: string }[];
    }[];
  };
  const nag = pluginReports.find(({ pluginName }) => pluginName === "AwsSolutions");

  it("finds nothing that is not acknowledged", () => {
    expect(nag?.violations).toEqual([]);
  });

  it("has just these acknowledgements, each with a reason", () => {
    const parameter = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter/clavex-nextcloud/test";
    const acknowledged = new Map(
      nag?.suppressedViolations.map(({ acknowledgedId, reason }) => [acknowledgedId, reason]),
    );
    expect([...acknowledged.keys()].sort()).toEqual([
      "AwsSolutions::AwsSolutions-APIG4",
      "AwsSolutions::AwsSolutions-IAM5[Resource::*]",
      `AwsSolutions::AwsSolutions-IAM5[Resource::${parameter}/organizations/*]`,
      `AwsSolutions::AwsSolutions-IAM5[Resource::${parameter}/secrets/*/api/*]`,
      `AwsSolutions::AwsSolutions-IAM5[Resource::${parameter}/secrets/*/webhook/*]`,
    ]);
    for (const reason of acknowledged.values()) expect(reason.length).toBeGreaterThan(40);
  });
});
