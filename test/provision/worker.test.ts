import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Failure, type FailureClass, type FailureDetails } from "../../functions/core/failure.ts";
import { eventOf, type GroupsJob, type Job, messageGroupId, type PersonJob } from "../../functions/core/job.ts";
import { createRetryDelay } from "../../functions/core/retry.ts";
import { CircuitOpen } from "../../functions/provision/circuit-breaker.ts";
import type { Outcome, ReceivedJob } from "../../functions/provision/outcome.ts";
import type { Provision } from "../../functions/provision/provision.ts";
import { createWorker, type FollowGroups } from "../../functions/provision/worker.ts";
import { QueueUnavailable } from "../../functions/queue/errors.ts";
import type { Message, Sender } from "../../functions/queue/queue.ts";
import type { Fields, Log } from "../../functions/telemetry/log.ts";
import type { Counter } from "../../functions/telemetry/metrics.ts";
import { personJob, webhookTrigger } from "../support/jobs.ts";

const DONE: Outcome = {
  result: "applied",
  operations: ["upsert account"],
  notes: [],
  accountId: "id",
  state: "active",
};
const SENT_AT = 1_785_000_000_000;
const IDS = Array.from({ length: 10 }, () => randomUUID()).sort();
const [ADA = "", GRACE = "", LINUS = "", HANK = ""] = IDS;

function jobOf(subject: string, fields: Partial<PersonJob> = {}): Job {
  return { ...personJob("acme", subject), ...fields } as Job;
}

/** A message as the queue hands it out; `id` is its message id, its receipt is `receipt of ID`. */
function message(job: Job | string, options: { group?: string; receives?: number; id?: string } = {}): Message {
  const { receives = 1, id = randomUUID() } = options;
  return {
    id,
    receipt: `receipt of ${id}`,
    body: typeof job === "string" ? job : JSON.stringify(job),
    group: options.group ?? (typeof job === "string" ? "acme#unreadable" : messageGroupId(job)),
    sentAt: SENT_AT,
    receiveCount: receives,
  };
}

interface Line {
  level: keyof Log;
  message: string;
  fields: Fields;
}

interface Options {
  followGroups?: FollowGroups;
  concurrency?: number;
  deadline?: AbortSignal;
  /** How often in a row a person's jobs were tried in vain; default: as often as the message was received. */
  failures?: Record<string, number>;
  /** Default: the queue takes every job. */
  send?: Sender["send"];
  /** Fails where the queue cannot be told when to show a message again. */
  setVisibility?: () => Promise<never>;
  now?: number;
}

/** Runs a batch and returns all that it led to. */
async function run(messages: Message[], provision: Provision, options: Options = {}) {
  const {
    followGroups = () => Promise.reject(new Error("there is no hint about groups")),
    concurrency = 4,
    deadline = new AbortController().signal,
    failures = {},
    now = SENT_AT,
  } = options;
  const sent: { job: Job; source: string }[] = [];
  const visibility: { id: string; seconds: number }[] = [];
  const lines: Line[] = [];
  const counted: Counter[] = [];
  let flushed = 0;
  const log =
    (level: keyof Log) =>
    (text: string, fields: Fields = {}) => {
      lines.push({ level, message: text, fields });
    };
  const worker = createWorker({
    provision,
    followGroups,
    queue: {
      setVisibility: async (changes) => {
        await options.setVisibility?.();
        for (const { receipt, seconds } of changes)
          visibility.push({ id: receipt.replace("receipt of ", ""), seconds });
      },
      async send(job, source) {
        await options.send?.(job, source);
        sent.push({ job, source });
      },
    },
    countFailure: async ({ subject }) => failures[subject],
    now: () => now,
    retryDelay: createRetryDelay({ random: () => 0 }),
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    counters: {
      count: (counter) => {
        counted.push(counter);
      },
      measure: () => undefined,
      flush: () => {
        flushed += 1;
      },
    },
    concurrency,
  });
  const stayed = await worker(messages, deadline);
  return { failed: stayed.map(({ id }) => id), sent, visibility, lines, counted, flushed };
}

class Trouble extends Failure {
  constructor(failureClass: FailureClass, details: FailureDetails = {}) {
    super(failureClass, "trouble", "there is trouble", { ...details, scope: "subject", origin: "pipeline" });
  }
}

