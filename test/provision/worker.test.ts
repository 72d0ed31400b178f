import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Failure, type FailureClass, type FailureDetails } from "../../functions/core/failure.ts";
import { type Job, messageGroupId } from "../../functions/core/job.ts";
import { createRetryDelay } from "../../functions/core/retry.ts";
import type { Outcome, Provision } from "../../functions/provision/provision.ts";
import { createWorker } from "../../functions/provision/worker.ts";
import type { Message } from "../../functions/queue/queue.ts";
import type { Fields, Log } from "../../functions/telemetry/log.ts";
import type { Counter } from "../../functions/telemetry/metrics.ts";

const DONE: Outcome = {
  result: "applied",
  operations: ["upsert account"],
  notes: [],
  accountId: "id",
  state: "active",
};
const SENT_AT = 1_785_000_000_000;

function jobOf(subject: string, fields: Partial<Job> = {}): Job {
  return { version: 1, organization: "acme", subject, trigger: { kind: "manual" }, ...fields };
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

/** Runs a batch and returns all that it led to. */
async function run(messages: Message[], provision: Provision, concurrency = 4, hasTime?: () => boolean) {
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
    queue: {
      setVisibility: async (changes) => {
        for (const { receipt, seconds } of changes)
          visibility.push({ id: receipt.replace("receipt of ", ""), seconds });
      },
    },
    retryDelay: createRetryDelay(() => 0),
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    counters: {
      count: (counter) => {
        counted.push(counter);
      },
      flush: () => {
        flushed += 1;
      },
    },
    concurrency,
  });
  const stayed = await worker(messages, hasTime);
  return { failed: stayed.map(({ id }) => id), visibility, lines, counted, flushed };
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
    const messages = ["ada", "grace", "ada"].map((subject) => message(jobOf(subject)));
    const begun: string[] = [];
    const provision: Provision = async ({ subject }) => {
      begun.push(subject);
      return DONE;
    };
    const { failed, visibility } = await run(messages, provision, 1, () => begun.length < 1);
    expect(begun).toEqual(["ada"]);
    expect(failed.toSorted()).toEqual(ids(messages.slice(1)).toSorted());
    expect(visibility.map(({ seconds }) => seconds)).toEqual([1, 1]);
  });

  it("is done one message after the other for one subject, in the order it came", async () => {
    const messages = ["1", "2", "3"].map((deliveryId) =>
      message(jobOf("ada", { trigger: { kind: "webhook", deliveryId } })),
    );
    const steps: string[] = [];
    const { failed } = await run(messages, async ({ trigger }) => {
      steps.push(`begin ${trigger.deliveryId}`);
      for (let turns = 5; turns > 0; turns -= 1) await turn();
      steps.push(`end ${trigger.deliveryId}`);
      return DONE;
    });
    expect(steps).toEqual(["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
    expect(failed).toEqual([]);
  });

  it("gives every job to provision, with when it was sent and how often it was received", async () => {
    const job = jobOf("ada", {
      trigger: { kind: "webhook", event: "user.updated", deliveryId: "d" },
      snapshot: { a: 1 },
    });
    const calls: unknown[] = [];
    await run([message(job, { receives: 7 })], async (...parameters) => {
      calls.push(parameters);
      return DONE;
    });
    expect(calls).toEqual([[job, SENT_AT, 7]]);
  });

  it("that is empty does nothing", async () => {
    const { failed, visibility } = await run([], () => Promise.reject(new Error("nothing to do")));
    expect([failed, visibility]).toEqual([[], []]);
  });

  it("writes its metrics out once", async () => {
    const messages = ["ada", "grace", "linus"].map((subject) => message(jobOf(subject)));
    expect((await run(messages, async () => DONE)).flushed).toBe(1);
    expect((await run(messages, () => Promise.reject(new Trouble("transient")))).flushed).toBe(1);
  });
});

