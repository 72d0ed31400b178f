import { describe, expect, it } from "vitest";
import type { ActualAccount } from "../../functions/core/account.ts";
import { type EvaluationInput, evaluate } from "../../functions/core/evaluate.ts";
import { accountId, groupId } from "../../functions/core/identity.ts";
import type { Traits } from "../../functions/core/person.ts";
import type { GroupKnowledge } from "../../functions/core/plan.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import { type Choices, IDENTITIES, organizationOf } from "./organization.ts";

const ADA = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const NOW = Date.UTC(2026, 6, 23, 8);
const DAY_MS = 24 * 60 * 60_000;

const traits = (fields: Partial<Traits> = {}): Traits => ({
  email: "ada@acme.example",
  firstName: "Ada",
  lastName: "Lovelace",
  active: true,
  erased: false,
  emailVerified: true,
  attributes: {},
  ...fields,
});

/** Raw ids: a group's id is its name. */
function inputOf(fields: Partial<EvaluationInput> = {}, choices: Choices = {}): EvaluationInput {
  return {
    organization: organizationOf({ identity: IDENTITIES.raw, ...choices }),
    subject: ADA,
    directory: { person: traits(), groups: ["eng"] },
    account: undefined,
    record: undefined,
    groups: new Map([["eng", { ownership: "ours", name: "eng" }]]),
    mayPurge: false,
    skeletonIsEmpty: false,
    now: NOW,
    ...fields,
  };
}
const accountOf = (fields: Partial<ActualAccount> = {}): ActualAccount => ({
  id: ADA,
  enabled: true,
  backend: "user_oidc",
  displayName: "Ada Lovelace",
  email: "ada@acme.example",
  quota: undefined,
  hasLoggedIn: false,
  used: undefined,
  showsAllGroups: true,
  groups: [],
  ...fields,
});
const recordOf = (fields: Partial<SubjectRecord>): SubjectRecord => ({ ...newRecord(ADA, ADA), ...fields });
const knowledge = (...gids: string[]): Map<string, GroupKnowledge> =>
  new Map(gids.map((gid) => [gid, { ownership: "ours", name: gid }]));
const kinds = (input: EvaluationInput): string[] => {
  const evaluation = evaluate(input);
  if (evaluation.result !== "planned") throw new Error(`the result is ${evaluation.result}`);
  return evaluation.plan.operations.map(({ kind }) => kind);
};

describe("a person of whom everything is known", () => {
  it("gets a plan to what is desired", () => {
    const evaluation = evaluate(inputOf());
    expect(evaluation).toMatchObject({
      result: "planned",
      desired: { state: "active", accountId: ADA, directoryGroups: [{ gid: "eng" }] },
      plan: { operations: [{ kind: "upsert" }, { kind: "join", group: { gid: "eng" } }] },
    });
  });

  it("who has all that is desired gets an empty plan, with the memberships that are ours", () => {
    const evaluation = evaluate(inputOf({ account: accountOf({ groups: ["eng"] }) }));
    expect(evaluation).toMatchObject({ result: "planned", plan: { operations: [], memberships: ["eng"] } });
  });

  it("gets the same evaluation from the same input, and the input stays as it is", () => {
    const input = Object.freeze(inputOf({ account: accountOf({ groups: ["ops"] }), groups: knowledge("eng", "ops") }));
    const before = JSON.stringify(input);
    expect(evaluate(input)).toEqual(evaluate(input));
    expect(JSON.stringify(input)).toBe(before);
  });
});

