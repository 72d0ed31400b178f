import { randomUUID } from "node:crypto";
import {
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aboutWhom, eventOf, type Job, type PersonJob } from "../../functions/core/job.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { parseJob } from "../../functions/queue/parse-job.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../../functions/queue/sqs.ts";
import { createDeadLetters, type DeadLetters, type Filter } from "../../functions/replay/dead-letters.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { personJob, webhookTrigger } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";

const BEGIN = Date.UTC(2026, 6, 23, 8);
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Queues and a ledger of their own, and the dead letters in them. */
interface Bench {
  embedded: Embedded;
  ledger: Ledger;
  clock: { now: number };
  deadLetters: DeadLetters;
  /** Parks a job in the ledger, as the worker does. */
  park(fields?: Partial<Parked>): Promise<string>;
  /** Puts a message into the SQS dead-letter queue, as SQS does after the last attempt. */
  giveUp(fields?: { organization?: string; subject?: string; event?: string; body?: string }): Promise<string>;
  /** Takes all jobs out of the job queue, in order. */
  takeJobs(): Promise<Job[]>;
}

interface Parked {
  organization: string;
  subject: string;
  event: string;
  reason: string;
  lastAt: number;
}

function jobOf(organization: string, subject: string, event: string): Job {
  return personJob(organization, subject, webhookTrigger(event));
}

function benchOf(embedded: Embedded, replace: { ledger?: Partial<Ledger>; sqs?: Pick<SQSClient, "send"> } = {}): Bench {
  const { clients, endpoints } = embedded;
  const { queueUrl, deadLetterQueueUrl } = endpoints;
  const ledger = { ...createLedger(dynamoDbTable(clients.dynamodb, endpoints.tableName)), ...replace.ledger };
  const clock = { now: BEGIN };
  return {
    embedded,
    ledger,
    clock,
    deadLetters: createDeadLetters({
      ledger,
      queue: createSqsQueue(clients.sqs, queueUrl),
      deadLetterQueue: createSqsDeadLetterQueue((replace.sqs ?? clients.sqs) as SQSClient, deadLetterQueueUrl),
      slugs: async () => ["acme", "other"],
      now: () => clock.now,
    }),
    async park(fields = {}) {
      const { organization = "acme", subject = randomUUID(), event = "user.created" } = fields;
      const { reason = "profile-refused", lastAt = clock.now } = fields;
      const job = jobOf(organization, subject, event);
      await ledger.deadLetters.park({ organization, subject, job, reason, message: "it says no", attempts: 1, lastAt });
      return subject;
    },
    async giveUp({ organization = "acme", subject = randomUUID(), event = "user.updated", body } = {}) {
      const command = new SendMessageCommand({
        QueueUrl: deadLetterQueueUrl,
        MessageBody: body ?? JSON.stringify(jobOf(organization, subject, event)),
        MessageGroupId: `${organization}#${subject}`,
        MessageDeduplicationId: randomUUID(),
      });
      await clients.sqs.send(command);
      return subject;
    },
    takeJobs: () => takeJobs(embedded),
  };
}

async function takeJobs({ clients: { sqs }, endpoints: { queueUrl: QueueUrl } }: Embedded): Promise<Job[]> {
  const jobs: Job[] = [];
  for (;;) {
    const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
    if (Messages.length === 0) return jobs;
    for (const { Body = "", ReceiptHandle } of Messages) {
      jobs.push(parseJob(Body));
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    }
  }
}

/** Each test has its own queues, so that they can wait for SQS at the same time. */
async function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  try {
    await run(benchOf(embedded));
  } finally {
    await embedded.stop();
  }
}

const subjects = (all: readonly { subject: string }[]): string[] => all.map(({ subject }) => subject).sort();
const subjectsOf = (jobs: readonly Job[]): string[] => jobs.map(aboutWhom).sort();

