import { describe, expect, it } from "vitest";
import { type ClavexUser, userSchema } from "../../functions/clavex/user.ts";
import {
  type DesiredAccount,
  type DesiredGroup,
  desiredAccount,
  desiredGroups,
  desiredHash,
  isManaged,
  isRelevant,
  nextcloudGroup,
} from "../../functions/core/desired.ts";
import { type Organization, organizationSchema } from "../../functions/core/organization.ts";
import { matchesAny } from "../../functions/core/patterns.ts";
import type { Quota } from "../../functions/core/quota.ts";
import { together } from "../../functions/core/together.ts";
import { type Choices, IDENTITIES, organizationOf } from "./organization.ts";

const GB = 1024 ** 3;
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";

function userOf(fields: Record<string, unknown> = {}): ClavexUser {
  return userSchema.parse({
    id: SUBJECT,
    org_id: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
    email: "ada@acme.example",
    first_name: "Ada",
    last_name: "Lovelace",
    is_active: true,
    metadata: null,
    updated_at: "2026-07-23T10:15:30.1201+02:00",
    ...fields,
  });
}

/** A desired account with what it says of an active person beside the rest, and nothing where it says nothing. */
type Flat = DesiredAccount & {
  displayName: string;
  email: string;
  quota: Quota | undefined;
  quotaRule: string;
  groups: DesiredGroup[];
  groupsKnown: boolean;
};

function flat(desired: DesiredAccount): Flat {
  const active = desired.state === "active" ? desired : undefined;
  const { displayName = "", email = "", quota } = active?.profile ?? {};
  return {
    ...desired,
    displayName,
    email,
    quota,
    quotaRule: active?.quotaRule ?? "none",
    groups: desiredGroups(desired),
    groupsKnown: active?.directoryGroups !== "unknown",
  };
}

/** What is desired of a person in these groups. */
function desire(choices: Choices, user: ClavexUser | undefined, groups: readonly string[] | undefined = []): Flat {
  return flat(desiredAccount(organizationOf(choices), SUBJECT, { person: user, groups }));
}

const names = (desired: Flat): string[] => desired.groups.map(({ name }) => name);
const RAW: Choices = { identity: IDENTITIES.raw };

describe("the state of a person", () => {
  it.each([
    ["who is active", userOf(), "active"],
    ["who is not active", userOf({ is_active: false }), "suspended"],
    ["who is gone", undefined, "deleted"],
    ["who was erased", userOf({ email: "erased_0123456789abcdef@gdpr.invalid", is_active: false }), "deleted"],
    ["who was made anonymous", userOf({ email: `anon-${SUBJECT}@gdpr.deleted`, is_active: false }), "deleted"],
    ["who was erased but is active", userOf({ email: "erased_0123456789abcdef@gdpr.invalid" }), "deleted"],
    ["whose address only looks like it", userOf({ email: "erased_me@gdpr.invalid" }), "active"],
  ])("%s is as Clavex says", (_, user, state) => {
    expect(desire({}, user).state).toBe(state);
  });

  it.each([undefined, userOf({ is_active: false })])("who is not active desires no profile and no group", (user) => {
    const desired = desire({ ...RAW, groups: { always: ["everybody"] }, quota: { default: "5 GB" } }, user, ["eng"]);
    expect(desired).toMatchObject({ displayName: "", email: "", quota: undefined, groups: [], notes: [] });
    expect(desired).toMatchObject({ subject: SUBJECT, accountId: SUBJECT });
  });
});

describe("the scope", () => {
  const scope = (...groups: string[]): Choices => ({ scope: { groups } });

  it("that is empty is everybody", () => {
    expect(desire(scope(), userOf(), []).state).toBe("active");
  });

  it.each([
    [["Cloud"], ["Cloud"], "active"],
    [["Cloud"], ["cloud"], "outOfScope"],
    [["Cloud*"], ["Cloud/Berlin"], "active"],
    [["A", "B"], ["B"], "active"],
    [["Cloud"], ["Cloud users"], "outOfScope"],
    [["Cloud"], [], "outOfScope"],
  ])("%j gives those in %j the state %s", (patterns, groups, state) => {
    expect(desire(scope(...patterns), userOf(), groups).state).toBe(state);
  });

  it("does not make a suspended or deleted person less so", () => {
    expect(desire(scope("Cloud"), userOf({ is_active: false }), []).state).toBe("suspended");
    expect(desire(scope("Cloud"), undefined, []).state).toBe("deleted");
  });

  it("may be given by a group whose membership is not managed", () => {
    const desired = desire({ ...scope("Cloud"), groups: { managed: [] } }, userOf(), ["Cloud"]);
    expect(desired).toMatchObject({ state: "active", groups: [] });
  });
});