describe("groups that nobody has looked up", () => {
  it("are asked for, exactly those: desired ones and those of the account", () => {
    const input = inputOf(
      {
        directory: { person: traits(), groups: ["eng", "ops", "known"] },
        account: accountOf({ groups: ["eng", "local", "seen"] }),
        groups: knowledge("known", "seen"),
      },
      { groups: { always: ["everybody"] } },
    );
    const evaluation = evaluate(input);
    if (evaluation.result !== "unknown-groups") throw new Error(`the result is ${evaluation.result}`);
    expect(evaluation.desired).toMatchObject({ state: "active" });
    expect(evaluation.questions.toSorted((one, other) => one.gid.localeCompare(other.gid))).toEqual([
      { gid: "eng", always: false, exists: true },
      { gid: "everybody", always: true, exists: false },
      { gid: "local", always: false, exists: true },
      { gid: "ops", always: false, exists: false },
    ]);
  });

  it("are asked for once: with the answers there is a plan", () => {
    const input = inputOf({ account: accountOf({ groups: ["local"] }), groups: new Map() });
    const evaluation = evaluate(input);
    if (evaluation.result !== "unknown-groups") throw new Error(`the result is ${evaluation.result}`);
    const answers = knowledge(...evaluation.questions.map(({ gid }) => gid));
    expect(evaluate({ ...input, groups: answers }).result).toBe("planned");
  });

  it("are asked for by the ids that the organization's identity makes", () => {
    const input = inputOf({ groups: new Map() }, { identity: IDENTITIES.hashed });
    expect(evaluate(input)).toMatchObject({
      result: "unknown-groups",
      questions: [{ gid: groupId(input.organization.identity, "eng") }],
    });
  });

  it("are not asked for where they are not managed, nor where the directory's groups cannot be read", () => {
    expect(kinds(inputOf({ groups: new Map() }, { groups: { managed: ["ops"] } }))).toEqual(["upsert"]);
    expect(kinds(inputOf({ directory: { person: traits(), groups: undefined }, groups: new Map() }))).toEqual([
      "upsert",
    ]);
  });

  it.each<[string, EvaluationInput["directory"]]>([
    ["suspended", { person: traits({ active: false }), groups: ["eng"] }],
    ["gone", { person: undefined, groups: undefined }],
    ["erased", { person: traits({ erased: true }), groups: ["eng"] }],
  ])("delay nobody who is %s: they are disabled without a question", (_name, directory) => {
    const account = accountOf({ groups: ["eng", "local"] });
    const choices = { groups: { always: ["everybody"] } };
    expect(kinds(inputOf({ directory, account, groups: new Map() }, choices))).toEqual(["disable"]);
  });

  it("delay nobody who is out of the scope", () => {
    const account = accountOf({ groups: ["eng"] });
    expect(kinds(inputOf({ account, groups: new Map() }, { scope: { groups: ["staff"] } }))).toEqual(["disable"]);
  });
});

describe("a refusal", () => {
  it("is the person's own: an account of this id belongs to somebody else", () => {
    const evaluation = evaluate(inputOf({ account: accountOf({ backend: "Database" }) }));
    expect(evaluation).toMatchObject({
      result: "planned",
      desired: { accountId: ADA },
      plan: {
        operations: [],
        refusal: { failureClass: "permanent", code: "account-conflict", scope: "subject" },
      },
    });
  });

  it("is of the desired state that Nextcloud cannot hold", () => {
    const person = traits({ firstName: "A".repeat(300) });
    expect(evaluate(inputOf({ directory: { person, groups: ["eng"] } }))).toMatchObject({
      result: "planned",
      desired: { state: "active", profile: { displayName: expect.stringMatching(/^A{300}/) } },
      plan: { operations: [], refusal: { code: "profile-refused" } },
    });
  });

  it("of a name keeps nobody who is suspended from being disabled", () => {
    const person = traits({ firstName: "A".repeat(300), active: false });
    expect(kinds(inputOf({ directory: { person, groups: [] }, account: accountOf() }))).toEqual(["disable"]);
  });
});

describe("deleting an account", () => {
  const choices: Choices = { deprovision: { deleted: "delete", graceDays: 30 } };
  const gone: Partial<EvaluationInput> = {
    directory: { person: undefined, groups: undefined },
    account: accountOf({ enabled: false }),
    record: recordOf({ state: "deleted", disabledByUs: true, goneSince: NOW - 30 * DAY_MS }),
    mayPurge: true,
  };
  const cases: [string, Partial<EvaluationInput>, Choices, string[]][] = [
    ["is planned when the grace period is over", {}, choices, ["delete"]],
    ["is not planned by a job that may not", { mayPurge: false }, choices, []],
    ["is not planned a moment before", { now: NOW - 1 }, choices, []],
    ["is not planned where the policy is to disable", {}, {}, []],
    [
      "is not planned where somebody else disabled the account",
      { record: recordOf({ state: "deleted", disabledByUs: false, goneSince: 0 }) },
      choices,
      [],
    ],
    ["is not planned where nobody knows since when the person is gone", { record: undefined }, choices, []],
    ["is not planned in one step with the disabling", { account: accountOf() }, choices, ["disable"]],
  ];
  it.each(cases)("%s", (_name, fields, policy, expected) => {
    expect(kinds(inputOf({ ...gone, ...fields }, policy))).toEqual(expected);
  });
});

it("the account that is planned for is the one that the person's login opens", () => {
  for (const identity of Object.values(IDENTITIES)) {
    const input = inputOf({ directory: { person: traits(), groups: [] } }, { identity });
    expect(evaluate(input).desired.accountId).toBe(accountId(input.organization.identity, ADA));
  }
});
