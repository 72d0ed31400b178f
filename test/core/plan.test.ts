import { describe, expect, it } from "vitest";
import { AccountConflict, type ActualAccount, type Profile, ProfileRefused } from "../../functions/core/account.ts";
import type { DesiredAccount, DesiredGroup } from "../../functions/core/desired.ts";
import { type GroupKnowledge, type Operation, type Plan, plan } from "../../functions/core/plan.ts";
import { parseQuota } from "../../functions/core/quota.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import { fc } from "../support/fast-check.ts";
import { type Choices, IDENTITIES, organizationOf } from "./organization.ts";

const GB = 1024 ** 3;
const ID = "account-of-ada";

const group = (gid: string, source: DesiredGroup["source"] = "clavex"): DesiredGroup => ({
  gid,
  displayName: gid,
  source,
  name: gid,
});

/** A desired account in short: what is left out is as the account has it. */
interface Wish extends Partial<Profile> {
  state?: DesiredAccount["state"];
  groups?: DesiredGroup[];
  /** Default true. */
  groupsKnown?: boolean;
  notes?: string[];
}

function desiredOf({
  state = "active",
  groups = [],
  groupsKnown = true,
  notes = [],
  ...profile
}: Wish): DesiredAccount {
  const person = { subject: "ada", accountId: ID, notes };
  if (state !== "active") return { ...person, state };
  const directoryGroups = groups.filter(({ source }) => source === "clavex");
  return {
    ...person,
    state,
    profile: { displayName: "Ada Lovelace", email: "ada@acme.example", quota: 5 * GB, ...profile },
    quotaRule: "default",
    directoryGroups: groupsKnown ? directoryGroups : "unknown",
    unreadGroups: [],
    alwaysGroups: groups.filter(({ source }) => source === "always"),
  };
}

const actualOf = (fields: Partial<ActualAccount> = {}): ActualAccount => ({
  id: ID,
  enabled: true,
  backend: "user_oidc",
  displayName: "Ada Lovelace",
  email: "ada@acme.example",
  quota: 5 * GB,
  hasLoggedIn: false,
  used: undefined,
  showsAllGroups: true,
  groups: [],
  ...fields,
});

const recordOf = (fields: Partial<SubjectRecord> = {}): SubjectRecord => ({
  ...newRecord("ada", ID),
  state: "active",
  revision: 1,
  ...fields,
});

interface Situation {
  choices?: Choices;
  desired?: Wish;
  /** null: there is no account. */
  actual?: Partial<ActualAccount> | null;
  record?: Partial<SubjectRecord>;
  deletable?: boolean;
  skeletonIsEmpty?: boolean;
  groups?: Record<string, GroupKnowledge | GroupKnowledge["ownership"]>;
}

function planFor(situation: Situation): Plan {
  const { choices = {}, desired = {}, actual = {}, record, groups = {} } = situation;
  const { deletable = false, skeletonIsEmpty = false } = situation;
  return plan({
    organization: organizationOf(choices),
    desired: desiredOf(desired),
    actual: actual === null ? undefined : actualOf(actual),
    record: record && recordOf(record),
    deletable,
    skeletonIsEmpty,
    groups: new Map(
      Object.entries(groups).map(([gid, known]) => [
        gid,
        typeof known === "string" ? { ownership: known, ...(known === "ours" ? { name: gid } : {}) } : known,
      ]),
    ),
  });
}

/** The operations as short texts. */
const steps = (result: Plan): string[] => result.operations.map(step);
function step(operation: Operation): string {
  switch (operation.kind) {
    case "leave":
      return `leave ${operation.gid}`;
    case "join":
      return `join ${operation.group.gid}`;
    case "upsert":
      return `upsert ${operation.changes.join("+")}`;
    case "create":
      return `create ${operation.groups.map(({ gid }) => gid).join("+")}`;
    case "edit":
      return `edit ${operation.key}=${operation.value}`;
    default:
      return operation.kind;
  }
}

const CORE: Choices = { identity: IDENTITIES.database };