describe("different subjects", () => {
  it("are worked on at the same time: each waits for all the others to have begun", async () => {
    const subjects = ["ada", "grace", "linus", "hank"];
    const barrier = barrierOf(subjects.length);
    const { failed } = await run(
      subjects.map((subject) => message(jobOf(subject))),
      async () => {
        await barrier();
        return DONE;
      },
      subjects.length,
    );
    expect(failed).toEqual([]);
  });

  it("are never more at once than allowed, and all are done", async () => {
    const messages = Array.from({ length: 10 }, (_, index) => message(jobOf(`person-${index}`)));
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
      3,
    );
    expect([most, done]).toEqual([3, 10]);
  });

  it("go on while one is slow: its own later messages alone wait for it", async () => {
    const slow = [message(jobOf("ada")), message(jobOf("ada"))];
    const others = ["grace", "linus"].map((subject) => message(jobOf(subject)));
    const finished: string[] = [];
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await run(
      [...slow, ...others],
      async ({ subject }) => {
        if (subject === "ada" && !finished.includes("ada")) await released;
        finished.push(subject);
        if (finished.length === 2) release();
        return DONE;
      },
      2,
    );
    expect(finished).toEqual(["grace", "linus", "ada", "ada"]);
  });

  it("of two organizations are different, though they are called the same", async () => {
    const barrier = barrierOf(2);
    const messages = ["acme", "globex"].map((organization) => message(jobOf("ada", { organization })));
    const { failed } = await run(messages, async () => {
      await barrier();
      return DONE;
    });
    expect(failed).toEqual([]);
  });
});

describe("a failure", () => {
  it("fails the later messages of its subject untried, and no message of others", async () => {
    const [first, failing, later, last] = ["first", "failing", "later", "last"].map((deliveryId) =>
      message(jobOf("ada", { trigger: { kind: "webhook", deliveryId } }), { id: deliveryId }),
    );
    const other = message(jobOf("grace"));
    const tried: (string | undefined)[] = [];
    const messages = [first, other, failing, later, last].filter((each) => each !== undefined);
    const { failed } = await run(messages, async ({ trigger }) => {
      tried.push(trigger.deliveryId);
      if (trigger.deliveryId === "failing") throw new Trouble("transient");
      return DONE;
    });
    expect(failed).toEqual(["failing", "later", "last"]);
    expect(tried.sort()).toEqual(["failing", "first", undefined]);
  });

  it("makes the later messages of its subject wait exactly as long as itself, whatever their own count", async () => {
    const messages = [3, 1, 2].map((receives) => message(jobOf("ada"), { receives }));
    const { visibility } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(visibility).toEqual(ids(messages).map((id) => ({ id, seconds: 120 })));
  });

  it("sets no visibility for what was done", async () => {
    const [done, waiting] = [message(jobOf("ada")), message(jobOf("grace"))];
    const { visibility } = await run([done, waiting], async ({ subject }) => {
      if (subject === "grace") throw new Trouble("transient");
      return DONE;
    });
    expect(visibility.map(({ id }) => id)).toEqual([waiting.id]);
  });

  it("of each subject waits by its own count", async () => {
    const messages = [message(jobOf("ada"), { receives: 1 }), message(jobOf("grace"), { receives: 4 })];
    const { visibility, failed } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(new Map(visibility.map(({ id, seconds }) => [id, seconds]))).toEqual(
      new Map([
        [messages[0]?.id, 30],
        [messages[1]?.id, 240],
      ]),
    );
    expect(failed.sort()).toEqual(ids(messages).sort());
  });

  it("waits as long as the server asks, where that is longer", async () => {
    for (const [retryAfterSeconds, seconds] of [
      [600, 600],
      [5, 30],
    ] as const) {
      const { visibility } = await run([message(jobOf("ada"))], () =>
        Promise.reject(new Trouble("transient", { retryAfterSeconds })),
      );
      expect(visibility).toMatchObject([{ seconds }]);
    }
  });

  it.each(["transient", "configuration"] as const)("that is %s stays in the queue", async (failureClass) => {
    const one = message(jobOf("ada"));
    const { failed, visibility } = await run([one], () =>
      Promise.reject(new Trouble(failureClass, { fix: "Do this." })),
    );
    expect(failed).toEqual([one.id]);
    expect(visibility).toEqual([{ id: one.id, seconds: 30 }]);
  });

  it("that nobody knows stays in the queue too, be it no error at all", async () => {
    for (const thrown of [new TypeError("bug"), "text", undefined]) {
      const one = message(jobOf("ada"));
      const { failed } = await run([one], () => Promise.reject(thrown));
      expect(failed).toEqual([one.id]);
    }
  });

  it("that is thrown at once and not later is treated the same", async () => {
    const [one, other] = [message(jobOf("ada")), message(jobOf("grace"))];
    const { failed } = await run([one, other], ({ subject }) => {
      if (subject === "ada") throw new Trouble("transient");
      return Promise.resolve(DONE);
    });
    expect(failed).toEqual([one.id]);
  });

  it("of everything leaves everything in the queue, in the order of each subject", async () => {
    const messages = ["ada", "grace", "ada", "grace", "ada"].map((subject, index) =>
      message(jobOf(subject), { id: `${subject}-${index}` }),
    );
    const { failed, visibility } = await run(messages, () => Promise.reject(new Trouble("transient")), 1);
    expect(failed).toEqual(["ada-0", "ada-2", "ada-4", "grace-1", "grace-3"]);
    expect(visibility.map(({ id }) => id).sort()).toEqual([...failed].sort());
  });
});

