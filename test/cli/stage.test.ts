import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { personJob } from "../support/jobs.ts";
import { type Logs, startLogs } from "../support/logs.ts";
import { run } from "../support/processes.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";
import { runInTerminal } from "../support/terminal.ts";

const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const ORGANIZATION = {
  slug: "acme",
  organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  clavex: { baseUrl: "https://id.acme.eu", webhookSecrets: ["ssm:primary"], apiKey: "ssm:key" },
  nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "ssm:password" },
  identity: { providerId: 1 },
};

describe("clavex-nextcloud --stage", () => {
  let embedded: Embedded;
  let ssm: ParameterStore;
  let logs: Logs;
  let cloudFormation: Server;
  let environment: Record<string, string>;

  beforeAll(async () => {
    embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
    ssm = await startParameterStore();
    logs = await startLogs();
    ssm.put("/clavex-nextcloud/dev/organizations/acme", JSON.stringify(ORGANIZATION), "String");
    const { queueUrl, deadLetterQueueUrl, tableName } = embedded.endpoints;
    // The embedded queue's URLs have a host name that is none; on AWS the URL leads to the queue.
    const reachable = (url: string) => `${embedded.endpoints.sqs}${/\/\d+\/.*$/.exec(url)?.[0]}`;
    const outputs = {
      QueueUrl: reachable(queueUrl),
      DeadLetterQueueUrl: reachable(deadLetterQueueUrl),
      TableName: tableName,
      LogGroups: "/clavex-nextcloud/dev/receive,/clavex-nextcloud/dev/provision",
    };
    cloudFormation = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      request.on("end", () => {
        const known = /^clavex-nextcloud-(?:dev|empty)$/.test(new URLSearchParams(body).get("StackName") ?? "");
        response.writeHead(known ? 200 : 400, { "content-type": "text/xml" });
        response.end(known ? describeStacks(outputs) : noStack());
      });
    });
    await new Promise<void>((resolve) => cloudFormation.listen(0, "127.0.0.1", resolve));
    environment = {
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_ENDPOINT_URL_CLOUDFORMATION: `http://127.0.0.1:${(cloudFormation.address() as AddressInfo).port}`,
      AWS_ENDPOINT_URL_SSM: ssm.url,
      AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: logs.url,
      AWS_ENDPOINT_URL_SQS: embedded.endpoints.sqs,
      AWS_ENDPOINT_URL_DYNAMODB: embedded.endpoints.dynamodb,
    };
    const ledger = createLedger(dynamoDbTable(embedded.clients.dynamodb, tableName));
    await ledger.deadLetters.park({
      organization: "acme",
      subject: SUBJECT,
      job: personJob("acme", SUBJECT),
      reason: "account-conflict",
      message: "account belongs to somebody else",
      attempts: 1,
      lastAt: 1_785_000_000_000,
    });
  });

  afterAll(async () => {
    await new Promise((resolve) => cloudFormation.close(resolve));
    await ssm.close();
    await logs.close();
    await embedded.stop();
  });

  const command = async (args: string[], variables: Record<string, string> = environment) => {
    const program = run("functions/cli/main.ts", args, variables);
    return { code: await program.ended, output: program.output() };
  };

  test("finds queue, table and organizations by the stage's name alone", async () => {
    const { code, output } = await command(["dead-letters", "list", "--stage", "dev"]);
    expect(output).toContain(SUBJECT);
    expect(output).toContain("account-conflict");
    expect(code).toBe(2);
  });

  test("status reads the stage's table and queue alone, and names the stage in what to do", async () => {
    const { code, stdout } = await runInTerminal(["status", "--stage", "dev"], { environment });
    expect(stdout).toMatch(/^1 person was refused by Nextcloud\.\n\nacme\n/);
    expect(stdout).toContain("  jobs of all  none\n");
    expect(stdout).toMatch(/ {4}npx clavex-nextcloud dead-letters list --stage dev --organization acme\n/);
    expect(logs.asked).toEqual([]);
    expect(code).toBe(2);
  });

  test("console serves the stage's pages on this machine until Ctrl-C", async () => {
    const program = run("functions/cli/main.ts", ["console", "--stage", "dev"], environment);
    const [link] = await program.printed(/http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}/);
    const entered = await fetch(link, { redirect: "manual" });
    const cookie = entered.headers.get("set-cookie")?.split(";")[0] ?? "";
    const get = async (path: string) => (await fetch(new URL(path, link), { headers: { cookie } })).text();
    const status = await get("/");
    expect(status).toContain("stage dev");
    expect(status).toContain("Jobs of all organizations: none");
    expect(status).toContain("npx clavex-nextcloud dead-letters list --stage dev --organization acme");
    expect(await get("/dead-letters")).toContain("account belongs to somebody else");
    program.kill("SIGINT");
    expect(await program.ended).toBe(130);
  });

  test("activity reads the logs of the stage's functions", async () => {
    const line = { level: "INFO", message: "job", organization: "acme", subject: SUBJECT, trigger: "manual" };
    logs.put("/clavex-nextcloud/dev/provision", Date.now() - 5_000, { ...line, result: "unchanged", operations: [] });
    const { code, stdout } = await runInTerminal(["activity", "--stage", "dev"], { environment });
    expect(stdout).toMatch(new RegExp(`Z {2}unchanged {2}${SUBJECT} {2}manual {2}in sync already\\n$`));
    expect(code).toBe(0);
  });

  test("sends a job to the stage's queue", async () => {
    const { code, output } = await command([
      "provision",
      "--stage",
      "dev",
      "--organization",
      "acme",
      "--user",
      SUBJECT,
    ]);
    expect(output).toMatch(/^Queued\./);
    expect(code).toBe(0);
  });

  test("says that there is no such stack, and how to deploy one", async () => {
    const { code, output } = await command(["dead-letters", "list", "--stage", "prod"]);
    expect(output).toMatch(/there is no stack clavex-nextcloud-prod .*"npx cdk deploy -c stage=prod"/);
    expect(code).toBe(1);
  });

  test.each([
    ["doctor", "--stage", "nope"],
    ["plan", "--stage", "nope"],
    ["resume", "--stage", "nope", "--yes"],
    ["send", "user.created", "--organization", "acme", "--stage", "nope"],
  ])("%s of a stage that there is none of says so, and is a failure", async (...args) => {
    const { code, output } = await command(args);
    expect(output).toMatch(/^there is no stack clavex-nextcloud-nope .*\n$/);
    expect(code).toBe(1);
  });

  test.each([
    "doctor",
    "plan",
    "reconcile",
    "pause",
    "resume",
  ])("%s of a stage without organizations says so, and is a failure", async (name) => {
    expect(await command([name, "--stage", "empty"])).toEqual({
      code: 1,
      output: expect.stringMatching(/^there is no organization yet: [^\n]*deploy it[^\n]*\n$/),
    });
  });

  test.each([
    ["dead-letters", "list", "--stage", "dev"],
    ["doctor", "--stage", "dev"],
    ["send", "user.created", "--organization", "acme", "--stage", "dev"],
    ["setup", "--stage", "dev", "--organization", "acme"],
  ])("%s without credentials, or without a region, says that in one sentence", async (...args) => {
    const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...anonymous } = environment;
    const nobody = { ...anonymous, AWS_EC2_METADATA_DISABLED: "true", HOME: "/nonexistent" };
    expect(await command(args, nobody)).toEqual({
      code: 1,
      output: expect.stringMatching(/^there are no AWS credentials: [^\n]*\n$/),
    });
    const { AWS_REGION: _region, ...nowhere } = environment;
    expect(await command(args, { ...nowhere, HOME: "/nonexistent" })).toEqual({
      code: 1,
      output: expect.stringMatching(/^there is no AWS region: [^\n]*\n$/),
    });
  });

  test("doctor's fixes name the stage", async () => {
    const { output } = await command(["doctor", "--stage", "dev"]);
    expect(output).toContain("npx clavex-nextcloud dead-letters list --stage dev --organization acme");
  });

  test("pauses, says how to go on with the stage in the command, and resumes", async () => {
    expect(await command(["pause", "--stage", "dev", "--yes"])).toMatchObject({
      code: 0,
      output: expect.stringMatching(/\nPaused\.\n$/),
    });
    expect(await command(["reconcile", "--stage", "dev"])).toEqual({
      code: 1,
      output:
        "acme: nothing was done: it is paused. Look at npx clavex-nextcloud plan --stage dev, then: npx clavex-nextcloud resume --stage dev --organization acme\n",
    });
    expect(await command(["resume", "--stage", "dev", "--yes"])).toMatchObject({
      code: 0,
      output: expect.stringMatching(/\nResumed\.\n$/),
    });
  });
});

function describeStacks(outputs: Record<string, string>): string {
  const members = Object.entries(outputs).map(
    ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
  );
  return `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
    <StackName>clavex-nextcloud-dev</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>
    <Outputs>${members.join("")}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`;
}

function noStack(): string {
  return `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type>
    <Code>ValidationError</Code><Message>Stack with id does not exist</Message></Error></ErrorResponse>`;
}