describe("the groups", () => {
  it("are by default all of the directory, with hashed ids and their own names", () => {
    const desired = desire({}, userOf(), ["eng"]);
    expect(desired.groups).toEqual([
      {
        gid: "bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112",
        displayName: "eng",
        source: "clavex",
        name: "eng",
      },
    ]);
    expect(desired.groupsKnown).toBe(true);
  });

  it("are those that `managed` matches and `never` does not", () => {
    const groups = { managed: ["eng*", "Sales"], never: ["eng-secret*"] };
    const all = ["eng", "eng-web", "eng-secret", "eng-secret-2", "Sales", "sales", "Ops"];
    expect(names(desire({ groups }, userOf(), all))).toEqual(["eng", "eng-web", "Sales"]);
  });

  it("are none with an empty `managed`", () => {
    expect(desire({ groups: { managed: [] } }, userOf(), ["eng"]).groups).toEqual([]);
  });

  it("are chosen by their Clavex names, not by what they are called in Nextcloud", () => {
    const groups = { managed: ["acme-*"], prefix: "acme-" };
    expect(names(desire({ ...RAW, groups }, userOf(), ["eng"]))).toEqual([]);
    expect(desire({ ...RAW, groups }, userOf(), ["acme-eng"]).groups).toMatchObject([{ gid: "acme-acme-eng" }]);
  });

  it("get the prefix before their ids are computed", () => {
    const [plain] = desire({ groups: { prefix: "" } }, userOf(), ["acme-eng"]).groups;
    const [prefixed] = desire({ groups: { prefix: "acme-" } }, userOf(), ["eng"]).groups;
    expect(prefixed).toEqual({ ...plain, displayName: "acme-eng", name: "eng" });
  });

  it.each([
    [IDENTITIES.raw, "eng"],
    [IDENTITIES.providerBased, "clavex-eng"],
    [IDENTITIES.database, "eng"],
    [IDENTITIES.sociallogin, "clavex-eng"],
  ])("in %j have the id %s", (identity, gid) => {
    expect(desire({ identity }, userOf(), ["eng"]).groups).toMatchObject([{ gid, displayName: "eng" }]);
  });

  it("include those of `always`, by their plain Nextcloud ids, without prefix or hash", () => {
    const groups = { managed: [], always: ["everybody"], prefix: "acme-" };
    expect(desire({ groups }, userOf(), ["eng"]).groups).toEqual([
      { gid: "everybody", displayName: "everybody", source: "always", name: "everybody" },
    ]);
  });

  it("of `always` are there once for those who are in a directory group of the same id", () => {
    const desired = desire({ ...RAW, groups: { always: ["staff"] } }, userOf(), ["staff"]);
    expect(desired.groups.map(({ gid }) => gid)).toEqual(["staff"]);
  });

  it("that cannot be read are not known, but `always` holds", () => {
    const organization = organizationOf({ ...RAW, groups: { always: ["everybody"] } });
    const desired = flat(desiredAccount(organization, SUBJECT, { person: userOf(), groups: undefined }));
    expect(desired.groupsKnown).toBe(false);
    expect(names(desired)).toEqual(["everybody"]);
  });
});

