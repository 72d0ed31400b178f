import { describe, expect, it } from "vitest";
import { type Activity, activityInWords, activityOf, matchesActivity } from "../../functions/core/activity.ts";

const ADA = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const of = (message: string, fields: Record<string, unknown>) =>
  activityOf({ at: 1, message, fields: { organization: "acme", ...fields } });
const said = (message: string, fields: Record<string, unknown>): string => {
  const activity = of(message, fields);
  return activity ? `${activity.kind} ${activity.result}: ${activityInWords(activity)}` : "nothing";
};
const job = { subject: ADA, trigger: "webhook", event: "user.updated", deliveryId: "d1", attempt: 1 };

describe("a line of the log", () => {
  it.each([
    ["delivery", { status: "queued" }, "delivery queued: delivered and queued"],
    [
      "delivery",
      { status: "ignored", reason: "the organization is paused" },
      "delivery ignored: delivered, ignored: the organization is paused",
    ],
    ["delivery", { error: "not JSON" }, "delivery refused: delivery refused: not JSON"],
    [
      "delivery not accepted",
      { code: "queue-unavailable", problem: "the queue cannot be used" },
      "delivery failed: delivery not accepted, Clavex will send it again: the queue cannot be used",
    ],
    [
      "job",
      { ...job, result: "applied", operations: ["upsert account", "join Engineering", "leave Sales"] },
      "job applied: account created, joined Engineering, left Sales",
    ],
    [
      "job",
      {
        ...job,
        result: "applied",
        operations: ["upsert displayname+quota", "edit email", "enable"],
        notes: ["a note"],
      },
      "job applied: name, quota written, e-mail address written, account enabled; a note",
    ],
    ["job", { ...job, result: "applied", operations: ["disable"] }, "job applied: account disabled"],
    ["job", { ...job, result: "applied", operations: ["delete"] }, "job applied: account deleted"],
    ["job", { ...job, result: "unchanged", operations: [] }, "job unchanged: in sync already"],
    ["job", { ...job, result: "superseded" }, "job unchanged: in sync already: a later reading was applied before"],
    [
      "job",
      { ...job, result: "ignored", why: "the pipeline's own account" },
      "job ignored: nothing to do: the pipeline's own account",
    ],
    ["job", { subject: "groups", result: "followed", queued: 1 }, "job queued: groups looked at: 1 job queued"],
    [
      "job",
      { ...job, result: "parked", reason: "account-conflict", problem: "somebody else has it", done: ["disable"] },
      "job parked: refused, now a dead letter: somebody else has it; done: account disabled",
    ],
    [
      "job failed",
      { group: `acme#${ADA}`, code: "nextcloud-unavailable", problem: "no answer", attempt: 3, retryInSeconds: 120 },
      "job retried: attempt 3 failed, next one in 120 s: no answer",
    ],
    [
      "job failed",
      { group: `acme#${ADA}`, code: "brake-held", problem: "more than 2 people would lose access" },
      "job held: held until an operator allows it: more than 2 people would lose access",
    ],
    [
      "reconcile",
      { mode: "full", people: 1, differences: 2, sent: 1 },
      "run done: full reconciliation: 1 person, 2 differences, 1 job queued",
    ],
    ["reconcile", { mode: "light", people: 9, differences: 0, sent: 0 }, "nothing"],
    ["reconcile failed", { mode: "light", problem: "no answer" }, "run failed: light reconciliation failed: no answer"],
    ["group watch", { groups: 3, sent: 2 }, "run done: group watch: 2 jobs queued"],
    [
      "deprovisioning held",
      { reason: "brake", people: 40, problem: "40 people would lose access" },
      "run held: 40 people would lose access",
    ],
    ["unexpected", { problem: "something else" }, "nothing"],
  ])("%s %j is %s", (message, fields, expected) => {
    expect(said(message, fields)).toBe(expected);
  });

  it("is an activity of the person that the job's FIFO group names, also where the job cannot be read", () => {
    const fields = { organization: undefined, group: `acme#${ADA}`, problem: "a queue message cannot be read" };
    expect(of("job failed", fields)).toMatchObject({ organization: "acme", subject: ADA, result: "retried" });
  });

  it("connects a job with its delivery", () => {
    expect(of("delivery", { deliveryId: "d1", event: "user.updated", subject: ADA, status: "queued" })).toMatchObject({
      deliveryId: "d1",
      subject: ADA,
    });
    expect(of("job", { ...job, result: "applied", operations: ["disable"] })).toMatchObject({
      deliveryId: "d1",
      cause: "user.updated",
    });
  });

  it("brings no e-mail address and nothing that a terminal obeys into an activity, wherever it stands", () => {
    const dirty = "\u001b[31mada@acme.example";
    const activity = of("job", { ...job, result: "parked", problem: dirty, done: [`join ${dirty}`], reason: dirty });
    expect(JSON.stringify(activity)).not.toMatch(/ada@|\\u001b/);
    expect(JSON.stringify(of("job", { ...job, result: "applied", operations: [], notes: [dirty] }))).not.toMatch(
      /ada@/,
    );
  });

  it.each([
    ["numbers where texts are expected", { organization: "acme", subject: 7, operations: "join", result: "applied" }],
    ["nothing but the organization", { organization: "acme" }],
    ["lists of other things", { organization: "acme", operations: [1, {}], notes: null, attempt: "x" }],
  ])("with %s is read as far as it goes", (_name, fields) => {
    const activity = activityOf({ at: 1, message: "job", fields });
    expect(activity).toMatchObject({ kind: "job", organization: "acme" });
    expect(activityInWords(activity as Activity)).toEqual(expect.any(String));
  });

  it("of no organization is none", () => {
    expect(activityOf({ at: 1, message: "reconcile failed", fields: { mode: "tick" } })).toBeUndefined();
  });
});

describe("a filter", () => {
  const activity = of("job", { ...job, result: "unchanged" }) as Activity;
  it.each([
    ["nothing", {}, true],
    ["the person", { subject: ADA }, true],
    ["another person", { subject: "a2b4c6d8-1e3f-4a5b-8c7d-9e0f1a2b3c4d" }, false],
    ["the organization and the result", { organization: "acme", result: "unchanged" as const }, true],
    ["another organization", { organization: "north" }, false],
    ["another result", { result: "parked" as const }, false],
    ["a time after it", { since: 2 }, false],
    ["its very time", { since: 1 }, true],
  ])("by %s decides", (_name, filter, expected) => {
    expect(matchesActivity(filter, activity)).toBe(expected);
  });
});