describe("the plan for an active person", () => {
  it("who is as desired does nothing", () => {
    const result = planFor({
      desired: { groups: [group("eng"), group("everybody", "always")] },
      actual: { groups: ["eng", "everybody", "chess club"] },
      groups: { eng: "ours", everybody: "local", "chess club": "local" },
    });
    expect(result).toEqual({ operations: [], memberships: ["eng"], notes: [] });
  });

  it("takes access away first and gives it last", () => {
    const result = planFor({
      desired: { displayName: "Ada King", groups: [group("new"), group("newer")] },
      actual: { groups: ["old", "older"], enabled: false },
      record: { disabledByUs: true, groups: ["old"] },
      groups: { old: "ours", older: "ours", new: "ours", newer: "free" },
    });
    expect(steps(result)).toEqual([
      "leave old",
      "leave older",
      "upsert displayname",
      "join new",
      "join newer",
      "enable",
    ]);
  });

  it("without an account makes it before the groups are joined", () => {
    const result = planFor({
      actual: null,
      desired: { groups: [group("eng"), group("everybody", "always")] },
      groups: { eng: "free" },
    });
    expect(steps(result)).toEqual(["upsert account", "join eng", "join everybody"]);
    expect(result.memberships).toEqual([]);
  });

  it.each([
    [{ displayName: "Ada King" }, "upsert displayname"],
    [{ email: "king@acme.example" }, "upsert email"],
    [{ quota: GB }, "upsert quota"],
    [{ quota: "none" as const }, "upsert quota"],
    [{ displayName: "Ada King", email: "king@acme.example", quota: 0 }, "upsert displayname+email+quota"],
  ])("who should have %j is brought there in one call with the whole profile", (fields, wanted) => {
    const result = planFor({ desired: fields });
    expect(steps(result)).toEqual([wanted]);
    expect(result.operations).toMatchObject([
      { profile: { displayName: "Ada Lovelace", email: "ada@acme.example", quota: 5 * GB, ...fields } },
    ]);
  });

  it("compares e-mail addresses without letter case, and names with it", () => {
    expect(steps(planFor({ desired: { email: "Ada@ACME.Example" } }))).toEqual([]);
    expect(steps(planFor({ desired: { displayName: "ada lovelace" } }))).toEqual(["upsert displayname"]);
  });

  it("leaves alone what the directory or the policy does not say", () => {
    const result = planFor({ desired: { displayName: "", email: "", quota: undefined }, actual: { quota: "none" } });
    expect(steps(result)).toEqual([]);
  });

  it("leaves a quota alone that the account shows in no form that can be compared, and goes on with the rest", () => {
    expect(steps(planFor({ actual: { quota: undefined } }))).toEqual([]);
    const renamed = { desired: { displayName: "Ada King" }, actual: { quota: undefined } };
    expect(steps(planFor(renamed))).toEqual(["upsert displayname"]);
  });

  it("compares quotas after the server's own rounding", () => {
    const held = 123417395;
    expect(steps(planFor({ desired: { quota: parseQuota("123456789") }, actual: { quota: held } }))).toEqual([]);
  });

  it("keeps what could not be honoured among its notes", () => {
    expect(planFor({ desired: { notes: ["group 0 is skipped"] } }).notes).toEqual(["group 0 is skipped"]);
  });
});

describe("an account of the same id that is not the person's", () => {
  it.each([
    "active",
    "suspended",
    "deleted",
    "outOfScope",
  ] as const)("of another backend is a conflict, also when the person is %s", (state) => {
    const conflict = planFor({ desired: { state }, actual: { backend: "Database" } });
    expect(conflict.refusal).toBeInstanceOf(AccountConflict);
    expect(conflict.refusal?.message).toContain("Database");
    expect(conflict.operations).toEqual([]);
  });

  it("of another letter case is a conflict", () => {
    for (const [choices, backend] of [
      [{}, "user_oidc"],
      [CORE, "Database"],
    ] as const) {
      const conflict = planFor({ choices, actual: { id: ID.toUpperCase(), backend, groups: ["eng"] } });
      expect(conflict).toMatchObject({ operations: [], refusal: expect.any(AccountConflict) });
    }
  });

  it("is none in the core schemes, where login adopts it", () => {
    for (const identity of [IDENTITIES.database, IDENTITIES.sociallogin]) {
      for (const backend of ["Database", "user_oidc"]) {
        expect(steps(planFor({ choices: { identity }, actual: { backend } }))).toEqual([]);
      }
    }
  });

  it("is permanent, so that other people go on", () => {
    expect(planFor({ actual: { backend: "LDAP" } }).refusal).toMatchObject({ failureClass: "permanent" });
  });
});