describe("the group admin", () => {
  const admin = (groups: Choices["groups"], name = "admin", identity: object = IDENTITIES.raw) =>
    desire({ identity, ...(groups ? { groups } : {}) }, userOf(), [name, "eng"]);

  it.each([
    [["*"]],
    [["a*", "eng"]],
    [["?dmin", "eng"]],
    [["admi?", "eng"]],
  ])("is refused where `managed` %j names it by a pattern only, and the rest is joined", (managed) => {
    const desired = admin({ managed });
    expect(names(desired)).toEqual(["eng"]);
    expect(desired.notes).toEqual([expect.stringContaining("group admin is skipped")]);
    expect(desired.notes[0]).toContain("administrators");
  });

  it("is a group like others where `managed` names it literally", () => {
    expect(admin({ managed: ["*", "admin"] })).toMatchObject({ groups: [{ gid: "admin" }, { gid: "eng" }], notes: [] });
  });

  it("is refused when a prefix leads to it", () => {
    expect(names(admin({ prefix: "ad", managed: ["*"] }, "min"))).toEqual(["eng"]);
  });

  it("is refused when a prefix leads to it though `managed` names the rest of it literally", () => {
    for (const [prefix, name] of [
      ["ad", "min"],
      ["a", "dmin"],
      ["admi", "n"],
      ["", "admin"],
    ] as const) {
      const literal = name === "admin" ? ["adm*", "eng"] : [name, "*"];
      expect(names(admin({ prefix, managed: literal }, name))).toEqual(["eng"]);
      expect(names(admin({ prefix, managed: literal }, name, IDENTITIES.database))).toEqual(["eng"]);
    }
  });

  it("is joined through a prefix where `managed` names the id as well", () => {
    const desired = admin({ prefix: "ad", managed: ["min", "admin", "eng"] }, "min");
    expect(desired.groups.map(({ gid }) => gid)).toEqual(["admin", "adeng"]);
  });

  it.each([["admin "], [" admin"], ["admin\u00a0"]])("is not %j, which some databases take for it", (name) => {
    expect(names(admin({ managed: ["*", "admin", name] }, name))).toEqual(["eng"]);
    expect(() => organizationOf({ groups: { always: [name] } })).toThrow("administrator");
  });

  it("is not one of other letter case: Nextcloud tells their ids apart", () => {
    expect(names(admin({ managed: ["*"] }, "Admin"))).toEqual(["Admin", "eng"]);
  });

  it("is refused in the scheme database too", () => {
    expect(names(admin({ managed: ["*"] }, "admin", IDENTITIES.database))).toEqual(["eng"]);
  });

  it("of Clavex is harmless where ids are hashed or prefixed", () => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.providerBased, IDENTITIES.sociallogin]) {
      const desired = admin({ managed: ["*"] }, "admin", identity);
      expect(names(desired)).toEqual(["admin", "eng"]);
      expect(desired.groups.map(({ gid }) => gid)).not.toContain("admin");
    }
  });

  it("may not be an `always` group at all", () => {
    expect(() => organizationOf({ groups: { always: ["admin"] } })).toThrow("administrator");
  });
});

