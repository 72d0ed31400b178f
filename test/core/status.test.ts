import { describe, expect, it } from "vitest";
import { assess, clockTime, type OrganizationStatus, type PipelineStatus } from "../../functions/core/status.ts";

const NOW = Date.UTC(2026, 10, 26, 15);
const AT_TWO = Date.UTC(2026, 10, 26, 14, 2);
const done = (differences = 0, found = {}) => ({
  beganAt: AT_TWO,
  endedAt: AT_TWO,
  result: "done",
  doneAt: AT_TWO,
  found: { people: 1_204, accounts: 1_204, differences, sent: differences, ...found },
});

const organization = (changes: Partial<OrganizationStatus> = {}): OrganizationStatus => ({
  organization: "acme",
  unusable: undefined,
  readable: true,
  paused: false,
  people: 1_204,
  accounts: 1_204,
  enabled: 1_200,
  jobs: { jobs: 0, delayed: 0, oldestAgeMs: undefined },
  waitsFor: undefined,
  editsWaiting: 0,
  runs: { full: done() },
  held: {},
  deadLetters: 0,
  leaversStillEnabled: 0,
  ...changes,
});
const pipeline = (organizations: OrganizationStatus[], changes: Partial<PipelineStatus> = {}): PipelineStatus => ({
  at: NOW,
  organizations,
  jobs: { jobs: 0, delayed: 0, oldestAgeMs: undefined },
  unread: 0,
  stopped: undefined,
  ...changes,
});
const of = (changes: Partial<OrganizationStatus>) => assess(pipeline([organization(changes)]));
const jobs = (number: number, delayed = 0) => ({ jobs: number, delayed, oldestAgeMs: NOW - AT_TWO });