describe("a person whose name Nextcloud cannot hold", () => {
  it.each([
    [IDENTITIES.hashed, 255],
    [IDENTITIES.database, 64],
    [IDENTITIES.sociallogin, 64],
  ])("in %j over %d characters is refused", (identity, most) => {
    const named = (length: number) =>
      planFor({ choices: { identity }, actual: null, desired: { displayName: "ü".repeat(length) } });
    expect(named(most).refusal).toBeUndefined();
    expect(named(most + 1)).toMatchObject({ operations: [], refusal: expect.any(ProfileRefused) });
  });

  it.each([
    [{}, "user_oidc", 256],
    [CORE, "Database", 65],
  ])("leaves the groups they no longer hold, and gets nothing", (choices, backend, length) => {
    const result = planFor({
      choices,
      desired: { displayName: "x".repeat(length), quota: 9 * GB, groups: [group("kept"), group("new")] },
      actual: { backend, enabled: false, groups: ["secret", "kept", "recorded", "theirs"] },
      record: { groups: ["recorded"], disabledByUs: true },
      groups: { secret: "ours", kept: "ours", new: "free", recorded: "local", theirs: "local" },
    });
    expect(steps(result)).toEqual(["leave secret", "leave recorded"]);
    expect(result).toMatchObject({ memberships: ["kept"], refusal: expect.any(ProfileRefused) });
  });

  it("is nevertheless disabled when they go", () => {
    expect(steps(planFor({ desired: { state: "suspended", displayName: "x".repeat(999) } }))).toEqual(["disable"]);
  });
});

describe("a disabled account of an active person", () => {
  it("is enabled again when we disabled it", () => {
    expect(planFor({ actual: { enabled: false }, record: { disabledByUs: true } })).toMatchObject({
      operations: [{ kind: "enable" }],
      notes: [],
    });
  });

  it.each([
    [undefined],
    [{ disabledByUs: false }],
  ])("stays locked and is reported when somebody else disabled it (ledger: %j)", (record) => {
    const result = planFor({ actual: { enabled: false }, ...(record ? { record } : {}) });
    expect(steps(result)).toEqual([]);
    expect(result.notes).toEqual([expect.stringContaining("not by us")]);
  });

  it("is kept up to date meanwhile", () => {
    const result = planFor({
      desired: { displayName: "Ada King", groups: [group("eng")] },
      actual: { enabled: false, groups: ["old"] },
      groups: { eng: "ours", old: "ours" },
    });
    expect(steps(result)).toEqual(["leave old", "upsert displayname", "join eng"]);
  });
});

describe("a person who is not active", () => {
  const STATES = ["suspended", "deleted", "outOfScope"] as const;

  it.each(STATES)("because %s is disabled and nothing else", (state) => {
    const result = planFor({
      desired: { state, displayName: "", email: "", quota: undefined },
      actual: { displayName: "Other", groups: ["eng", "chess club"] },
      record: { groups: ["eng"] },
      groups: { eng: "ours", "chess club": "local" },
    });
    expect(result).toEqual({ operations: [{ kind: "disable", effect: "revokes" }], memberships: ["eng"], notes: [] });
  });

  it.each(STATES)("because %s stays disabled without a request", (state) => {
    expect(planFor({ desired: { state }, actual: { enabled: false } }).operations).toEqual([]);
  });

  it.each(STATES)("because %s gets no account", (state) => {
    expect(planFor({ desired: { state }, actual: null }).operations).toEqual([]);
  });

  it.each(STATES)("because %s stays as they are where the policy says keep, which is noted", (state) => {
    const result = planFor({ choices: { deprovision: { [state]: "keep" } }, desired: { state } });
    expect(result.operations).toEqual([]);
    expect(result.notes).toEqual([expect.stringContaining(`deprovision.${state}`)]);
  });

  it.each(STATES)("because %s follows their own policy and not that of another state", (state) => {
    const others = Object.fromEntries(STATES.filter((other) => other !== state).map((other) => [other, "keep"]));
    expect(steps(planFor({ choices: { deprovision: others }, desired: { state } }))).toEqual(["disable"]);
  });

  it.each(STATES)("because %s is only disabled for now where the policy says delete", (state) => {
    expect(steps(planFor({ choices: { deprovision: { [state]: "delete" } }, desired: { state } }))).toEqual([
      "disable",
    ]);
  });

  it("is disabled again when somebody enabled the account that we had disabled", () => {
    const record = { disabledByUs: true, state: "suspended" as const };
    expect(steps(planFor({ desired: { state: "suspended" }, record }))).toEqual(["disable"]);
  });
});