describe.concurrent("the list of dead letters", () => {
  test("holds the parked jobs and the messages of the SQS dead-letter queue together", () =>
    withBench(async ({ park, giveUp, deadLetters }) => {
      const [parked, given] = [await park(), await giveUp()];
      expect(await deadLetters.list({})).toEqual([
        expect.objectContaining({
          place: "parked",
          organization: "acme",
          subject: parked,
          event: "user.created",
          reason: "profile-refused",
          message: "it says no",
          attempts: 1,
          firstAt: BEGIN,
          lastAt: BEGIN,
          replayedAt: undefined,
          job: expect.objectContaining({
            subject: parked,
            trigger: expect.objectContaining({ event: "user.created" }),
          }),
        }),
        expect.objectContaining({ place: "queue", subject: given, event: "user.updated", reason: "given-up" }),
      ]);
    }));

  test("keeps the first time when a person is refused again, with the newest job and reason", () =>
    withBench(async ({ park, deadLetters }) => {
      const subject = await park();
      await park({ subject, event: "user.updated", reason: "account-conflict", lastAt: BEGIN + MINUTE_MS });
      expect(await deadLetters.list({})).toEqual([
        expect.objectContaining({
          event: "user.updated",
          reason: "account-conflict",
          firstAt: BEGIN,
          lastAt: BEGIN + MINUTE_MS,
        }),
      ]);
    }));

  type Name = "early" | "late" | "other" | "given" | "unreadable";
  const cases: { filter: (id: Record<Name, string>) => Filter; finds: Name[] }[] = [
    { filter: () => ({}), finds: ["early", "late", "other", "given", "unreadable"] },
    { filter: () => ({ organization: "other" }), finds: ["other"] },
    { filter: () => ({ organization: "acme" }), finds: ["early", "late", "given", "unreadable"] },
    { filter: ({ late }) => ({ user: late }), finds: ["late"] },
    { filter: ({ given }) => ({ user: given }), finds: ["given"] },
    { filter: () => ({ event: "user.updated" }), finds: ["late", "given"] },
    { filter: () => ({ reason: "account-conflict" }), finds: ["late", "other"] },
    { filter: () => ({ reason: "given-up" }), finds: ["given"] },
    { filter: () => ({ reason: "job-unreadable" }), finds: ["unreadable"] },
    { filter: () => ({ until: BEGIN - DAY_MS }), finds: ["early"] },
    { filter: () => ({ since: BEGIN - DAY_MS, until: BEGIN }), finds: ["early", "late", "other"] },
    { filter: () => ({ since: BEGIN + 1 }), finds: ["given", "unreadable"] },
    {
      filter: () => ({ organization: "acme", reason: "account-conflict", since: BEGIN, event: "user.updated" }),
      finds: ["late"],
    },
    { filter: ({ late }) => ({ user: late, event: "user.created" }), finds: [] },
  ];
  test.each(cases)("filtered by $filter shows $finds", ({ filter, finds }) =>
    withBench(async ({ park, giveUp, deadLetters }) => {
      const id: Record<Name, string> = {
        early: await park({ lastAt: BEGIN - DAY_MS }),
        late: await park({ event: "user.updated", reason: "account-conflict" }),
        other: await park({ organization: "other", reason: "account-conflict" }),
        given: await giveUp(),
        unreadable: await giveUp({ body: "not a job" }),
      };
      expect(subjects(await deadLetters.list(filter(id)))).toEqual(finds.map((name) => id[name]).sort());
    }));

  test.each([1, 2, 3, 4, 9])("shows at most as many as its limit says: %i", (limit) =>
    withBench(async ({ park, giveUp, deadLetters }) => {
      for (const make of [park, park, giveUp, giveUp]) await make();
      expect(await deadLetters.list({ limit })).toHaveLength(Math.min(limit, 4));
    }));

  test("can be looked at as often as one likes, one after the other, and nothing changes", () =>
    withBench(async ({ park, giveUp, deadLetters, takeJobs: jobs }) => {
      const all = [await park()];
      for (let number = 0; number < 12; number += 1) all.push(await giveUp());
      expect(await deadLetters.list({ limit: 3 })).toHaveLength(3);
      for (let times = 0; times < 3; times += 1) expect(subjects(await deadLetters.list({}))).toEqual([...all].sort());
      expect(await jobs()).toEqual([]);
    }));

  test("shows what is known of a message that cannot be read", () =>
    withBench(async ({ giveUp, deadLetters }) => {
      const subject = await giveUp({ body: JSON.stringify({ version: 99 }) });
      expect(await deadLetters.list({})).toEqual([
        expect.objectContaining({ organization: "acme", subject, reason: "job-unreadable", job: undefined }),
      ]);
    }));
});

