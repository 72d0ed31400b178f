import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { DescribeTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { InvokeCommand, LambdaClient, UpdateFunctionConfigurationCommand } from "@aws-sdk/client-lambda";
import { GetQueueAttributesCommand, type QueueAttributeName, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { OUTPUTS, stackName } from "../../functions/config/deployment.ts";
import { accountId } from "../../functions/core/identity.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import {
  type ClavexUser,
  DEFAULT_ORGANIZATION,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { FUNCTIONS } from "../../infra/bundling.ts";
import { tickName } from "../../infra/schedules.ts";
import { blocksBelow, commandsOf } from "../support/page.ts";
import { until } from "../support/processes.ts";
import { type Checkout, type Done, makeCheckout } from "./checkout.ts";
import { ACCOUNT, type Emulator, freePort, REGION, startEmulator } from "./emulator.ts";
import { toolsFor } from "./tools.ts";

const PAGE = "docs/deploy.md";
const GITHUB_PAGE = "docs/github-actions.md";
const STAGE = "prod";
const SLUG = DEFAULT_ORGANIZATION.slug;
const GB = 1024 ** 3;
const WEBHOOK_SECRET = "a-webhook-secret-that-protects-nothing";
const IDENTITY = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;

/** What the bootstrap makes for uploads. Its policy refuses requests without TLS, which the emulator does not speak. */
const BUCKET = `cdk-hnb659fds-assets-${ACCOUNT}-${REGION}`;

/** Lines of the pages that are not run: what they fetch is there, and CI runs the tests anyway. */
const NOT_RUN = /^(?:git pull && )?npm (?:ci|test|run check)$/;
/** Above what a job waits for its next attempt during an outage's first hour. */
const LONGEST_WAIT_MS = 120_000;

/** Commands that may end with another exit code than 0: differences were found, and the simulators are not https. */
const CODES: [RegExp, number[]][] = [
  [/ plan /, [2]],
  [/ doctor /, [0, 1]],
];

/** `wanted` by `npm run test:deploy`; `required` by CI. */
const tools = await toolsFor(process.env.CLAVEX_NEXTCLOUD_DEPLOY_TEST);
if ("missing" in tools)
  console.log(`The stack is not deployed into an emulator of AWS here: that takes ${tools.missing}.`);

describe.skipIf("missing" in tools)("a stage, deployed into an emulator of AWS", { timeout: 600_000 }, () => {
  const bin = "bin" in tools ? tools.bin : "";
  const folder = mkdtempSync(join(tmpdir(), "clavex-nextcloud-emulator-"));
  let clavex: SimulatedClavex;
  let nextcloud: SimulatedNextcloud;
  let emulator: Emulator;
  let checkout: Checkout;
  let clients: ReturnType<typeof clientsOf>;
  let there: ClavexUser[];
  let outputs: Map<string, string>;
  let during: ClavexUser | undefined;
  let linted: Promise<Done>;
  /** The organization's file, as the page shows it. */
  let organization = "";

  beforeAll(async () => {
    [clavex, nextcloud] = await Promise.all([
      startSimulatedClavex({ webhookSecret: WEBHOOK_SECRET }),
      startSimulatedNextcloud(),
    ]);
    there = [person(), person(), person()];
    emulator = await startEmulator({ bin, folder, port: await freePort() });
    checkout = makeCheckout(bin, {
      ...emulator.environment,
      // What setup would ask for.
      CLAVEX_ADMIN_TOKEN: clavex.adminToken,
      NEXTCLOUD_APP_PASSWORD: nextcloud.password,
    });
    clients = clientsOf(emulator);
  });

  afterAll(async () => {
    checkout?.remove();
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([clavex?.close(), nextcloud?.close()]);
  });

  const person = (): ClavexUser =>
    clavex.addUser(SLUG, {
      id: randomUUID(),
      email: `${randomUUID()}@acme.example`,
      first_name: "Ada",
      last_name: "Lovelace",
    });
  const account = ({ id }: { id: string }) => nextcloud.user(accountId(IDENTITY, id));
  /** Waits for something to happen in the stage; if it does not, the functions' logs tell why. */
  const happens = async <T>(what: string, ask: () => T | Promise<T>, wanted: (value: T) => boolean): Promise<T> => {
    const end = performance.now() + LONGEST_WAIT_MS;
    const last = await until(ask, (value) => wanted(value) || performance.now() > end);
    if (wanted(last)) return last;
    const lines = (await Promise.all(FUNCTIONS.map(linesOf))).flat().map((line) => JSON.stringify(line));
    throw new Error(`${what}: not within ${LONGEST_WAIT_MS / 1000} s\n${lines.slice(-30).join("\n")}`);
  };
  const hasAccount = (user: { id: string }) =>
    happens(`an account for ${user.id}`, () => account(user)?.enabled === true, Boolean);
  const readOutputs = async () => {
    const { Stacks = [] } = await clients.cloudFormation.send(
      new DescribeStacksCommand({ StackName: stackName(STAGE) }),
    );
    return new Map(Stacks[0]?.Outputs?.map(({ OutputKey = "", OutputValue = "" }) => [OutputKey, OutputValue]));
  };
  const output = (name: string): string => outputs.get(name) ?? "";
  const invoke = async (name: string, payload: unknown) => {
    const Payload = JSON.stringify(payload);
    const answer = await clients.lambda.send(
      new InvokeCommand({ FunctionName: `${stackName(STAGE)}-${name}`, Payload }),
    );
    expect(answer.FunctionError).toBeUndefined();
    return JSON.parse(new TextDecoder().decode(answer.Payload) || "null") as unknown;
  };

  /** Does what the schedule does every minute: starts its target with its input. */
  const tick = async () => {
    const { stdout } = await run(`aws scheduler get-schedule --name ${tickName(STAGE)} --output json`);
    const { Target } = JSON.parse(stdout) as { Target: { Arn: string; Input: string } };
    expect(Target.Arn).toMatch(/:function:clavex-nextcloud-prod-reconcile$/);
    expect(await invoke("reconcile", JSON.parse(Target.Input))).toBeNull();
  };

  /** Posts a signed delivery to the HTTP API, under the name that the stack's output gives it. */
  const deliver = async (user: ClavexUser, event = "user.created", secret = WEBHOOK_SECRET) => {
    const url = new URL(output(`WebhookUrl${SLUG}`));
    const body = JSON.stringify(clavex.delivery(event, user));
    const { statusCode, body: answer } = await request(`${emulator.url}${url.pathname}`, {
      method: "POST",
      headers: {
        host: url.host,
        "content-type": "application/json",
        [SIGNATURE_HEADER]: sign(Buffer.from(body), secret),
      },
      body,
    });
    return { status: statusCode, answer: await answer.text() };
  };

  /** What a function has logged: its lines of JSON. */
  const linesOf = async (name: string): Promise<{ message?: string; group?: string }[]> => {
    const logGroupName = `/clavex-nextcloud/${STAGE}/${name}`;
    const { events = [] } = await clients.logs.send(new FilterLogEventsCommand({ logGroupName }));
    return events.flatMap(({ message = "" }) => (message.startsWith("{") ? [JSON.parse(message)] : []));
  };

  /** How many messages a queue holds, those that are at work or wait for their next attempt included. */
  const waiting = async (QueueUrl: string): Promise<number> => {
    const AttributeNames: QueueAttributeName[] = [
      "ApproximateNumberOfMessages",
      "ApproximateNumberOfMessagesNotVisible",
    ];
    const { Attributes = {} } = await clients.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
    return AttributeNames.reduce((sum, name) => sum + Number(Attributes[name]), 0);
  };

  /** What `cdk destroy` must not take along. */
  const kept = async () => {
    const { Table } = await clients.dynamodb.send(new DescribeTableCommand({ TableName: output(OUTPUTS.tableName) }));
    const path = `/clavex-nextcloud/${STAGE}/secrets/`;
    const { stdout } = await run(
      `aws ssm get-parameters-by-path --recursive --path ${path} --query 'length(Parameters)'`,
    );
    return {
      table: Table?.TableName,
      secrets: Number(stdout),
      deadLetters: await waiting(output(OUTPUTS.deadLetterQueueUrl)),
    };
  };

  /** What is typed in where a command of the page asks for a secret. */
  const secretFor = (line: string): string => {
    const secrets = {
      "clavex-api-key": DEFAULT_ORGANIZATION.apiKey,
      "nextcloud-app-password": nextcloud.password,
      primary: WEBHOOK_SECRET,
    };
    const [, secret = ""] = Object.entries(secrets).find(([name]) => line.endsWith(`/${name}`)) ?? [];
    return `${secret}\n`;
  };

  const run = async (line: string, codes: number[] = [0], more: Record<string, string> = {}) => {
    const done = await checkout.run(line, secretFor(line), more);
    expect(codes, `${line}\n${done.output}`).toContain(done.code);
    return done;
  };

  /** Does what a section of the page says: runs its commands and writes the files that it shows. */
  const follow = async (heading: string, before: (line: string) => Promise<void> = async () => undefined) => {
    const ran: (Done & { line: string })[] = [];
    for (const block of blocksBelow(PAGE, heading)) {
      if (block.language === "sh") {
        for (const line of commandsOf(block)) {
          if (NOT_RUN.test(line)) continue;
          await before(line);
          ran.push({ line, ...(await run(line, CODES.find(([each]) => each.test(line))?.[1])) });
        }
        continue;
      }
      const text = block.text
        .replaceAll("https://id.acme.eu", clavex.url)
        .replaceAll("https://nextcloud.acme.eu", nextcloud.url);
      const isOrganization = "slug" in JSON.parse(text);
      if (isOrganization) organization = text;
      checkout.write(isOrganization ? `organizations/${STAGE}/${SLUG}.json` : "cdk.context.json", text);
    }
    return ran;
  };

  test("comes into being by the commands and files of the page, leaves people alone until resume, and provisions them then", async () => {
    const ran = await follow("From nothing to the first person", async (line) => {
      if (line.startsWith("npx cdk deploy")) await run(`aws s3api delete-bucket-policy --bucket ${BUCKET}`);
      if (line.includes(" resume ")) expect(there.filter(account)).toEqual([]);
    });
    expect(ran.find(({ line }) => line.includes(" plan "))?.stdout).toContain(`${SLUG} is paused`);
    outputs = await readOutputs();
    await tick();
    for (const user of there) await hasAccount(user);
    // Beside the other tests, on another core.
    // W3005: CDK writes a dependency down beside a reference that means the same.
    linted = checkout.run("cp cdk.out/unchanged.json . && cfn-lint unchanged.json --ignore-checks W3005");
  });

  test("provisions a person by a signed delivery to the HTTP API, with IAM enforced", async () => {
    const user = person();
    expect(await deliver(user)).toEqual({ status: 202, answer: '{"status":"queued"}' });
    await hasAccount(user);
    expect(await deliver(user, "user.updated", "another-secret-of-thirty-two-characters")).toMatchObject({
      status: 401,
    });
    const activity = `npx clavex-nextcloud activity --user ${user.id} --json --stage ${STAGE}`;
    const events = await happens(
      "what was done for the person, in the functions' logs",
      async () => (await run(activity)).stdout.split("\n").flatMap((line) => (line ? [JSON.parse(line)] : [])),
      (found) => found.length >= 2,
    );
    expect(events).toMatchObject([
      { kind: "delivery", result: "queued", cause: "user.created", subject: user.id },
      { kind: "job", result: "applied", cause: "user.created", subject: user.id },
    ]);
  });

  test("works with a changed organization file as soon as it is deployed, in functions that are warm", async () => {
    expect(account(there[0] as ClavexUser)?.quota).toBe(5 * GB);
    checkout.write(
      `organizations/${STAGE}/${SLUG}.json`,
      organization.replace('"default": "5 GB"', '"default": "7 GB"'),
    );
    await follow("Change an organization");
    for (const each of there)
      await happens(
        "the new quota",
        () => account(each)?.quota,
        (quota) => quota === 7 * GB,
      );
  });

  test("parks whom Nextcloud refuses, and the replay function brings them back when the cause is gone", async () => {
    const refused = person();
    const long = clavex.updateUser(SLUG, refused.id, { last_name: "x".repeat(300) });
    expect(await deliver(long, "user.updated")).toMatchObject({ status: 202 });
    const list = () => run(`npx clavex-nextcloud dead-letters list --json --stage ${STAGE}`, [0, 2]);
    const [letter] = await happens(
      "a dead letter",
      async () => JSON.parse((await list()).stdout) as { subject: string; reason: string }[],
      (letters) => letters.length > 0,
    );
    expect(letter).toMatchObject({ subject: refused.id, reason: "profile-refused" });
    clavex.updateUser(SLUG, refused.id, { last_name: "Lovelace" });
    expect(await invoke("replay", {})).toMatchObject({ done: 1, stayed: [] });
    await hasAccount(refused);
  });

  test("finds by a scheduled run whom no webhook reported", async () => {
    const quiet = person();
    // The last full run was long ago: what the schedule sends every minute starts one.
    await createLedger(dynamoDbTable(clients.dynamodb, output(OUTPUTS.tableName))).runs.put(SLUG, "full", {
      beganAt: 0,
    });
    await tick();
    await hasAccount(quiet);
  });

  test("goes on beside a message that nobody can read, and through an outage of Nextcloud", async () => {
    const QueueUrl = output(OUTPUTS.queueUrl);
    const poison = { MessageBody: "not a job", MessageGroupId: "poison", MessageDeduplicationId: randomUUID() };
    // A job of the run before that met the outage would open the circuit, and nobody's new job would be tried.
    await happens(
      "an empty queue",
      () => waiting(QueueUrl),
      (messages) => messages === 0,
    );
    await clients.sqs.send(new SendMessageCommand({ QueueUrl, ...poison }));
    await nextcloud.down();
    during = person();
    const groups = ["poison", `${SLUG}#${during.id}`];
    expect(await deliver(during)).toMatchObject({ status: 202 });
    await happens(
      "a failure of both jobs",
      () => linesOf("provision"),
      (lines) => groups.every((group) => lines.some((line) => line.message === "job failed" && line.group === group)),
    );
    await nextcloud.up();
    // Other containers, which do not keep away from Nextcloud for a minute: the job comes back by itself, and a later test looks.
    const FunctionName = `${stackName(STAGE)}-provision`;
    await clients.lambda.send(new UpdateFunctionConfigurationCommand({ FunctionName, Description: "replaced" }));
  });

  test("is upgraded by what the workflow of docs/github-actions.md does, with no right but its role's", async () => {
    for (const block of blocksBelow(GITHUB_PAGE, "Once per account"))
      if (!block.text.includes("cdk bootstrap")) await run(block.text);
    const assume = (environment: string) =>
      checkout.run(
        `aws sts assume-role-with-web-identity --role-arn arn:aws:iam::${ACCOUNT}:role/clavex-nextcloud-deploy --role-session-name test --query Credentials --web-identity-token ${tokenOfGitHub(environment)}`,
      );
    const [refused, trusted] = await Promise.all([assume("staging"), assume("production")]);
    expect(refused.output).toContain("AccessDenied");
    const { AccessKeyId, SecretAccessKey, SessionToken } = JSON.parse(trusted.stdout);
    const role = {
      AWS_ACCESS_KEY_ID: AccessKeyId,
      AWS_SECRET_ACCESS_KEY: SecretAccessKey,
      AWS_SESSION_TOKEN: SessionToken,
    };
    const [workflow] = blocksBelow(GITHUB_PAGE, "The workflow");
    const lines = [...(workflow?.text.matchAll(/^ *- run: (.*)$/gm) ?? [])].map(([, line = ""]) => line);
    expect(lines.some((line) => line.startsWith("npx cdk deploy"))).toBe(true);
    for (const line of lines) if (!NOT_RUN.test(line)) await run(line, [0], role);
    const upgrade = blocksBelow(PAGE, "Upgrade, and roll back").flatMap(commandsOf);
    const diff = upgrade.find((line) => line.startsWith("npx cdk diff")) ?? expect.fail("the page shows no difference");
    expect((await run(diff)).output).toMatch(/Number of stacks with differences: 0/);
  });

  test("has a template in which cfn-lint finds nothing", async () => {
    const { code, output: found } = await linted;
    expect([code, found]).toEqual([0, ""]);
  });

  test("touches nobody between pause and resume, and finds them then", async () => {
    await run(`npx clavex-nextcloud pause --stage ${STAGE}`);
    const user = person();
    expect(await deliver(user)).toMatchObject({ status: 202, answer: expect.stringContaining("paused") });
    await tick();
    expect(account(user)).toBeUndefined();
    await run(`npx clavex-nextcloud resume --stage ${STAGE}`);
    await tick();
    await hasAccount(user);
  });

  test("has the outcome of the outage: nothing is lost, and the message that nobody can read waits", async () => {
    if (!during) throw new Error("the outage did not happen");
    await hasAccount(during);
    await happens(
      "a queue with the unreadable message alone",
      () => waiting(output(OUTPUTS.queueUrl)),
      (messages) => messages === 1,
    );
  });

  test("leaves the ledger, the dead-letter queue and the secrets when it is removed", async () => {
    const before = await kept();
    expect(before).toMatchObject({ table: "clavex-nextcloud-prod-ledger", secrets: 3, deadLetters: 0 });
    await follow("Remove");
    await expect(readOutputs()).rejects.toThrow(/does not exist/);
    expect(await kept()).toEqual(before);
  });

  test("leaves nothing when everything is removed", async () => {
    // The emulator creates a kept table again, empty, when a stack is deployed over it.
    await follow("Remove everything");
    await expect(kept()).rejects.toThrow(/ResourceNotFound|not exist|not found/i);
  });
});

/** A token as GitHub gives one to a run in this environment of the repository; the emulator reads it and checks no signature. */
function tokenOfGitHub(environment: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    iss: "https://token.actions.githubusercontent.com",
    aud: "sts.amazonaws.com",
    sub: `repo:YOUR-ORG/YOUR-REPO:environment:${environment}`,
  };
  return `${part({ alg: "RS256" })}.${part(claims)}.${Buffer.from("unsigned").toString("base64url")}`;
}

function clientsOf({ url, environment }: Emulator) {
  const options = {
    endpoint: url,
    region: environment.AWS_REGION ?? "",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  };
  return {
    cloudFormation: new CloudFormationClient(options),
    dynamodb: new DynamoDBClient(options),
    lambda: new LambdaClient(options),
    logs: new CloudWatchLogsClient(options),
    sqs: new SQSClient(options),
  };
}