describe("leaving groups", () => {
  it.each([
    ["the group is ours, whoever put them there", "ours", false, true],
    ["the group is ours and we put them there", "ours", true, true],
    ["the group is local and we put them there", "local", true, true],
    ["the group is local and somebody else put them there", "local", false, false],
    ["the group is another organization's", "other", false, false],
    ["the group has become another organization's", "other", true, false],
  ] as const)("%s: %s", (_, ownership, byUs, left) => {
    const result = planFor({
      actual: { groups: ["board"] },
      record: { groups: byUs ? ["board"] : [] },
      groups: { board: ownership },
    });
    expect(steps(result)).toEqual(left ? ["leave board"] : []);
    expect(result.memberships).toEqual([]);
  });

  it("never happens for a group that is desired, of either source", () => {
    const result = planFor({
      desired: { groups: [group("eng"), group("everybody", "always")] },
      actual: { groups: ["eng", "everybody"] },
      record: { groups: ["eng", "everybody"] },
      groups: { eng: "ours", everybody: "ours" },
    });
    expect(steps(result)).toEqual([]);
  });

  it("never happens while the person's groups are not known, and the ledger keeps what it has", () => {
    const result = planFor({
      desired: { groupsKnown: false, groups: [group("everybody", "always")] },
      actual: { groups: ["eng", "ops"] },
      record: { groups: ["eng", "ops"] },
      groups: { eng: "ours", ops: "local" },
    });
    expect(steps(result)).toEqual(["join everybody"]);
    expect(result.memberships).toEqual(["eng", "ops"]);
  });

  it.each<[NonNullable<Choices["groups"]>, string]>([
    [{ managed: ["ops"] }, "managed does not match any more"],
    [{ managed: [] }, "managed is empty"],
    [{ never: ["eng"] }, "never names it"],
  ])("does not happen for a group that is no longer managed (%j: %s)", (groups) => {
    const result = planFor({
      choices: { groups },
      actual: { groups: ["eng"] },
      record: { groups: ["eng"] },
      groups: { eng: { ownership: "ours", name: "eng" } },
    });
    expect(steps(result)).toEqual([]);
    expect(result.memberships).toEqual([]);
  });

  it("goes by the group's Clavex name and not by its id", () => {
    const result = planFor({
      choices: { groups: { managed: ["Engineering"] } },
      actual: { groups: ["bc74", "91ab"] },
      groups: { bc74: { ownership: "ours", name: "Engineering" }, "91ab": { ownership: "ours", name: "Operations" } },
    });
    expect(result.operations).toEqual([{ kind: "leave", effect: "revokes", gid: "bc74", name: "Engineering" }]);
  });

  it("spares the group admin that somebody gave in Nextcloud", () => {
    const result = planFor({ actual: { groups: ["admin"] }, groups: { admin: "local" } });
    expect(steps(result)).toEqual([]);
  });
});