const ids = (messages: Message[]): string[] => messages.map(({ id }) => id);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a batch", () => {
  it("begins no job when the function's time is almost over, and gives the rest back at once", async () => {
    const messages = [ADA, GRACE, ADA].map((subject) => message(jobOf(subject)));
    const begun: string[] = [];
    const over = new AbortController();
    const provision: Provision = async ({ job }) => {
      begun.push(job.subject);
      over.abort();
      return DONE;
    };
    const { failed, visibility } = await run(messages, provision, { concurrency: 1, deadline: over.signal });
    expect(begun).toEqual([ADA]);
    expect(failed.toSorted()).toEqual(ids(messages.slice(1)).toSorted());
    expect(visibility.map(({ seconds }) => seconds)).toEqual([1, 1]);
  });

  it("is done one message after the other for one subject, in the order it came", async () => {
    const messages = ["1", "2", "3"].map((event) => message(jobOf(ADA, { trigger: webhookTrigger(event) })));
    const steps: string[] = [];
    const { failed } = await run(messages, async ({ job }) => {
      steps.push(`begin ${eventOf(job)}`);
      for (let turns = 5; turns > 0; turns -= 1) await turn();
      steps.push(`end ${eventOf(job)}`);
      return DONE;
    });
    expect(steps).toEqual(["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
    expect(failed).toEqual([]);
  });

  it("gives every job to provision, with when it was sent and how often it was received", async () => {
    const job = jobOf(ADA, {
      trigger: webhookTrigger("user.updated", "d"),
      snapshot: { a: 1 },
    });
    const calls: unknown[] = [];
    await run([message(job, { receives: 7 })], async (received) => {
      calls.push(received);
      return DONE;
    });
    expect(calls).toEqual([{ job, sentAt: SENT_AT, receiveCount: 7 }]);
  });

  it("a hint about groups is followed and not provisioned", async () => {
    const job: GroupsJob = {
      version: 2,
      kind: "groups",
      organization: "acme",
      trigger: webhookTrigger("group.updated", "d"),
    };
    const calls: ReceivedJob[] = [];
    const provision = () => Promise.reject(new Error("provisioned"));
    const { failed, lines, counted } = await run([message(job)], provision, {
      async followGroups(received) {
        calls.push(received);
        return { result: "followed", queued: 3 };
      },
    });
    expect(calls).toEqual([{ job, sentAt: SENT_AT, receiveCount: 1 }]);
    expect(failed).toEqual([]);
    expect(counted).toEqual(["JobsUnchanged"]);
    expect(lines).toMatchObject([{ level: "info", fields: { subject: "groups", result: "followed", queued: 3 } }]);
  });

  it.each(["person", "purge"] as const)("a job of kind %s is provisioned", async (kind) => {
    const job: Job = { version: 2, kind, organization: "acme", subject: ADA, trigger: { kind: "manual" } };
    const calls: ReceivedJob[] = [];
    await run([message(job)], async (received) => {
      calls.push(received);
      return DONE;
    });
    expect(calls).toMatchObject([{ job }]);
  });

  it("a job of version 1 is provisioned", async () => {
    const first = { version: 1, organization: "acme", subject: ADA, trigger: { kind: "manual" } };
    const calls: ReceivedJob[] = [];
    await run([message(JSON.stringify(first))], async (received) => {
      calls.push(received);
      return DONE;
    });
    expect(calls).toMatchObject([{ job: personJob("acme", ADA) }]);
  });

  it("that is empty does nothing", async () => {
    const { failed, visibility } = await run([], () => Promise.reject(new Error("nothing to do")));
    expect([failed, visibility]).toEqual([[], []]);
  });

  it("writes its metrics out once", async () => {
    const messages = [ADA, GRACE, LINUS].map((subject) => message(jobOf(subject)));
    expect((await run(messages, async () => DONE)).flushed).toBe(1);
    expect((await run(messages, () => Promise.reject(new Trouble("transient")))).flushed).toBe(1);
  });
});

