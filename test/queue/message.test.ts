import { describe, expect, it } from "vitest";
import { parseJob } from "../../functions/queue/parse-job.ts";
import { personJob } from "../support/jobs.ts";

describe("a queue message that is no job", () => {
  const job = personJob("acme", "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21");

  it.each<[what: string, body: unknown]>([
    ["nothing", null],
    ["a list", []],
    ["without a kind", { ...job, kind: undefined }],
    ["of another version", { ...job, version: 99 }],
    ["of another kind", { ...job, kind: "party" }],
    ["with another subject", { ...job, subject: "ada" }],
    ["with a number for its organization", { ...job, organization: 1 }],
    ["without a trigger", { ...job, trigger: undefined }],
    ["with another trigger", { ...job, trigger: { kind: "moon" } }],
  ])("is told in our words: %s", (_what, body) => {
    const message = (() => {
      try {
        parseJob(JSON.stringify(body));
        return "it is a job";
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(message).toMatch(/^a queue message cannot be read: .+ (?:is|must be) /);
    expect(message).not.toMatch(/Invalid|expected string|received|discriminator/);
  });

  it("is none when it is one", () => {
    expect(parseJob(JSON.stringify(job))).toEqual(job);
  });
});