describe("a job that was parked", () => {
  it("leaves the queue, and the next one of its subject is worked on", async () => {
    const messages = [message(jobOf("ada")), message(jobOf("ada"))];
    const outcomes: Outcome[] = [{ ...DONE, result: "parked", operations: [], reason: "account-conflict" }, DONE];
    const { failed, lines } = await run(messages, async () => outcomes.shift() ?? DONE);
    expect(failed).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(["error", "info"]);
    expect(lines[0]?.fields).toMatchObject({ subject: "ada", reason: "account-conflict" });
  });
});

describe("a message that cannot be read", () => {
  const UNREADABLE = [
    "",
    "not JSON",
    "null",
    "[]",
    JSON.stringify({ ...jobOf("ada"), version: 2 }),
    JSON.stringify({ ...jobOf("ada"), subject: undefined }),
    JSON.stringify({ ...jobOf("ada"), trigger: { kind: "other" } }),
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
    const bad = message("not JSON", { group: "acme#ada" });
    const messages = [message(jobOf("ada")), bad, message(jobOf("ada")), message(jobOf("grace"))];
    const tried: string[] = [];
    const { failed } = await run(messages, async ({ subject }) => {
      tried.push(subject);
      return DONE;
    });
    expect(failed).toEqual([bad.id, messages[2]?.id]);
    expect(tried.sort()).toEqual(["ada", "grace"]);
  });
});

describe("the log", () => {
  const EMAIL = "ada.lovelace@acme.example";

  it("has one line for each job, with the ids that lead back to Clavex, SQS and Nextcloud", async () => {
    const trigger = { kind: "webhook" as const, event: "user.updated", deliveryId: "delivery-1" };
    const { lines } = await run([message(jobOf("ada", { trigger }), { receives: 3 })], async () => ({
      ...DONE,
      notes: ["group x is skipped"],
    }));
    expect(lines).toEqual([
      {
        level: "info",
        message: "job",
        fields: expect.objectContaining({
          organization: "acme",
          subject: "ada",
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
    const one = message(jobOf("ada"), { receives: 2 });
    const { lines } = await run([one], () => Promise.reject(new Trouble("configuration", { fix: "Do this." })));
    expect(lines).toMatchObject([
      {
        level: "error",
        fields: {
          messageId: one.id,
          group: "acme#ada",
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

  it("has one line for a failure, and none for the messages that wait behind it", async () => {
    const messages = [message(jobOf("ada")), message(jobOf("ada")), message(jobOf("ada"))];
    const { lines } = await run(messages, () => Promise.reject(new Trouble("transient")));
    expect(lines.filter(({ level }) => level !== "debug")).toHaveLength(1);
  });

  it("never has an e-mail address above debug, wherever one might come from", async () => {
    const snapshot = { id: "ada", email: EMAIL };
    const trigger = { kind: "webhook" as const, event: "user.updated", deliveryId: "d" };
    const messages = [
      message(jobOf("ada", { snapshot, trigger })),
      message(jobOf("unexpected", { snapshot, trigger })),
      message(jobOf("failing", { snapshot, trigger })),
      message(JSON.stringify({ ...jobOf("odd"), subject: { email: EMAIL } }), { group: "acme#odd" }),
      message(`{"email":"${EMAIL}"`, { group: "acme#broken" }),
    ];
    const { lines, failed } = await run(messages, async ({ subject }) => {
      if (subject === "unexpected") throw new TypeError(`cannot read ${EMAIL}`);
      if (subject === "failing") throw new Trouble("transient", { cause: new Error(EMAIL) });
      return DONE;
    });
    expect(failed).toHaveLength(4);
    const visible = lines.filter(({ level }) => level !== "debug");
    expect(visible).toHaveLength(5);
    expect(JSON.stringify(visible)).not.toContain("@");
  });
});

/** A meeting point: everybody waits there until so many have come. */
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