describe("different subjects", () => {
  it("are worked on at the same time: each waits for all the others to have begun", async () => {
    const subjects = [ADA, GRACE, LINUS, HANK];
    const barrier = barrierOf(subjects.length);
    const { failed } = await run(
      subjects.map((subject) => message(jobOf(subject))),
      async () => {
        await barrier();
        return DONE;
      },
      { concurrency: subjects.length },
    );
    expect(failed).toEqual([]);
  });

  it("are never more at once than allowed, and all are done", async () => {
    const messages = IDS.map((id) => message(jobOf(id)));
    let [active, most, done] = [0, 0, 0];
    await run(
      messages,
      async () => {
        active += 1;
        most = Math.max(most, active);
        for (let turns = 3; turns > 0; turns -= 1) await turn();
        active -= 1;
        done += 1;
        return DONE;
      },
      { concurrency: 3 },
    );
    expect([most, done]).toEqual([3, 10]);
  });

  it("go on while one is slow: its own later messages alone wait for it", async () => {
    const slow = [message(jobOf(ADA)), message(jobOf(ADA))];
    const others = [GRACE, LINUS].map((subject) => message(jobOf(subject)));
    const finished: string[] = [];
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await run(
      [...slow, ...others],
      async ({ job: { subject } }) => {
        if (subject === ADA && !finished.includes(ADA)) await released;
        finished.push(subject);
        if (finished.length === 2) release();
        return DONE;
      },
      { concurrency: 2 },
    );
    expect(finished).toEqual([GRACE, LINUS, ADA, ADA]);
  });

  it("of two organizations are different, though they are called the same", async () => {
    const barrier = barrierOf(2);
    const messages = ["acme", "globex"].map((organization) => message(jobOf(ADA, { organization })));
    const { failed } = await run(messages, async () => {
      await barrier();
      return DONE;
    });
    expect(failed).toEqual([]);
  });
});