describe.concurrent("a replay", () => {
  test("sends every job back as it was, to read the truth again", () =>
    withBench(async ({ ledger, park, giveUp, deadLetters, clock, takeJobs: jobs }) => {
      const [parked, given] = [await park(), await giveUp({ event: "user.deleted" })];
      expect(await deadLetters.replay({})).toEqual({ done: 2, stayed: [], stopped: false });
      const sent = await jobs();
      expect(subjectsOf(sent)).toEqual([parked, given].sort());
      expect(sent.find((job) => aboutWhom(job) === parked)?.trigger).toMatchObject({
        kind: "replay",
        of: { kind: "webhook", event: "user.created" },
      });
      expect(sent.find((job) => aboutWhom(job) === given)?.trigger).toMatchObject({
        kind: "replay",
        of: { kind: "webhook", event: "user.deleted" },
      });
      // The parked one stays until it has succeeded; the other is a job in the queue again and nothing else.
      expect(await ledger.deadLetters.get("acme", parked)).toMatchObject({ replayedAt: clock.now });
      expect(subjects(await deadLetters.list({}))).toEqual([parked]);
    }));

  test("without the change of anything says the same", () =>
    withBench(async ({ park, giveUp, deadLetters, takeJobs: jobs }) => {
      await park();
      await giveUp();
      const unreadable = await giveUp({ body: "{" });
      const before = await deadLetters.list({});
      const dry = await deadLetters.replay({}, { dryRun: true });
      expect(dry).toEqual({
        done: 2,
        stayed: [{ organization: "acme", subject: unreadable, why: expect.stringContaining("cannot be read") }],
        stopped: false,
      });
      expect(await deadLetters.list({})).toEqual(before.map((letter) => ({ ...letter, attempts: expect.any(Number) })));
      expect(await jobs()).toEqual([]);
      expect(await deadLetters.replay({})).toEqual(dry);
      expect(await deadLetters.drop({}, { dryRun: true })).toMatchObject({ done: 2 });
      expect(await deadLetters.list({})).toHaveLength(2);
    }));

  test("does not send one twice that is on its way, unless it cannot be in the queue any more", () =>
    withBench(async ({ park, deadLetters, clock, takeJobs: jobs }) => {
      const subject = await park();
      await deadLetters.replay({});
      expect(await jobs()).toHaveLength(1);
      clock.now += 13 * DAY_MS;
      const way = { organization: "acme", subject, why: "it is on its way already" };
      expect(await deadLetters.replay({})).toEqual({ done: 0, stayed: [way], stopped: false });
      expect(await jobs()).toEqual([]);
      clock.now += DAY_MS;
      expect(await deadLetters.list({})).toEqual([expect.objectContaining({ subject, replayedAt: undefined })]);
      expect(await deadLetters.replay({})).toEqual({ done: 1, stayed: [], stopped: false });
    }));

  test("does not let those on their way use up its limit", () =>
    withBench(async ({ park, deadLetters, takeJobs: jobs }) => {
      const all = [await park(), await park(), await park(), await park(), await park()];
      for (const done of [2, 2, 1, 0]) expect(await deadLetters.replay({ limit: 2 })).toMatchObject({ done });
      expect(subjectsOf(await jobs())).toEqual([...all].sort());
    }));

  test("is not swallowed by the queue when the job was parked anew within five minutes", () =>
    withBench(async ({ park, deadLetters, clock, takeJobs: jobs }) => {
      const subject = await park();
      for (let times = 0; times < 3; times += 1) {
        expect(await deadLetters.replay({})).toMatchObject({ done: 1 });
        expect(subjectsOf(await jobs())).toEqual([subject]);
        clock.now += 1;
        await park({ subject });
      }
    }));

  test("leaves an unreadable message where it is, and it can be dropped", () =>
    withBench(async ({ giveUp, deadLetters, takeJobs: jobs }) => {
      const subject = await giveUp({ body: '{"version":1}' });
      expect(await deadLetters.replay({})).toEqual({
        done: 0,
        stayed: [{ organization: "acme", subject, why: expect.stringContaining("drop it") }],
        stopped: false,
      });
      expect(await deadLetters.list({})).toHaveLength(1);
      expect(await deadLetters.drop({ user: subject })).toEqual({ done: 1, stayed: [], stopped: false });
      expect(await deadLetters.list({})).toEqual([]);
      expect(await jobs()).toEqual([]);
    }));

  test("sends all messages of one person, the oldest first", () =>
    withBench(async ({ giveUp, deadLetters, takeJobs: jobs }) => {
      const subject = await giveUp({ event: "user.created" });
      for (const event of ["user.updated", "user.deleted"]) await giveUp({ subject, event });
      expect(await deadLetters.replay({})).toMatchObject({ done: 3 });
      expect((await jobs()).map(eventOf)).toEqual(["user.created", "user.updated", "user.deleted"]);
    }));

  test.each([
    0, 1, 4, 6, 9, 12,
  ])("that is stopped after %i of 12 loses and doubles nothing when it is resumed", (stop) =>
    withBench(async ({ park, giveUp, deadLetters, takeJobs: jobs }) => {
      const all: string[] = [];
      for (let number = 0; number < 6; number += 1) all.push(await park(), await giveUp());
      const stopping = new AbortController();
      let left = stop;
      if (left === 0) stopping.abort();
      const onProgress = () => {
        left -= 1;
        if (left === 0) stopping.abort();
      };
      const first = await deadLetters.replay({}, { deadline: stopping.signal, onProgress });
      expect(first).toMatchObject({ done: stop, stopped: stop < all.length });
      // Resumed at once: what the first run only held is there again.
      const second = await deadLetters.replay({});
      expect(second).toMatchObject({ done: all.length - stop, stopped: false });
      expect(subjectsOf(await jobs())).toEqual([...all].sort());
    }));

  test("tells how far it is, once for each that was sent", () =>
    withBench(async ({ park, giveUp, deadLetters }) => {
      for (const make of [park, giveUp, park]) await make();
      await giveUp({ body: "unreadable" });
      let progress = 0;
      await deadLetters.replay({}, { onProgress: () => (progress += 1) });
      expect(progress).toBe(3);
    }));
});