describe("the first sentence of status", () => {
  it("says that all are in sync, and as of when", () => {
    expect(of({})).toEqual({
      sentence: "All 1,204 people are in sync as of 14:02 UTC.",
      inSync: true,
      concerns: [],
    });
  });

  it.each<[string, Partial<OrganizationStatus>, string[]]>([
    [
      "3 people wait for Nextcloud, since 14:02 UTC: no answer.",
      { jobs: jobs(3, 3), waitsFor: { server: "nextcloud", problem: "no answer" } },
      [
        "npx clavex-nextcloud doctor --organization acme",
        "npx clavex-nextcloud activity --organization acme --result retried",
      ],
    ],
    [
      "3 people wait for Nextcloud, since 14:02 UTC: no answer; next attempt at 15:00:30 UTC.",
      {
        jobs: jobs(3, 3),
        waitsFor: { server: "nextcloud", problem: "no answer", nextAt: NOW + 30_000 },
      },
      [
        "npx clavex-nextcloud doctor --organization acme",
        "npx clavex-nextcloud activity --organization acme --result retried",
      ],
    ],
    [
      "1 person waits for another attempt, since 14:02 UTC: the queue cannot be used.",
      { jobs: jobs(2, 1), waitsFor: { server: undefined, problem: "the queue cannot be used" } },
      [
        "npx clavex-nextcloud doctor --organization acme",
        "npx clavex-nextcloud activity --organization acme --result retried",
      ],
    ],
    [
      "Deprovisioning is blocked for 40 people, since 14:02 UTC.",
      { held: { deprovisions: { since: AT_TWO, people: 40, explanation: undefined } } },
      [
        "npx clavex-nextcloud plan --organization acme",
        "npx clavex-nextcloud reconcile --organization acme --allow-deprovisions 40",
      ],
    ],
    [
      "Leaving groups is blocked, since 14:02 UTC.",
      { held: { leaves: { since: AT_TWO, people: undefined, explanation: undefined } } },
      [
        "npx clavex-nextcloud plan --organization acme",
        "npx clavex-nextcloud reconcile --organization acme --allow-leaves NUMBER",
      ],
    ],
    [
      "Deprovisioning is blocked for 1 person: Clavex shows no people.",
      { held: { deprovisions: { since: undefined, people: 1, explanation: "Clavex shows no people" } } },
      ["npx clavex-nextcloud plan --organization acme"],
    ],
    [
      "The list of people could not be read to its end.",
      {
        runs: {
          full: done(0, {
            held: {
              reason: "partial-read",
              people: 0,
              explanation: "the list of people could not be read to its end",
            },
          }),
        },
      },
      ["npx clavex-nextcloud doctor --organization acme"],
    ],
    ["2 jobs are under way, since 14:02 UTC.", { jobs: jobs(2) }, []],
    [
      "3 people were refused by Nextcloud.",
      { deadLetters: 3 },
      ["npx clavex-nextcloud dead-letters list --organization acme"],
    ],
    [
      "1 person who left can still log in: Nextcloud refuses to disable them.",
      { leaversStillEnabled: 1 },
      ["npx clavex-nextcloud dead-letters list --organization acme"],
    ],
    [
      "The organization acme is paused.",
      { paused: true, runs: {}, deadLetters: 2 },
      ["npx clavex-nextcloud plan --organization acme", "npx clavex-nextcloud resume --organization acme"],
    ],
    [
      "The last light reconciliation failed: clavex-unavailable.",
      { runs: { full: done(), light: { beganAt: 1, endedAt: 2, result: "clavex-unavailable" } } },
      [
        "npx clavex-nextcloud doctor --organization acme",
        "npx clavex-nextcloud activity --organization acme --result failed",
      ],
    ],
    [
      "No full reconciliation of acme has ended yet.",
      { runs: { full: { beganAt: 1 } } },
      ["npx clavex-nextcloud plan --organization acme", "npx clavex-nextcloud apply --organization acme"],
    ],
    ["12 changes of e-mail address or quota wait for Nextcloud's limit.", { editsWaiting: 12 }, []],
    [
      "The configuration of acme cannot be used: quota: no quota.",
      { unusable: "quota: no quota", runs: {} },
      ["npx clavex-nextcloud doctor --organization acme"],
    ],
  ])("is %j", (sentence, changes, commands) => {
    const assessment = of(changes);
    expect(assessment).toMatchObject({ sentence, inSync: false });
    expect(assessment.concerns).toHaveLength(1);
    expect(assessment.concerns[0]?.fixes).toEqual(commands);
  });

  it("tells the most urgent of several, and of whom; all are in the list", () => {
    const north = organization({ organization: "north", leaversStillEnabled: 2, deadLetters: 2 });
    const { sentence, concerns } = assess(pipeline([organization({ deadLetters: 1 }), north]));
    expect(sentence).toBe("north: 2 people who left can still log in: Nextcloud refuses to disable them.");
    expect(concerns.map(({ kind, organization: slug }) => [kind, slug])).toEqual([
      ["leavers", "north"],
      ["dead-letters", "acme"],
      ["dead-letters", "north"],
    ]);
  });

  it("says first of all that nobody works on the queue", () => {
    const stopped = { cause: "no pipeline runs on the state folder .local", fix: 'Start it with "npm start".' };
    const { sentence, concerns } = assess(pipeline([organization({ leaversStillEnabled: 1 })], { stopped }));
    expect(sentence).toBe("No pipeline runs on the state folder .local.");
    expect(concerns.map(({ kind }) => kind)).toEqual(["stopped", "leavers"]);
  });

  it("counts all jobs together where the queue does not tell organizations apart", () => {
    const blind = [organization({ jobs: undefined }), organization({ organization: "north", jobs: undefined })];
    expect(assess(pipeline(blind)).sentence).toBe("All 2,408 people are in sync as of 14:02 UTC.");
    const waiting = assess(pipeline(blind, { jobs: { jobs: 1, delayed: 0, oldestAgeMs: undefined }, unread: 2 }));
    expect(waiting.concerns.map(({ sentence }) => sentence)).toEqual([
      "2 messages were given up by the queue",
      "1 job waits in the queue or is under way",
    ]);
  });

  it("promises no more than what is known of organizations without an API key", () => {
    const blind = { readable: false, people: undefined, runs: {} };
    expect(of(blind).sentence).toBe("All that Clavex has delivered is done.");
    const both = assess(pipeline([organization({ people: 1 }), organization({ ...blind, organization: "north" })]));
    expect(both.sentence).toBe(
      "The only person is in sync as of 14:02 UTC; of 1 organization only deliveries are known.",
    );
  });

  it("is as old as the oldest of the last full runs, with the date if that was another day", () => {
    const old = Date.UTC(2026, 10, 25, 3, 7);
    const before = organization({ organization: "north", runs: { full: { ...done(), doneAt: old } } });
    expect(assess(pipeline([organization(), before])).sentence).toBe(
      "All 2,408 people are in sync as of 2026-11-25 03:07 UTC.",
    );
    expect([clockTime(AT_TWO, NOW), clockTime(old, NOW)]).toEqual(["14:02 UTC", "2026-11-25 03:07 UTC"]);
  });
});