describe("a failure", () => {
  it("fails the later messages of its subject untried, and no message of others", async () => {
    const [first, failing, later, last] = ["first", "failing", "later", "last"].map((event) =>
      message(jobOf(ADA, { trigger: webhookTrigger(event) }), { id: event }),
    );
    const other = message(jobOf(GRACE));
    const tried: (string | undefined)[] = [];
    const messages = [first, other, failing, later, last].filter((each) => each !== undefined);
    const { failed } = await run(messages, async ({ job }) => {
      tried.push(eventOf(job));
      if (eventOf(job) === "failing") throw new Trouble("transient");
      return DONE;
    });
    expect(failed).toEqual(["failing", "later", "last"]);
    expect(tried.sort()).toEqual(["failing", "first", undefined]);
  });

  it("makes the later messages of its subject wait exactly as long as itself, whatever their own count", async () => {
    const messages = [3, 1, 2].map((receives) => message(jobOf(ADA), { receives }));
    const { visibility } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(visibility).toEqual(ids(messages).map((id) => ({ id, seconds: 120 })));
  });

  it("sets no visibility for what was done", async () => {
    const [done, waiting] = [message(jobOf(ADA)), message(jobOf(GRACE))];
    const { visibility } = await run([done, waiting], async ({ job: { subject } }) => {
      if (subject === GRACE) throw new Trouble("transient");
      return DONE;
    });
    expect(visibility.map(({ id }) => id)).toEqual([waiting.id]);
  });

  it("stays where the queue cannot be told when to show it again, which the log and the alarm for unexpected errors tell", async () => {
    const fails: Provision = () => Promise.reject(new Trouble("transient"));
    const { failed, lines, counted } = await run([message(jobOf(ADA))], fails, {
      setVisibility: () => Promise.reject(new QueueUnavailable(new Error("AccessDenied"))),
    });
    expect(failed).toHaveLength(1);
    expect(counted).toContain("UnexpectedErrors");
    expect(lines).toContainEqual({
      level: "error",
      message: "jobs wait for the queue's own timeout",
      fields: expect.objectContaining({ jobs: 1, code: "queue-unavailable" }),
    });
  });

  it("of each subject waits by its own count", async () => {
    const messages = [message(jobOf(ADA), { receives: 1 }), message(jobOf(GRACE), { receives: 4 })];
    const { visibility, failed } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(new Map(visibility.map(({ id, seconds }) => [id, seconds]))).toEqual(
      new Map([
        [messages[0]?.id, 30],
        [messages[1]?.id, 240],
      ]),
    );
    expect(failed.sort()).toEqual(ids(messages).sort());
  });

  it("waits by how often it was tried in vain, not by how often it was received", async () => {
    const messages = [message(jobOf(ADA), { receives: 40 }), message(jobOf(GRACE), { receives: 2 })];
    const options = { failures: { [ADA]: 2, [GRACE]: 4 } };
    const { visibility, lines } = await run(messages, () => Promise.reject(new Trouble("transient")), options);
    expect(new Map(visibility.map(({ id, seconds }) => [id, seconds]))).toEqual(
      new Map([
        [messages[0]?.id, 60],
        [messages[1]?.id, 240],
      ]),
    );
    expect(lines.map(({ fields }) => fields.attempt).sort()).toEqual([2, 4]);
  });

  it("that was put off untried comes back soon, however often it was received and failed", async () => {
    const untried = (openForMs: number) => () => Promise.reject(new CircuitOpen(new Trouble("transient"), openForMs));
    const waiting = message(jobOf(ADA), { receives: 40 });
    const counted = { failures: { [ADA]: 7 } };
    expect((await run([waiting], untried(60_000), counted)).visibility).toMatchObject([{ seconds: 30 }]);
    expect((await run([waiting], untried(3_600_000), counted)).visibility).toMatchObject([{ seconds: 900 }]);
  });

  it("waits as long as the server asks, where that is longer", async () => {
    for (const [retryAfterSeconds, seconds] of [
      [600, 600],
      [5, 30],
    ] as const) {
      const { visibility } = await run([message(jobOf(ADA))], () =>
        Promise.reject(new Trouble("transient", { retryAfterSeconds })),
      );
      expect(visibility).toMatchObject([{ seconds }]);
    }
  });

  it.each(["transient", "configuration"] as const)("that is %s stays in the queue", async (failureClass) => {
    const one = message(jobOf(ADA));
    const { failed, visibility } = await run([one], () =>
      Promise.reject(new Trouble(failureClass, { fix: "Do this." })),
    );
    expect(failed).toEqual([one.id]);
    expect(visibility).toEqual([{ id: one.id, seconds: 30 }]);
  });

  it("that nobody knows stays in the queue too, be it no error at all", async () => {
    for (const thrown of [new TypeError("bug"), "text", undefined]) {
      const one = message(jobOf(ADA));
      const { failed } = await run([one], () => Promise.reject(thrown));
      expect(failed).toEqual([one.id]);
    }
  });

  it("that is thrown at once and not later is treated the same", async () => {
    const [one, other] = [message(jobOf(ADA)), message(jobOf(GRACE))];
    const { failed } = await run([one, other], ({ job: { subject } }) => {
      if (subject === ADA) throw new Trouble("transient");
      return Promise.resolve(DONE);
    });
    expect(failed).toEqual([one.id]);
  });

  it("of everything leaves everything in the queue, in the order of each subject", async () => {
    const messages = [ADA, GRACE, ADA, GRACE, ADA].map((subject, index) =>
      message(jobOf(subject), { id: String(index) }),
    );
    const { failed, visibility } = await run(messages, () => Promise.reject(new Trouble("transient")), {
      concurrency: 1,
    });
    expect(failed).toEqual(["0", "2", "4", "1", "3"]);
    expect(visibility.map(({ id }) => id).sort()).toEqual([...failed].sort());
  });
});

describe("a job that was parked", () => {
  it("leaves the queue, and the next one of its subject is worked on", async () => {
    const messages = [message(jobOf(ADA)), message(jobOf(ADA))];
    const outcomes: Outcome[] = [
      {
        result: "parked",
        accountId: "id",
        reason: "account-conflict",
        problem: "somebody else's",
        done: [],
        revoke: "none",
      },
      DONE,
    ];
    const { failed, lines } = await run(messages, async () => outcomes.shift() ?? DONE);
    expect(failed).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(["error", "info"]);
    expect(lines[0]?.fields).toMatchObject({
      subject: ADA,
      accountId: "id",
      result: "parked",
      reason: "account-conflict",
      problem: "somebody else's",
    });
  });

  it("because Nextcloud refuses to take access away raises one alarm, however often it is tried again", async () => {
    const parked = { result: "parked", accountId: "id", reason: "nextcloud-ocs-105", problem: "no", done: [] } as const;
    const outcomes: Outcome[] = [
      { ...parked, revoke: "refused" },
      { ...parked, revoke: "refused-again" },
      { ...parked, revoke: "refused-again" },
    ];
    const messages = [message(jobOf(ADA)), message(jobOf(ADA)), message(jobOf(ADA))];
    const { lines, counted } = await run(messages, async () => outcomes.shift() ?? DONE);
    expect(lines.map(({ level, message: text }) => `${level} ${text}`)).toEqual([
      "error job",
      "error revoke refused",
      "warn job",
      "warn job",
    ]);
    expect(lines[1]?.fields).toMatchObject({ subject: ADA, reason: "nextcloud-ocs-105" });
    expect(counted.filter((each) => each !== "RevokesOutstanding")).toEqual(["JobsParked", "RevokesRefused"]);
    // The alarm goes on as long as it is refused.
    expect(counted.filter((each) => each === "RevokesOutstanding")).toHaveLength(3);
  });
});