describe("joining groups", () => {
  it.each(["ours", "free"] as const)("that are %s happens", (ownership) => {
    expect(steps(planFor({ desired: { groups: [group("eng")] }, groups: { eng: ownership } }))).toEqual(["join eng"]);
  });

  it("that were there before does not happen, and is reported", () => {
    const result = planFor({
      desired: { groups: [group("board"), group("eng")] },
      groups: { board: "local", eng: "ours" },
    });
    expect(steps(result)).toEqual(["join eng"]);
    expect(result.notes).toEqual([expect.stringContaining("groups.adopt")]);
  });

  it.each(["board", "bc74"])("that were there before happens when groups.adopt names %s", (adopted) => {
    const board: DesiredGroup = { ...group("bc74"), name: "board" };
    const choices = { groups: { adopt: [adopted] } };
    const result = planFor({ choices, desired: { groups: [board] }, groups: { bc74: "local" } });
    expect(result).toMatchObject({ operations: [{ kind: "join", group: board }], notes: [] });
  });

  it("of another organization does not happen, and is reported, adopted or not", () => {
    for (const adopt of [[], ["eng"]]) {
      const result = planFor({
        choices: { groups: { adopt } },
        desired: { groups: [group("eng")] },
        groups: { eng: "other" },
      });
      expect(steps(result)).toEqual([]);
      expect(result.notes).toEqual([expect.stringContaining("another organization owns")]);
    }
  });

  it("of `always` happens whoever made them, but for another organization's", () => {
    const desired = { groups: [group("everybody", "always"), group("theirs", "always")] };
    const result = planFor({ desired, groups: { everybody: "local", theirs: "other" } });
    expect(steps(result)).toEqual(["join everybody"]);
  });

  it("does not make a membership ours that somebody else gave in a local group", () => {
    const result = planFor({
      choices: { groups: { adopt: ["board"] } },
      desired: { groups: [group("board")] },
      actual: { groups: ["board"] },
      groups: { board: "local" },
    });
    expect(result).toEqual({ operations: [], memberships: [], notes: [] });
  });
});

describe("the plan for a core account", () => {
  it("that is not there makes it with its groups in one operation", () => {
    const result = planFor({
      choices: CORE,
      actual: null,
      desired: { groups: [group("eng"), group("board"), group("everybody", "always")] },
      groups: { eng: "free", board: "local" },
    });
    expect(steps(result)).toEqual(["create eng+everybody"]);
    expect(result.operations).toMatchObject([
      { profile: { displayName: "Ada Lovelace", email: "ada@acme.example", quota: 5 * GB } },
    ]);
    expect(result.notes).toEqual([expect.stringContaining("group board is skipped")]);
  });

  it("edits only the fields that differ, one operation each", () => {
    const actual = { backend: "Database" };
    expect(steps(planFor({ choices: CORE, actual }))).toEqual([]);
    expect(steps(planFor({ choices: CORE, actual, desired: { displayName: "Ada King", quota: 1.5 * GB } }))).toEqual([
      "edit displayname=Ada King",
      "edit quota=1.5 GB",
    ]);
    expect(steps(planFor({ choices: CORE, actual, desired: { email: "King@acme.example", quota: "none" } }))).toEqual([
      "edit email=King@acme.example",
      "edit quota=none",
    ]);
  });

  it("leaves the name to login where login has made the account its own, and says so", () => {
    const result = planFor({ choices: CORE, desired: { displayName: "Ada King", quota: GB } });
    expect(steps(result)).toEqual(["edit quota=1 GB"]);
    expect(result.notes).toEqual([expect.stringContaining("left to login")]);
  });

  it("leaves, joins, enables and edits in this order: nothing waits behind an edit", () => {
    const result = planFor({
      choices: CORE,
      desired: { email: "king@acme.example", groups: [group("new")] },
      actual: { backend: "Database", enabled: false, groups: ["old"] },
      record: { disabledByUs: true },
      groups: { old: "ours", new: "ours" },
    });
    expect(steps(result)).toEqual(["leave old", "join new", "enable", "edit email=king@acme.example"]);
  });
});