describe.concurrent("a replay that dies in the middle of one dead letter", () => {
  test("after the job was sent, but not noted: it is sent once", () =>
    withBench(async ({ embedded, park, takeJobs: jobs }) => {
      const all = [await park(), await park(), await park()];
      let notes = 0;
      const { ledger } = benchOf(embedded);
      const dying = benchOf(embedded, {
        ledger: {
          deadLetters: {
            ...ledger.deadLetters,
            async markReplayed(letter, at) {
              notes += 1;
              if (notes === 2) throw new Error("killed");
              await ledger.deadLetters.markReplayed(letter, at);
            },
          },
        },
      });
      await expect(dying.deadLetters.replay({})).rejects.toThrow("killed");
      expect(await benchOf(embedded).deadLetters.replay({})).toMatchObject({ done: 2 });
      expect(subjectsOf(await jobs())).toEqual([...all].sort());
    }));

  test("after the job was sent, but is still in the dead-letter queue: it is sent once", () =>
    withBench(async ({ embedded, giveUp, deadLetters, takeJobs: jobs }) => {
      const all = [await giveUp(), await giveUp(), await giveUp()];
      let deletions = 0;
      const { sqs } = embedded.clients;
      const brittle = {
        send: (...values: Parameters<SQSClient["send"]>) => {
          if (values[0] instanceof DeleteMessageCommand && ++deletions === 2) throw new Error("killed");
          return sqs.send(...values);
        },
      } as Pick<SQSClient, "send">;
      await expect(benchOf(embedded, { sqs: brittle }).deadLetters.replay({})).rejects.toThrow("killed");
      expect(await deadLetters.replay({})).toMatchObject({ done: 2 });
      expect(await deadLetters.list({})).toEqual([]);
      expect(subjectsOf(await jobs())).toEqual([...all].sort());
    }));
});

describe.concurrent("dropping", () => {
  test("removes what matches from both places, and nothing else", () =>
    withBench(async ({ park, giveUp, deadLetters, takeJobs: jobs }) => {
      await park({ organization: "other" });
      await giveUp({ organization: "other" });
      const kept = [await park(), await giveUp()];
      expect(await deadLetters.drop({ organization: "other" })).toEqual({ done: 2, stayed: [], stopped: false });
      expect(subjects(await deadLetters.list({}))).toEqual([...kept].sort());
      expect(await deadLetters.drop({ limit: 1 })).toMatchObject({ done: 1 });
      expect(await deadLetters.list({})).toHaveLength(1);
      expect(await jobs()).toEqual([]);
    }));

  test("removes one that is on its way", () =>
    withBench(async ({ park, deadLetters }) => {
      await park();
      await deadLetters.replay({});
      expect(await deadLetters.drop({})).toMatchObject({ done: 1 });
      expect(await deadLetters.list({})).toEqual([]);
    }));
});