describe("a message that cannot be read", () => {
  const UNREADABLE = [
    "",
    "not JSON",
    "null",
    "[]",
    JSON.stringify({ ...jobOf(ADA), version: 3 }),
    JSON.stringify({ ...jobOf(ADA), subject: undefined }),
    JSON.stringify({ ...jobOf(ADA), subject: "ada" }),
    JSON.stringify({ ...jobOf(ADA), kind: "other" }),
    JSON.stringify({ ...jobOf(ADA), trigger: { kind: "other" } }),
  ];

  it.each(UNREADABLE)("such as %j stays for the dead-letter queue, and is not tried", async (body) => {
    const one = message(body);
    const { failed, visibility, lines } = await run([one], () => Promise.reject(new Error("was tried")));
    expect(failed).toEqual([one.id]);
    expect(visibility).toEqual([{ id: one.id, seconds: 30 }]);
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([
      { fields: { messageId: one.id, class: "configuration", code: "job-unreadable", fix: expect.any(String) } },
    ]);
  });

  it("blocks its own subject and nobody else", async () => {
    const bad = message("not JSON", { group: `acme#${ADA}` });
    const messages = [message(jobOf(ADA)), bad, message(jobOf(ADA)), message(jobOf(GRACE))];
    const tried: string[] = [];
    const { failed } = await run(messages, async ({ job: { subject } }) => {
      tried.push(subject);
      return DONE;
    });
    expect(failed).toEqual([bad.id, messages[2]?.id]);
    expect(tried.sort()).toEqual([ADA, GRACE]);
  });
});

