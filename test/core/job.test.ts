import { createHash, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  aboutWhom,
  deduplicationId,
  eventOf,
  type Job,
  messageGroupId,
  originOf,
  replayOf,
  type Trigger,
} from "../../functions/core/job.ts";
import { jobSchema } from "../../functions/core/job-schema.ts";

const subject = randomUUID();
const webhook = {
  kind: "webhook",
  event: "user.updated",
  deliveryId: "delivery",
  occurredAt: "2026-07-23T08:00:00.000000000Z",
  about: "user",
} as const;
const base = { version: 2, organization: "acme", trigger: webhook } as const;
const person = { ...base, kind: "person", subject } as const satisfies Job;
const groups = { ...base, kind: "groups" } as const satisfies Job;

describe("a job", () => {
  const triggers: Trigger[] = [
    webhook,
    { ...webhook, about: "deletion" },
    { kind: "reconcile", reason: "drift" },
    { kind: "reconcile", reason: "membership" },
    { kind: "manual" },
    { kind: "replay", of: webhook },
    { kind: "replay", of: { kind: "manual" } },
  ];
  const jobs: Job[] = triggers.flatMap((trigger): Job[] => [
    { ...person, trigger },
    { ...person, trigger, kind: "purge" },
    { ...groups, trigger },
    { ...person, trigger, snapshot: { email: "ada@acme.example" }, configuration: "sha256" },
  ]);
  it.each(jobs.map((job) => [job]))("is read as it was written: %j", (job) => {
    expect(jobSchema.parse(JSON.parse(JSON.stringify(job)))).toEqual(job);
  });

  it.each([
    "",
    "groups",
    "ada",
    "../../etc/passwd",
    `${subject}/`,
    `${subject}\n`,
    subject.slice(1),
    `{${subject}}`,
    subject.replaceAll("-", ""),
  ])("whose subject is %j, and so no UUID, is refused", (wrong) => {
    expect(jobSchema.safeParse({ ...person, subject: wrong }).success).toBe(false);
    expect(jobSchema.safeParse({ ...person, kind: "purge", subject: wrong }).success).toBe(false);
  });

  it("has its subject in lower case, as account ids are made of it", () => {
    expect(jobSchema.parse({ ...person, subject: subject.toUpperCase() })).toEqual(person);
  });

  it.each<[string, object]>([
    ["of a version that nobody knows", { ...person, version: 3 }],
    ["of a kind that nobody knows", { ...person, kind: "robot" }],
    ["without a trigger", { ...person, trigger: undefined }],
    ["with a trigger that lacks its fields", { ...person, trigger: { kind: "webhook", event: "user.updated" } }],
    ["with a replay of a replay", { ...person, trigger: { kind: "replay", of: { kind: "replay", of: webhook } } }],
    ["without an organization", { ...person, organization: undefined }],
  ])("%s is refused", (_name, wrong) => {
    expect(jobSchema.safeParse(wrong).success).toBe(false);
  });
});