describe("the plan for an account of user_oidc that is there", () => {
  const changed = { displayName: "Ada King", email: "king@acme.example", quota: 6 * GB };

  it("is a POST while the person has never logged in", () => {
    expect(steps(planFor({ desired: changed }))).toEqual(["upsert displayname+email+quota"]);
  });

  it("repeats no POST over a person's files: e-mail address and quota are edits, and the name stays with a note", () => {
    const result = planFor({ desired: changed, actual: { hasLoggedIn: true } });
    expect(steps(result)).toEqual(["edit email=king@acme.example", "edit quota=6 GB"]);
    expect(result.notes).toEqual([expect.stringMatching(/name cannot be written.*skeletondirectory.*enrich/)]);
  });

  it("has no difference where only a name cannot be written", () => {
    const result = planFor({ desired: { displayName: "Ada King" }, actual: { hasLoggedIn: true } });
    expect(result).toMatchObject({ operations: [], notes: [expect.stringContaining("cannot be written")] });
  });

  it("is a POST for everybody where the skeleton is empty", () => {
    const result = planFor({ desired: changed, actual: { hasLoggedIn: true }, skeletonIsEmpty: true });
    expect(steps(result)).toEqual(["upsert displayname+email+quota"]);
    expect(result.notes).toEqual([]);
  });

  it("edits last", () => {
    const result = planFor({
      desired: { quota: GB, groups: [group("new")] },
      actual: { hasLoggedIn: true, enabled: false, groups: ["old"] },
      record: { disabledByUs: true },
      groups: { old: "ours", new: "ours" },
    });
    expect(steps(result)).toEqual(["leave old", "join new", "enable", "edit quota=1 GB"]);
  });
});