describe("the log", () => {
  const EMAIL = "ada.lovelace@acme.example";

  it("has one line for each job, with the ids that lead back to Clavex, SQS and Nextcloud", async () => {
    const trigger = webhookTrigger("user.updated", "delivery-1");
    const { lines } = await run([message(jobOf(ADA, { trigger }), { receives: 3 })], async () => ({
      ...DONE,
      notes: ["group x is skipped"],
    }));
    expect(lines).toEqual([
      {
        level: "info",
        message: "job",
        fields: expect.objectContaining({
          organization: "acme",
          subject: ADA,
          accountId: "id",
          trigger: "webhook",
          event: "user.updated",
          deliveryId: "delivery-1",
          result: "applied",
          state: "active",
          operations: ["upsert account"],
          notes: ["group x is skipped"],
          attempt: 3,
        }),
      },
    ]);
  });

  it("says of a failure what it is, what to do, and when it is tried again", async () => {
    const one = message(jobOf(ADA), { receives: 2 });
    const { lines } = await run([one], () => Promise.reject(new Trouble("configuration", { fix: "Do this." })));
    expect(lines).toMatchObject([
      {
        level: "error",
        fields: {
          messageId: one.id,
          group: `acme#${ADA}`,
          class: "configuration",
          code: "trouble",
          problem: "there is trouble",
          fix: "Do this.",
          attempt: 2,
          retryInSeconds: 60,
        },
      },
    ]);
  });

  it("says of a wrong password that it is tried again in an hour: the job that comes back earlier is not tried", async () => {
    const refused = new Failure("configuration", "nextcloud-credentials", "the password is refused", {
      scope: { server: "nextcloud", harmful: true },
      origin: "nextcloud",
    });
    const { lines } = await run([message(jobOf(ADA))], () => Promise.reject(refused));
    expect(lines).toMatchObject([{ fields: { code: "nextcloud-credentials", retryInSeconds: 3_600 } }]);
  });

  it("says of an unexpected error its name and where it was thrown, and nothing of its message", async () => {
    const { lines } = await run([message(jobOf(ADA))], () =>
      Promise.reject(new TypeError(`cannot read ${EMAIL}`, { cause: new RangeError(EMAIL) })),
    );
    expect(lines).toMatchObject([
      {
        level: "error",
        message: "job failed",
        fields: { class: "transient", code: "unexpected", problem: "TypeError", causes: ["RangeError"] },
      },
    ]);
    expect(lines[0]?.fields.stack).toContainEqual(expect.stringMatching(/^at .*worker\.test\.ts:\d+:\d+/));
    expect(JSON.stringify(lines)).not.toMatch(/@acme|cannot read/);
  });

  it("has one line for a failure, and none for the messages that wait behind it", async () => {
    const messages = [message(jobOf(ADA)), message(jobOf(ADA)), message(jobOf(ADA))];
    const { lines } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(lines.filter(({ level }) => level !== "debug")).toHaveLength(1);
  });

  it("never has an e-mail address above debug, wherever one might come from", async () => {
    const snapshot = { id: ADA, email: EMAIL };
    const trigger = webhookTrigger("user.updated", "d");
    const messages = [
      message(jobOf(ADA, { snapshot, trigger })),
      message(jobOf(GRACE, { snapshot, trigger })),
      message(jobOf(LINUS, { snapshot, trigger })),
      message(JSON.stringify({ ...jobOf(HANK), subject: { email: EMAIL } }), { group: "acme#odd" }),
      message(`{"email":"${EMAIL}"`, { group: "acme#broken" }),
    ];
    const { lines, failed } = await run(messages, async ({ job: { subject } }) => {
      if (subject === GRACE) throw new TypeError(`cannot read ${EMAIL}`);
      if (subject === LINUS) throw new Trouble("transient", { cause: new Error(EMAIL) });
      return DONE;
    });
    expect(failed).toHaveLength(4);
    const visible = lines.filter(({ level }) => level !== "debug");
    expect(visible).toHaveLength(5);
    expect(JSON.stringify(visible)).not.toContain("@");
  });
});

/** A meeting point: everybody waits there until this many have come. */
function barrierOf(size: number): () => Promise<void> {
  let come = 0;
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    come += 1;
    if (come === size) open();
    return opened;
  };
}

describe("a message that the queue would soon give up", () => {
  const DAY = 24 * 60 * 60_000;
  const fails: Provision = () => Promise.reject(new Trouble("transient"));

  it.each([
    ["after 900 receives", { receives: 900 }, SENT_AT],
    ["after twelve days", { receives: 20 }, SENT_AT + 12 * DAY],
  ])("is replaced by a fresh copy %s, and later ones of its subject wait as long", async (_, given, now) => {
    const [old, later] = [message(jobOf(ADA), given), message(jobOf(ADA))];
    const { failed, sent, visibility } = await run([old, later], fails, { now, failures: { [ADA]: 1 } });
    expect(failed).toEqual([later.id]);
    expect(visibility).toEqual([{ id: later.id, seconds: 30 }]);
    expect(sent).toEqual([{ job: JSON.parse(old.body), source: `renewed#${old.id}` }]);
  });

  it("stays when the copy cannot be sent", async () => {
    const old = message(jobOf(ADA), { receives: 900 });
    const send = () => Promise.reject(new QueueUnavailable(new Error("away")));
    const { failed, visibility } = await run([old], fails, { send });
    expect(failed).toEqual([old.id]);
    expect(visibility).toHaveLength(1);
  });

  it.each([
    ["with fewer receives, and younger", { receives: 899 }, SENT_AT + 12 * DAY - 1],
  ])("is left as it is %s", async (_, given, now) => {
    const { failed, sent } = await run([message(jobOf(ADA), given)], fails, { now });
    expect(failed).toHaveLength(1);
    expect(sent).toEqual([]);
  });

  it("is left as it is when nobody can read it", async () => {
    const { failed, sent } = await run([message("not a job", { receives: 950 })], fails);
    expect(failed).toHaveLength(1);
    expect(sent).toEqual([]);
  });
});