describe("a message of version 1", () => {
  const first = (trigger: object, fields: object = {}) =>
    jobSchema.parse({ version: 1, organization: "acme", subject, trigger, ...fields });
  const delivery = { deliveryId: "delivery", occurredAt: "2026-07-23T08:00:00.000000000Z" };

  it("about a person is one of version 2, with its snapshot", () => {
    const snapshot = { email: "ada@acme.example" };
    expect(first({ kind: "webhook", event: "user.updated", ...delivery }, { snapshot })).toEqual({
      ...person,
      snapshot,
    });
  });

  it.each([
    ["user.created", "user"],
    ["user.updated", "user"],
    ["user.suspended", "user"],
    ["user.deleted", "deletion"],
    ["scim.user.delete", "deletion"],
    ["group.member.added", "membership"],
    ["group.changed", "membership"],
  ])("for %s is about: %s", (event, about) => {
    expect(first({ kind: "webhook", event, ...delivery }).trigger).toEqual({ ...webhook, event, about });
  });

  it.each<[string, object, Trigger]>([
    ["a reconciliation", { kind: "reconcile" }, { kind: "reconcile", reason: "drift" }],
    ["a group hint", { kind: "reconcile", event: "group.changed" }, { kind: "reconcile", reason: "membership" }],
    ["a command", { kind: "manual" }, { kind: "manual" }],
    [
      "a replayed deletion",
      { kind: "replay", event: "user.deleted", ...delivery },
      { kind: "replay", of: { ...webhook, event: "user.deleted", about: "deletion" } },
    ],
    [
      "a replay of something that no event caused",
      { kind: "replay" },
      { kind: "replay", of: { kind: "reconcile", reason: "drift" } },
    ],
    [
      "a webhook without its times",
      { kind: "webhook", event: "user.updated" },
      { ...webhook, deliveryId: "", occurredAt: "" },
    ],
  ])("of %s keeps why it was sent", (_name, trigger, expected) => {
    expect(first(trigger)).toEqual({ ...person, trigger: expected });
  });

  it.each(["reconcile", "replay"])("to delete after the grace period (%s) is a purge, and nothing else", (kind) => {
    const job = first({ kind, event: "grace.over" });
    expect(job).toMatchObject({ kind: "purge", subject });
    expect(originOf(job.trigger)).toEqual({ kind: "reconcile", reason: "drift" });
  });

  it("about groups is one about groups", () => {
    const job = first({ kind: "webhook", event: "group.member.added", ...delivery }, { subject: "groups" });
    expect(job).toEqual({ ...groups, trigger: { ...webhook, event: "group.member.added", about: "membership" } });
  });

  it("keeps its FIFO group", () => {
    const trigger = { kind: "manual" };
    expect(messageGroupId(first(trigger))).toBe(`acme#${subject}`);
    expect(messageGroupId(first(trigger, { subject: "groups" }))).toBe("acme#groups");
  });

  it.each(["", "ada", "Groups", "groups "])("whose subject is %j is refused", (wrong) => {
    const message = { version: 1, organization: "acme", subject: wrong, trigger: { kind: "manual" } };
    expect(jobSchema.safeParse(message).success).toBe(false);
  });
});

describe("a replay", () => {
  it("keeps all of its job, and why that was sent first, over any number of replays", () => {
    const replayed = replayOf(person);
    expect(replayed).toEqual({ ...person, trigger: { kind: "replay", of: webhook } });
    expect(replayOf(replayed)).toEqual(replayed);
    expect(originOf(replayed.trigger)).toEqual(webhook);
    expect(jobSchema.parse(replayed)).toEqual(replayed);
  });

  it("goes back to the event of its job", () => {
    expect(eventOf(replayOf(person))).toBe("user.updated");
    expect(eventOf({ trigger: { kind: "replay", of: { kind: "manual" } } })).toBeUndefined();
    expect(eventOf({ trigger: { kind: "reconcile", reason: "drift" } })).toBeUndefined();
  });
});

describe("in the queue", () => {
  it("jobs of one person are in one FIFO group, those about groups in another", () => {
    expect(messageGroupId(person)).toBe(`acme#${subject}`);
    expect(messageGroupId({ ...person, kind: "purge" })).toBe(messageGroupId(replayOf(person)));
    expect(messageGroupId(groups)).toBe("acme#groups");
    expect(messageGroupId({ ...person, organization: "globex" })).toBe(`globex#${subject}`);
    expect([aboutWhom(person), aboutWhom(groups)]).toEqual([subject, "groups"]);
  });

  it("a deduplication id is the hash of the source and whom the job is about", () => {
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    expect(deduplicationId("delivery", person)).toBe(sha256(`delivery#${subject}`));
    expect(deduplicationId("delivery", groups)).toBe(sha256("delivery#groups"));
    expect(deduplicationId("delivery", replayOf(person))).toBe(deduplicationId("delivery", person));
  });

  it("another source or another person is another message", () => {
    const ids = [
      deduplicationId("one", person),
      deduplicationId("two", person),
      deduplicationId("one", { ...person, subject: randomUUID() }),
      deduplicationId("one", groups),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });
});