describe("every plan", () => {
  const GIDS = ["a", "b", "c", "d"];
  const situation = fc.record({
    state: fc.constantFrom("active" as const, "suspended" as const, "deleted" as const, "outOfScope" as const),
    groupsKnown: fc.boolean(),
    desired: fc.subarray(GIDS),
    always: fc.subarray(GIDS),
    member: fc.subarray(GIDS),
    ledger: fc.subarray(GIDS),
    ownership: fc.array(fc.constantFrom("ours" as const, "free" as const, "local" as const, "other" as const), {
      minLength: 4,
      maxLength: 4,
    }),
    exists: fc.boolean(),
    hasLoggedIn: fc.boolean(),
    skeletonIsEmpty: fc.boolean(),
    enabled: fc.boolean(),
    disabledByUs: fc.boolean(),
    oidc: fc.boolean(),
    name: fc.constantFrom("", "Ada Lovelace", "Ada King", "x".repeat(65), "x".repeat(256)),
    email: fc.constantFrom("", "ada@acme.example", "ADA@acme.example", "king@acme.example"),
    quota: fc.constantFrom(undefined, "none" as const, 0, GB),
  });

  it("is done once: carried out, it leaves nothing to do", () => {
    fc.assert(
      fc.property(situation, (random) => {
        const choices = random.oidc ? {} : CORE;
        const backend = random.oidc ? "user_oidc" : "Database";
        const always = random.always.filter((gid) => !random.desired.includes(gid));
        const desired = {
          state: random.state,
          groupsKnown: random.groupsKnown,
          displayName: random.name,
          email: random.email,
          quota: random.quota,
          groups: [...random.desired.map((gid) => group(gid)), ...always.map((gid) => group(gid, "always"))],
        };
        const groups = Object.fromEntries(GIDS.map((gid, index) => [gid, random.ownership[index] ?? "local"]));
        // Nobody is a member of a group that does not exist.
        const member = random.member.filter((gid) => groups[gid] !== "free");
        const account: ActualAccount | undefined = random.exists
          ? actualOf({ backend, enabled: random.enabled, hasLoggedIn: random.hasLoggedIn, groups: member })
          : undefined;
        const record = recordOf({ groups: random.ledger, disabledByUs: random.disabledByUs });
        const { skeletonIsEmpty } = random;
        const first = planFor({ choices, desired, actual: account ?? null, record, groups, skeletonIsEmpty });

        const kinds = first.operations.map(({ kind }) => kind);
        expect(kinds.lastIndexOf("leave")).toBeLessThanOrEqual(kinds.findIndex((kind) => kind !== "leave") >>> 0);
        if (kinds.includes("disable")) expect(kinds).toEqual(["disable"]);
        if (kinds.includes("enable")) expect(kinds.findLast((kind) => kind !== "edit")).toBe("enable");
        if (kinds.includes("edit")) expect(kinds.lastIndexOf("edit")).toBe(kinds.length - 1);
        const posts = kinds.includes("upsert") && account !== undefined;
        if (posts) expect(skeletonIsEmpty || !account.hasLoggedIn).toBe(true);
        for (const operation of first.operations) {
          if (operation.kind !== "leave") continue;
          expect(groups[operation.gid] === "ours" || random.ledger.includes(operation.gid)).toBe(true);
          expect(groups[operation.gid]).not.toBe("other");
        }

        const after = first.operations.reduce<ActualAccount | undefined>(carryOut, account);
        const made = Object.fromEntries(
          GIDS.map((gid) => [
            gid,
            groups[gid] === "free" && after?.groups.includes(gid) ? "ours" : (groups[gid] ?? "local"),
          ]),
        );
        const again = planFor({
          choices,
          desired,
          actual: after ?? null,
          record: { ...record, groups: [...first.memberships, ...joinsOf(first)] },
          groups: made,
          skeletonIsEmpty,
        });
        expect(steps(again)).toEqual([]);
      }),
      { numRuns: 3_000 },
    );
  });

  it("takes access away first, and all of it, whatever else is refused", () => {
    fc.assert(
      fc.property(situation, fc.nat({ max: 300 }), (random, length) => {
        const choices = random.oidc ? {} : CORE;
        const situationOf = (displayName: string): Situation => ({
          choices,
          desired: {
            state: random.state,
            groupsKnown: random.groupsKnown,
            displayName,
            groups: random.desired.map((gid) => group(gid)),
          },
          actual: random.exists
            ? {
                backend: random.oidc ? "user_oidc" : "Database",
                enabled: random.enabled,
                groups: random.member,
              }
            : null,
          record: { groups: random.ledger, disabledByUs: random.disabledByUs },
          groups: Object.fromEntries(GIDS.map((gid, index) => [gid, random.ownership[index] ?? "local"])),
        });
        const result = planFor(situationOf("x".repeat(length)));
        const effects = result.operations.map(({ effect }) => effect);
        const revokes = effects.filter((effect) => effect === "revokes");
        expect(effects.slice(0, revokes.length)).toEqual(revokes);
        if (result.refusal) expect(effects).toEqual(revokes);

        const unrefused = planFor(situationOf("Ada Lovelace"));
        expect(unrefused.refusal).toBeUndefined();
        expect(result.operations.filter(({ effect }) => effect === "revokes")).toEqual(
          unrefused.operations.filter(({ effect }) => effect === "revokes"),
        );
      }),
      { numRuns: 3_000 },
    );
  });

  function carryOut(account: ActualAccount | undefined, operation: Operation): ActualAccount | undefined {
    const present = account ?? actualOf({ displayName: ID, email: "", quota: "none", groups: [] });
    switch (operation.kind) {
      case "disable":
      case "enable":
        return { ...present, enabled: operation.kind === "enable" };
      case "leave":
        return { ...present, groups: present.groups.filter((gid) => gid !== operation.gid) };
      case "join":
        return { ...present, groups: [...present.groups, operation.group.gid] };
      case "edit":
        if (operation.key === "displayname") return { ...present, displayName: operation.value };
        if (operation.key === "email") return { ...present, email: operation.value };
        return { ...present, quota: parseQuota(operation.value) };
      case "upsert":
      case "create": {
        const { displayName, email, quota } = operation.profile;
        return {
          ...present,
          ...(account === undefined && operation.kind === "create" ? { backend: "Database" } : {}),
          ...(displayName === "" ? {} : { displayName }),
          ...(email === "" ? {} : { email }),
          ...(quota === undefined ? {} : { quota }),
          ...(operation.kind === "create" ? { groups: operation.groups.map(({ gid }) => gid) } : {}),
        };
      }
    }
  }

  const joinsOf = (result: Plan): string[] =>
    result.operations.flatMap((operation) => {
      if (operation.kind === "join") return operation.group.source === "clavex" ? [operation.group.gid] : [];
      if (operation.kind === "create")
        return operation.groups.filter(({ source }) => source === "clavex").map(({ gid }) => gid);
      return [];
    });
});