describe("a group in another organization's namespace", () => {
  const { raw, providerBased, sociallogin, hashed } = IDENTITIES;
  /** The first of organizations that share a Nextcloud, each with its identity and prefix, as all of them are read. */
  const among = (...all: { identity: object; prefix: string }[]): Organization => {
    const found = all.map(({ identity, prefix }, index) => {
      const slug = `org-${index}`;
      const organization = organizationOf({ slug, identity, groups: { prefix } });
      return { source: slug, slug, organization, problems: [] };
    });
    const [first] = together(found);
    if (!first?.organization) throw new Error(first?.problems.join("\n"));
    return first.organization;
  };
  const gidsOf = (organization: Organization, groups: string[]) => {
    const desired = flat(desiredAccount(organization, SUBJECT, { person: userOf(), groups }));
    return { gids: desired.groups.map(({ gid }) => gid), notes: desired.notes };
  };

  it("is skipped and noted: eu-Finance of acme is acme-eu's Finance", () => {
    const acme = among({ identity: raw, prefix: "acme-" }, { identity: raw, prefix: "acme-eu-" });
    const { gids, notes } = gidsOf(acme, ["eu-Finance", "Finance", "europe"]);
    expect(gids).toEqual(["acme-Finance", "acme-europe"]);
    expect(notes).toEqual([expect.stringMatching(/^group eu-Finance is skipped: .*another organization's/)]);
  });

  it.each([
    ["a prefix", raw, "acme-eu-"],
    ["a provider's identifier", providerBased, ""],
    ["the name of the login app", sociallogin, ""],
  ])("is skipped too where its id is a hash, because its name is long: after %s", (_, identity, prefix) => {
    const other = { identity, prefix };
    const long = "Finance ".repeat(9);
    const theirs = gidsOf(among(other, { identity: raw, prefix: "" }), [long]);
    const begin = prefix || "clavex-";
    const { gids, notes } = gidsOf(among({ identity: raw, prefix: "" }, other), [`${begin}${long}`, long]);
    expect(theirs.gids).toHaveLength(1);
    expect(gids).not.toContain(theirs.gids[0]);
    expect(gids).toHaveLength(1);
    expect(notes).toEqual([expect.stringMatching(/is skipped: .*another organization's/)]);
  });

  it("does not keep the narrower organization from its own groups", () => {
    const eu = among({ identity: raw, prefix: "acme-eu-" }, { identity: raw, prefix: "acme-" });
    expect(gidsOf(eu, ["Finance"])).toEqual({ gids: ["acme-eu-Finance"], notes: [] });
  });

  it.each<[string, { identity: object; prefix: string }, string]>([
    ["a prefix, of one that has none", { identity: raw, prefix: "beta-" }, "beta-Finance"],
    ["a provider's identifier", { identity: providerBased, prefix: "" }, "clavex-Finance"],
    ["an identifier, also before a prefix", { identity: providerBased, prefix: "x-" }, "clavex-Finance"],
    ["the name of the login app", { identity: sociallogin, prefix: "" }, "clavex-Finance"],
  ])("begins with %s", (_, other, name) => {
    const { gids, notes } = gidsOf(among({ identity: raw, prefix: "" }, other), [name, "Finance"]);
    expect(gids).toEqual(["Finance"]);
    expect(notes).toHaveLength(1);
  });

  it.each<[string, { identity: object; prefix: string }]>([
    ["hashed ids", { identity: hashed, prefix: "eng" }],
    ["no prefix", { identity: raw, prefix: "" }],
    ["the same prefix", { identity: raw, prefix: "e" }],
  ])("is none of an organization with %s", (_, other) => {
    const own = { identity: raw, prefix: other.prefix === "e" ? "e" : "" };
    expect(gidsOf(among(own, other), ["engine"]).notes).toEqual([]);
  });

  it("is none where the own ids are hashes", () => {
    const own = among(
      { identity: hashed, prefix: "" },
      ...[..."0123456789abcdef"].map((prefix) => ({ identity: raw, prefix })),
    );
    expect(gidsOf(own, ["eng", "ops", "hr"]).notes).toEqual([]);
  });

  it("changes no hash of an organization whose Nextcloud nobody shares", () => {
    expect(among({ identity: raw, prefix: "" }).reservedPrefixes).toEqual([]);
  });
});

describe("a group that Nextcloud cannot hold", () => {
  it.each([
    ["0"],
    ["g".repeat(256)],
    ["a\nb"],
    ["   "],
    [".."],
  ])("called %j is skipped and reported; the rest stays", (name) => {
    const desired = desire(RAW, userOf(), [name, "eng"]);
    expect(names(desired)).toEqual(["eng"]);
    expect(desired.notes).toHaveLength(1);
    expect(desired.notes[0]).toMatch(/^group .* is skipped: /s);
  });

  it("is reported without its control characters", () => {
    const shown = desire(RAW, userOf(), ["a\nb\u001b[31m"]).notes.join();
    for (const control of ["\n", "\u001b"]) expect(shown).not.toContain(control);
  });

  it("is none for a long name, with hashed ids and without: its id is a hash", () => {
    for (const changes of [{}, RAW]) {
      const { groups } = desire(changes, userOf(), ["g".repeat(200)]);
      expect(groups).toMatchObject([{ gid: expect.stringMatching(/^[0-9a-f]{64}$/), displayName: "g".repeat(200) }]);
    }
  });
});

describe("names like properties of every object", () => {
  const ODD = ["__proto__", "constructor", "toString", "hasOwnProperty"];

  it("are groups like others", () => {
    const desired = desire(RAW, userOf(), ODD);
    expect(desired.groups.map(({ gid }) => gid)).toEqual(ODD);
    expect(desired.quota).toBeUndefined();
    expect(desired.notes).toEqual([]);
  });

  it("give no quota that nobody configured", () => {
    expect(desire({ quota: { default: "1 GB" } }, userOf(), ODD)).toMatchObject({ quota: GB, quotaRule: "default" });
    for (const attribute of ODD) {
      expect(desire({ quota: { default: "1 GB", attribute } }, userOf({ metadata: {} }))).toMatchObject({
        quota: GB,
        quotaRule: "default",
        notes: [],
      });
    }
  });

  it.each(["constructor", "toString"])("such as %s can be given a quota, as written in a document", (name) => {
    const { reservedPrefixes: _, ...document } = organizationOf();
    const organization: Organization = organizationSchema.parse({
      ...JSON.parse(JSON.stringify(document)),
      quota: JSON.parse(`{"byGroup":{${JSON.stringify(name)}:"7 GB"}}`),
    });
    const desired = flat(desiredAccount(organization, SUBJECT, { person: userOf(), groups: [name] }));
    expect(desired).toMatchObject({ quota: 7 * GB, quotaRule: `group ${name}` });
  });

  it.each(["constructor", "toString"])("such as %s can be the quota's attribute", (attribute) => {
    const user = userOf({ metadata: { [attribute]: "3 GB" } });
    expect(desire({ quota: { attribute } }, user)).toMatchObject({ quota: 3 * GB, quotaRule: "attribute" });
  });

  it("make a group neither managed nor relevant by themselves", () => {
    const organization = organizationOf({ groups: { managed: [] } });
    for (const name of ODD)
      expect([isManaged(organization, name), isRelevant(organization, name)]).toEqual([false, false]);
  });
});

describe("the quota", () => {
  const quota = { default: "5 GB", byGroup: { Finance: "50 GB", Trainee: "1 GB", Archive: "none" } };
  const withAttribute = (value: unknown) => userOf({ metadata: { nextcloud_quota: value } });

  it("is the person's attribute before all else, smaller or larger", () => {
    expect(desire({ quota }, withAttribute("2 GB"), ["Finance"])).toMatchObject({
      quota: 2 * GB,
      quotaRule: "attribute",
    });
    expect(desire({ quota }, withAttribute("none"), ["Trainee"])).toMatchObject({
      quota: "none",
      quotaRule: "attribute",
    });
  });

  it("is also read where Clavex's own SDK writes the attribute, and as a number", () => {
    const nested = userOf({ metadata: { attributes: { nextcloud_quota: "2 GB" } } });
    expect(desire({ quota }, nested)).toMatchObject({ quota: 2 * GB, quotaRule: "attribute" });
    expect(desire({ quota }, withAttribute(1073741824))).toMatchObject({ quota: GB, quotaRule: "attribute" });
  });

  it("is the largest of the groups' without an attribute, in whatever order they come", () => {
    for (const groups of [
      ["Trainee", "Finance"],
      ["Finance", "Trainee"],
    ]) {
      expect(desire({ quota }, userOf(), groups)).toMatchObject({ quota: 50 * GB, quotaRule: "group Finance" });
    }
  });

  it("of a group is smaller than the default if the group says so", () => {
    expect(desire({ quota }, userOf(), ["Trainee"])).toMatchObject({ quota: GB, quotaRule: "group Trainee" });
  });

  it("none is the largest of all", () => {
    for (const groups of [
      ["Finance", "Archive"],
      ["Archive", "Finance"],
    ]) {
      expect(desire({ quota }, userOf(), groups)).toMatchObject({ quota: "none", quotaRule: "group Archive" });
    }
  });

  it("is the default where nothing else is said, and none at all without a default", () => {
    expect(desire({ quota }, userOf(), ["Ops"])).toMatchObject({ quota: 5 * GB, quotaRule: "default" });
    expect(desire({}, userOf(), ["Ops"])).toMatchObject({ quota: undefined, quotaRule: "none" });
  });

  it("of a group holds though its membership is not managed", () => {
    expect(desire({ quota, groups: { managed: [] } }, userOf(), ["Finance"])).toMatchObject({ quota: 50 * GB });
  });

  it.each([
    ["5 GiB"],
    ["lots"],
    ["-1"],
    ["default"],
    ["1e9"],
    [true],
    [false],
    [{ gb: 5 }],
    [["5 GB"]],
    [{}],
  ])("that the attribute gives as %j is passed over with a note", (value) => {
    const desired = desire({ quota }, withAttribute(value), ["Finance"]);
    expect(desired).toMatchObject({ quota: 50 * GB, quotaRule: "group Finance" });
    expect(desired.notes).toEqual([expect.stringContaining("the attribute nextcloud_quota is passed over")]);
  });

  it.each([[""], ["   "], [null]])("is not given by an attribute %j, and nothing is noted", (value) => {
    expect(desire({ quota }, withAttribute(value))).toMatchObject({ quota: 5 * GB, quotaRule: "default", notes: [] });
  });

  it.each([
    ["5,5 GB"],
    ["1e3 GB"],
    ["-5 GB"],
    ["5 GB\u200b"],
    ["\uff15 GB"],
    ["5 5 GB"],
    ["0x10"],
    ["NaN"],
    ["5 EB"],
    ["9".repeat(400)],
    [1e30],
    [-1],
    [true],
    [["5 GB"]],
    [{ value: "5 GB" }],
  ])("is passed over, with a note, where the attribute is %j", (value) => {
    const desired = desire({ quota }, withAttribute(value));
    expect(desired).toMatchObject({ quotaRule: "default", notes: [expect.stringContaining("is passed over")] });
    expect(desired.notes.join().length).toBeLessThan(250);
  });

  it.each([
    [" 5GB ", 5 * GB],
    ["5\u00a0GB", 5 * GB],
    ["5.5 gb", 5.5 * GB],
    [5 * GB, 5 * GB],
    ["NONE", "none"],
  ])("is what the attribute %j says", (value, expected) => {
    expect(desire({ quota }, withAttribute(value))).toMatchObject({
      quota: expected,
      quotaRule: "attribute",
      notes: [],
    });
  });

  it("of 0 bytes is a quota", () => {
    expect(desire({ quota }, withAttribute("0"))).toMatchObject({ quota: 0, quotaRule: "attribute" });
  });
});

describe("the display name", () => {
  const named = (first_name: unknown, last_name: unknown, email = "ada@acme.example"): string =>
    desire({}, userOf({ first_name, last_name, email })).displayName;

  it.each([
    ["Ada", "Lovelace", "Ada Lovelace"],
    ["Ada", undefined, "Ada"],
    [null, "Lovelace", "Lovelace"],
    ["  Ada \t King ", " Lovelace ", "Ada King Lovelace"],
    ["Ada\nKing", "Lovelace\u0000", "Ada King Lovelace"],
    ["\u202eAda", "Lovelace", "Ada Lovelace"],
    ["A\u200eda", "Love\u2066lace\u2069", "Ada Lovelace"],
    [
      "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
      null,
      "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ],
    ["\u0d2e\u0d4b\u0d39\u0d28\u0d4d\u200d", "K", "\u0d2e\u0d4b\u0d39\u0d28\u0d4d\u200d K"],
    ["👩\u200d🚀", "", "👩\u200d🚀"],
    ["\u200b", "Lovelace", "Lovelace"],
    ["\u200dAda", "\u2060", "Ada"],
    ["Zoe\u0308", "\u0301", "Zoe\u0308"],
    ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e01\u0e34", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e01\u0e34"],
    ["👨\u200d👩\u200d👧", "1\ufe0f\u20e3", "👨\u200d👩\u200d👧 1\ufe0f\u20e3"],
    ["\u2067\u05d3\u05d5\u05d3\u2069", "\u061c\u0639\u0644\u064a", "\u05d3\u05d5\u05d3 \u0639\u0644\u064a"],
    ["Jörg", "Größe 🚀", "Jörg Größe 🚀"],
  ])("of %j and %j is %j", (first, last, name) => {
    expect(named(first, last)).toBe(name);
  });

  it.each([
    [undefined, undefined],
    [null, null],
    ["", " "],
    ["\u200e", "\u0007"],
    ["\u200b", "\u200d"],
    ["\u3164", "\u2060\ufeff"],
    ["\u00ad", "\u2800"],
    ["\u{e0041}", "\ufe0f"],
    ["\u202e", "\u2069\u200c"],
    ["\u0301", "\u0308\u0301"],
    ["\u20dd", "\u0300\u200d"],
    ["\u093e", "\u3099"],
    ["\u034f", "\ufe0e"],
  ])("of %j and %j is the e-mail address: user_oidc would show the id", (first, last) => {
    expect(named(first, last)).toBe("ada@acme.example");
  });
});

describe("the e-mail address", () => {
  it("is taken as it is, without white space around it", () => {
    expect(desire({}, userOf({ email: " Ada@Acme.Example " })).email).toBe("Ada@Acme.Example");
  });
});

describe("the hash of what is desired", () => {
  const base = desire({ quota: { default: "5 GB" } }, userOf(), ["eng", "ops"]);

  it("does not depend on the order of the groups nor on the letter case of the address", () => {
    const other = desire({ quota: { default: "5 GB" } }, userOf({ email: "ADA@acme.example" }), ["ops", "eng"]);
    expect(desiredHash(other)).toBe(desiredHash(base));
  });

  it.each([
    ["the name", desire({ quota: { default: "5 GB" } }, userOf({ first_name: "Grace" }), ["eng", "ops"])],
    ["the address", desire({ quota: { default: "5 GB" } }, userOf({ email: "grace@acme.example" }), ["eng", "ops"])],
    ["the quota", desire({ quota: { default: "6 GB" } }, userOf(), ["eng", "ops"])],
    ["no quota", desire({}, userOf(), ["eng", "ops"])],
    ["the groups", desire({ quota: { default: "5 GB" } }, userOf(), ["eng"])],
    ["the state", desire({ quota: { default: "5 GB" } }, userOf({ is_active: false }), ["eng", "ops"])],
  ])("changes with %s", (_, desired) => {
    expect(desiredHash(desired)).not.toBe(desiredHash(base));
  });
});

describe("patterns", () => {
  it.each([
    ["*", "anything/at all\nhere", true],
    ["*", "", true],
    ["eng", "eng", true],
    ["eng", "Eng", false],
    ["eng", "engineering", false],
    ["eng", "my eng", false],
    ["eng*", "engineering/web", true],
    ["*eng", "my eng", true],
    ["a*b*c", "a-b-b-c", true],
    ["a**c", "abc", true],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["a?c", "a🚀c", true],
    ["a.c", "abc", false],
    ["(a|b)+[c]{2}^$\\", "(a|b)+[c]{2}^$\\", true],
    ["0-9", "0-9", true],
    ["-#&~ ,", "-#&~ ,", true],
  ])("%j matches %j: %s", (pattern, name, matches) => {
    expect(matchesAny([pattern], name)).toBe(matches);
  });

  it("that are none match nothing", () => {
    expect(matchesAny([], "eng")).toBe(false);
  });
});

describe("a group that matters", () => {
  it("is one that is managed, or decides the scope, or the quota", () => {
    const organization = organizationOf({
      scope: { groups: ["Cloud*"] },
      groups: { managed: ["eng*"], never: ["eng-secret"] },
      quota: { byGroup: { Finance: "50 GB" } },
    });
    const all = ["eng", "eng-secret", "Cloud users", "Finance", "Ops"];
    expect(all.filter((name) => isRelevant(organization, name))).toEqual(["eng", "Cloud users", "Finance"]);
    expect(all.filter((name) => isManaged(organization, name))).toEqual(["eng"]);
  });

  it("has one Nextcloud group, the same for whoever asks", () => {
    const organization = organizationOf(RAW);
    expect(nextcloudGroup(organization, "eng")).toEqual({
      group: { gid: "eng", displayName: "eng", source: "clavex", name: "eng" },
    });
  });
});

describe("a name that Nextcloud would not keep", () => {
  const named = (first_name: string) => desire({}, userOf({ first_name, last_name: null })).displayName;

  it('"0" is replaced by the e-mail address, as an empty one is', () => {
    expect(named("0")).toBe("ada@acme.example");
  });

  it("half of a character is replaced, so that what is written is what is found", () => {
    expect(named("Ada \ud83d")).toBe("Ada \ufffd");
  });
});