describe("what comes of a replay", () => {
  const world = useOrganizations();
  let bench: Bench;
  beforeAll(() => {
    bench = benchOf(world.embedded);
  });
  afterAll(async () => {
    const { clients, endpoints } = world.embedded;
    const command = new GetQueueAttributesCommand({ QueueUrl: endpoints.queueUrl, AttributeNames: ["All"] });
    expect((await clients.sqs.send(command)).Attributes).toMatchObject({ ApproximateNumberOfMessages: "0" });
  });

  const TOO_LONG = "x".repeat(300);
  const lettersOf = ({ organization }: Tenant): DeadLetters =>
    createDeadLetters({
      ledger: world.ledger,
      queue: createSqsQueue(world.embedded.clients.sqs, world.embedded.endpoints.queueUrl),
      deadLetterQueue: createSqsDeadLetterQueue(
        world.embedded.clients.sqs,
        world.embedded.endpoints.deadLetterQueueUrl,
      ),
      slugs: async () => [organization.slug],
    });
  /** Replays all dead letters of the organization and works on them. */
  async function replay(tenant: Tenant): Promise<string[]> {
    const summary = await lettersOf(tenant).replay({ organization: tenant.organization.slug });
    const jobs = await takeJobs(world.embedded);
    expect(jobs).toHaveLength(summary.done);
    const results: string[] = [];
    for (const job of jobs) {
      if (job.kind === "groups") throw new Error("only jobs of people were given up");
      results.push((await tenant.provisionNow(job)).result);
    }
    return results;
  }
  const count = async (tenant: Tenant) =>
    (await lettersOf(tenant).list({ organization: tenant.organization.slug })).length;

  test("a person whose data was refused is provisioned after it was corrected, and the list is empty", async () => {
    const tenant = await world.build();
    const ada = tenant.person({ last_name: TOO_LONG });
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({
      result: "parked",
      reason: "profile-refused",
    });
    expect(await replay(tenant)).toEqual(["parked"]);
    expect(await count(tenant)).toBe(1);
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "Lovelace" });
    expect(await replay(tenant)).toEqual(["applied"]);
    expect(await count(tenant)).toBe(0);
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace" });
  });

  test("a newer job that succeeds empties the list without a replay", async () => {
    const tenant = await world.build();
    const ada = tenant.person({ last_name: TOO_LONG });
    await tenant.provisionNow(tenant.webhook(ada, "user.created"));
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "Lovelace" });
    await tenant.bring(ada);
    expect(await count(tenant)).toBe(0);
  });

  test("a person who was deleted since does not come back", async () => {
    const tenant = await world.build();
    const [ada, grace] = [tenant.person({ last_name: TOO_LONG }), tenant.person()];
    tenant.person({ is_active: false });
    await tenant.provisionNow(tenant.webhook(ada, "user.created"));
    await tenant.provisionNow(tenant.webhook(grace, "user.created"));
    await bench.giveUp({
      organization: tenant.organization.slug,
      subject: grace.id,
      body: JSON.stringify(tenant.webhook(grace, "user.created")),
    });
    for (const { id } of [ada, grace]) tenant.clavex.deleteUser(tenant.organization.slug, id);
    await tenant.provisionNow(tenant.webhook(grace, "user.deleted"));
    expect((await replay(tenant)).sort()).toEqual(["unchanged", "unchanged"]);
    expect(tenant.account(ada)).toBeUndefined();
    expect(tenant.account(grace)).toMatchObject({ enabled: false });
    expect(await count(tenant)).toBe(0);
  });

  test("a person who was suspended since stays suspended, and one who left a group stays out of it", async () => {
    const tenant = await world.build();
    const [ada, grace] = [tenant.person(), tenant.person({}, ["eng"])];
    for (const person of [ada, grace]) {
      await tenant.bring(person);
      await bench.giveUp({
        organization: tenant.organization.slug,
        subject: person.id,
        body: JSON.stringify(tenant.webhook(person, "user.created")),
      });
    }
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    tenant.unassign(grace, "eng");
    await tenant.bring(ada);
    await replay(tenant);
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
    expect(tenant.account(grace)).toMatchObject({ enabled: true, groups: [] });
  });

  describe("without an API key", () => {
    const deadMessage = (tenant: Tenant, job: PersonJob): Promise<string> =>
      bench.giveUp({ organization: tenant.organization.slug, subject: job.subject, body: JSON.stringify(job) });

    test("an old user.created brings nobody back who was deleted, whether there was an account or not", async () => {
      const tenant = await world.build({ apiKey: false });
      const [ada, grace] = [tenant.person(), tenant.person()];
      await tenant.provisionNow(tenant.webhook(ada, "user.created"));
      for (const person of [ada, grace]) {
        await deadMessage(tenant, tenant.webhook(person, "user.created"));
        await tenant.provisionNow(tenant.webhook(person, "user.deleted"));
      }
      expect(await replay(tenant)).toEqual(["stale", "stale"]);
      expect(tenant.account(ada)).toMatchObject({ enabled: false });
      expect(tenant.account(grace)).toBeUndefined();
    });

    test("an older snapshot neither enables nor renames", async () => {
      const tenant = await world.build({ apiKey: false });
      const ada = tenant.person();
      const { clavex, organization } = tenant;
      await deadMessage(tenant, tenant.webhook(ada, "user.created"));
      clavex.updateUser(organization.slug, ada.id, { last_name: "Byron" });
      await tenant.provisionNow(tenant.webhook(clavex.updateUser(organization.slug, ada.id, { mfa_required: true })));
      await tenant.provisionNow(tenant.webhook(clavex.suspend(organization.slug, ada.id)));
      expect(await replay(tenant)).toEqual(["stale"]);
      expect(tenant.account(ada)).toMatchObject({ enabled: false, displayName: "Ada Byron" });
    });

    test("a deletion that was given up is believed when it is replayed", async () => {
      const tenant = await world.build({ apiKey: false });
      const ada = tenant.person();
      await tenant.provisionNow(tenant.webhook(ada, "user.created"));
      await deadMessage(tenant, tenant.webhook(ada, "user.deleted"));
      expect(await replay(tenant)).toEqual(["applied"]);
      expect(tenant.account(ada)).toMatchObject({ enabled: false });
    });

    test("an older snapshot that arrives after a refused one does not take its place", async () => {
      const tenant = await world.build({ apiKey: false });
      const { clavex, organization } = tenant;
      const ada = tenant.person();
      const refused = clavex.updateUser(organization.slug, ada.id, { last_name: TOO_LONG });
      expect(await tenant.provisionNow(tenant.webhook(refused))).toMatchObject({ result: "parked" });
      expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "stale" });
      expect(await count(tenant)).toBe(1);
    });

    test("a suspension and a deletion that were refused for a conflict win over older snapshots once it is solved", async () => {
      const tenant = await world.build({ apiKey: false });
      const { clavex, organization, nextcloud } = tenant;
      const [ada, grace] = [tenant.person(), tenant.person()];
      const events = [
        tenant.webhook(clavex.suspend(organization.slug, ada.id)),
        tenant.webhook(clavex.deleteUser(organization.slug, grace.id), "user.deleted"),
        tenant.webhook(ada, "user.created"),
        tenant.webhook(grace, "user.created"),
      ];
      for (const person of [ada, grace]) nextcloud.addLocalUser({ id: tenant.accountId(person) });
      for (const job of events) await tenant.provisionNow(job);
      // The administrator deletes the local accounts that were in the way.
      for (const person of [ada, grace]) {
        await fetch(`${nextcloud.url}/ocs/v2.php/cloud/users/${tenant.accountId(person)}`, {
          method: "DELETE",
          headers: {
            "ocs-apirequest": "true",
            authorization: `Basic ${btoa(`${nextcloud.username}:${nextcloud.password}`)}`,
          },
        });
        expect(tenant.account(person)).toBeUndefined();
      }
      await replay(tenant);
      for (const person of [ada, grace]) expect(tenant.account(person)?.enabled ?? false).toBe(false);
    });
  });

  test("a worker that dies between parking a job and noting it leaves no dead letter behind that nothing can remove", async () => {
    const tenant = await world.build();
    const ada = tenant.person({ last_name: TOO_LONG });
    const dying = tenant.container({
      ledger: {
        ...world.ledger,
        subjects: {
          ...world.ledger.subjects,
          put: async () => {
            throw new Error("killed");
          },
        },
      },
    });
    await expect(dying(tenant.webhook(ada, "user.created"))).rejects.toThrow("killed");
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "Lovelace" });
    // The message was not deleted: another worker gets it, and succeeds.
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "applied" });
    expect(await count(tenant)).toBe(0);
  });
});
